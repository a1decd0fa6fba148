"""Missing values (seed 003, section 4.3): a gap is filled by going from modes to modes, or inferred."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from vidpred.errors import ConfigError
from vidpred.evaluation import Setting
from vidpred.experiments.markov import MarkovChains
from vidpred.experiments.sequence_pictures import SHOWN, around, shown, write_rows
from vidpred.experiments.whole_sequences import (
    ON,
    SCORE_HEADER,
    Summary,
    WholeSequences,
    generator_for,
    open_whole,
    probabilities,
    reconstructed,
    require_bernoulli,
    score,
    training_chains,
)
from vidpred.experiments.workspace import Arrays, Workspace
from vidpred.metrics.binary import best_guess
from vidpred.models.latent_sequence import LatentSequenceModel
from vidpred.models.vosp import EXPLAINED
from vidpred.progress import progress_bar
from vidpred.runs import Run
from vidpred.viz.lines import Line, write_lines
from vidpred.viz.table import Table

MODELS = ("vrae", "vosp")
BASELINES = (
    "random values",
    "step before the gap",
    "linear interpolation",
    "marginals of training",
    "Markov chain between both ends",
)
REACH = 50
"""Steps on either side of a gap that it is inferred from: together the chunks that networks learn from."""
_COLUMNS = (1, 2, 3, 5, 10, 20, 50, 100)
"""Iterations that the second table shows, beside the last."""


def impute(workspace: Workspace, split: str = "test", gap: int = 8, iterations: int = 20) -> list[Table]:
    """Fills a gap at a random place of every sequence, and scores what stands there.

    Args:
        gap: steps that are missing; before and after it at least one is known.
        iterations: how often the missing values go through the model.

    The samples of the workspace's setting are the draws that an inferred gap is a mean of.

    Raises:
        ConfigError: a run of another model, or with densities; a number under 1.
        DataError: the data do not fit, or a sequence is too short for the gap.
    """
    for name, number in (("gap", gap), ("iterations", iterations)):
        if number < 1:
            raise ConfigError(f"--{name} must be at least 1, got {number}")
    whole = open_whole(workspace, split, MODELS, least=gap + 2)
    require_bernoulli(workspace.runs)
    parts = {
        run.name: workspace.part_of(run, partial(_fill, workspace, run, whole, gap, iterations))
        for run in workspace.runs
    }
    baselines = workspace.part("baselines", partial(_baselines, workspace, whole, gap))
    curves = {
        name: [Summary.of(scores) for scores in part["scores"]] for name, part in parts.items()
    }  # of every iteration
    summaries = {}
    for name, part in parts.items():
        summaries[name] = curves[name][-1]
        if "inferred" in part:
            summaries[f"{name}, inferred"] = Summary.of(part["inferred"])
    summaries |= {
        name: Summary.of(scores) for name, scores in zip(BASELINES, baselines["scores"], strict=True)
    }
    tables = [
        _overall(workspace, whole, summaries, gap, iterations),
        _by_iteration(workspace, curves, iterations),
    ]
    number_of = np.arange(1, iterations + 1)
    write_lines(
        workspace.picture("iterations.png"),
        [
            Line(name, number_of, np.array([100 * summary.hits.f1 for summary in of_run]))
            for name, of_run in curves.items()
        ],
        "iteration",
        "F1 of the gap, %",
    )
    for number in range(min(SHOWN, workspace.count)):
        original, corrupted = baselines[f"original-{number}"], baselines[f"corrupted-{number}"]
        rows = [("truth", original), ("corrupted", corrupted)]
        for name, part in parts.items():
            rows += _pictured(name, original, part[f"recovered-{number}"])
            if "inferred" in part:
                rows += _pictured(f"{name}, inferred", original, part[f"inferred-{number}"])
        write_rows(workspace.picture(f"sequence-{number}.png"), rows, f"sequence {number}, {gap} steps lost")
    workspace.finish(
        tables,
        {
            "source": whole.source,
            "gap": gap,
            "iterations": iterations,
            "first_lost_step": baselines["first"],
            "scores": {name: summary.numbers() for name, summary in summaries.items()},
            "f1_by_iteration": {
                name: [summary.hits.f1 for summary in of_run] for name, of_run in curves.items()
            },
        },
    )
    return tables


def gap_place(seed: int, number: int, length: int, gap: int) -> tuple[slice, np.random.Generator]:
    """Which steps of a sequence are lost, at least one known before and after, and noise to fill them.

    Both depend on the seed and the number of the sequence alone.
    """
    noise = np.random.default_rng([seed, number])
    first = int(noise.integers(1, length - gap))
    return slice(first, first + gap), noise


def _lost(
    sequence: NDArray[np.float32], seed: int, number: int, gap: int
) -> tuple[slice, NDArray[np.float32]]:
    """Where the gap of a sequence is, and the sequence with random values from 0 to 1 there."""
    place, noise = gap_place(seed, number, len(sequence), gap)
    corrupted = sequence.copy()
    corrupted[place] = noise.random(corrupted[place].shape, np.float32)
    return place, corrupted


def _fill(workspace: Workspace, run: Run, whole: WholeSequences, gap: int, iterations: int) -> Arrays:
    """(iterations, N, 5) scores of the gap after every iteration of modes, (N, 5) of what is inferred, where
    the prior allows it, and what is shown of both.
    """
    setting = workspace.setting
    model = run.model.to(setting.device)
    assert isinstance(model, LatentSequenceModel)
    scores = np.zeros((iterations, workspace.count, 5))
    inferred = np.zeros((workspace.count, 5)) if model.options.prior == "wiener" else None
    made: dict[str, NDArray[Any]] = {"scores": scores}
    if inferred is not None:
        made["inferred"] = inferred
    with progress_bar(quiet=workspace.quiet) as bar:
        task = bar.add_task(run.name, total=workspace.count, note="")
        for numbers in whole.in_groups(workspace.count, setting.batch):
            truths = whole.read(numbers)
            lost = [
                _lost(truth, setting.seed, number, gap) for truth, number in zip(truths, numbers, strict=True)
            ]
            places = [place for place, _ in lost]
            filled = [corrupted for _, corrupted in lost]
            for iteration in range(iterations):
                found = reconstructed(model, filled, setting.device)
                for sequence, place, probability in zip(filled, places, found, strict=True):
                    sequence[place] = probability[place] >= ON
                scores[iteration, numbers] = [
                    score(probability[place], truth[place])
                    for probability, truth, place in zip(found, truths, places, strict=True)
                ]
            for number, sequence, truth, place in zip(numbers, filled, truths, places, strict=True):
                if number < SHOWN:
                    made[f"recovered-{number}"] = around(place, sequence)
                if inferred is not None:
                    probability = _inferred(model, sequence, place, setting, number)
                    said = best_guess(probability)
                    inferred[number] = score(probability, truth[place], on=said)
                    if number < SHOWN:
                        sequence[place] = said
                        made[f"inferred-{number}"] = around(place, sequence)
                bar.advance(task)
    model.to("cpu")
    return made


def _inferred(
    model: LatentSequenceModel, sequence: NDArray[np.float32], place: slice, setting: Setting, number: int
) -> NDArray[np.float64]:
    """The probability of every lost value of a sequence, (gap, C, H, W), by `LatentSequenceModel.fill`."""
    first = max(place.start - REACH, 0)
    near = torch.from_numpy(sequence[first : place.stop + REACH]).to(setting.device)
    gap = slice(place.start - first, place.stop - first)
    generator = generator_for(setting.device, setting.seed, number)
    filled = model.fill(near, gap, setting.samples, generator=generator)
    return probabilities([filled.cpu().numpy()])[0]


def _pictured(
    name: str, original: NDArray[np.uint8], filled: NDArray[np.uint8]
) -> list[tuple[str, NDArray[np.uint8]]]:
    """What stands in the gap, and where that is wrong."""
    return [(name, filled), (f"{name}, errors", shown((filled >= 128) != (original >= 128)))]


def _baselines(workspace: Workspace, whole: WholeSequences, gap: int) -> Arrays:
    """(baselines, N, 5) scores of the gap, its first step (N,), and what is shown of the sequences."""
    chains, seed = training_chains(workspace), workspace.setting.seed
    scores = np.zeros((len(BASELINES), workspace.count, 5))
    first = np.zeros(workspace.count, np.int64)
    pictures = {}
    for numbers in whole.in_groups(workspace.count, workspace.setting.batch):
        for number, truth in zip(numbers, whole.read(numbers), strict=True):
            place, corrupted = _lost(truth, seed, number, gap)
            first[number] = place.start
            scores[:, number] = _guesses(chains, truth, place, corrupted)
            if number < SHOWN:
                pictures[f"original-{number}"] = around(place, truth)
                pictures[f"corrupted-{number}"] = around(place, corrupted)
    return {"scores": scores, "first": first, **pictures}


def _guesses(
    chains: MarkovChains, truth: NDArray[np.float32], place: slice, corrupted: NDArray[np.float32]
) -> list[NDArray[np.float64]]:
    """The scores of `BASELINES`, in their order."""
    lost, gap = truth[place], place.stop - place.start
    before, after = truth[place.start - 1].astype(np.float64), truth[place.stop].astype(np.float64)
    weight = (np.arange(1, gap + 1) / (gap + 1))[:, None, None, None]
    ahead = np.stack([chains.ahead(before, step) for step in range(1, gap + 1)])
    between = chains.between(before, after, gap)
    line = (1 - weight) * before + weight * after
    marginal = np.broadcast_to(chains.marginal, lost.shape)
    return [
        score(np.full(lost.shape, 0.5), lost, on=corrupted[place] >= ON),
        score(ahead, lost, on=np.broadcast_to(before >= ON, lost.shape)),
        score(between, lost, on=line >= ON),
        score(marginal, lost, on=best_guess(marginal)),
        score(between, lost, on=best_guess(between)),
    ]


def _overall(
    workspace: Workspace, whole: WholeSequences, summaries: dict[str, Summary], gap: int, iterations: int
) -> Table:
    seen = {run.name: "all" if run.config.name == "vrae" else "the past" for run in workspace.runs}
    seen |= {f"{name}, inferred": "both sides" for name in seen}
    seen |= dict(zip(BASELINES, ("nothing", "the past", "both ends", "nothing", "both ends"), strict=True))
    note = (
        f"{gap} steps at a random place of each of {workspace.count} sequences of {whole.source}; all scores "
        "are of these steps alone. F1, precision and recall of the values, all sequences together; "
        "log-likelihood in nats a step ± standard error over sequences. Runs: the lost values are random at "
        f"first, then {iterations} times the mode of p(x | z) at the mode of q(z | x), as published; "
        "probabilities are those of the last time. 'inferred': nothing stands in the gap; means over "
        f"{workspace.setting.samples} draws. A VRAE is given up to {REACH} steps on either side and lets z "
        "go from one side to the other as its prior does; a VOSP weights ways through the gap that it "
        f"predicts by a power of how well they explain up to {EXPLAINED} steps after it, at which a tenth of "
        "the draws decide. Of these, of marginals and of the Markov chain, those values are said to be on "
        "that make F1 largest by their probabilities, for little may be as probable as 1/2. "
        "Of guesses that are no probabilities the log-likelihood is that of what they know: nothing (1/2), "
        "the step before, or both ends, by the Markov chain of each value that was counted in up to 1,000 "
        "training sequences, (ones + 1/2) / (count + 1)."
    )
    rows = [[name, seen[name], *summary.cells()] for name, summary in summaries.items()]
    return Table("Missing values", ["", "seen", *SCORE_HEADER], rows, workspace.note(note))


def _by_iteration(workspace: Workspace, curves: dict[str, list[Summary]], iterations: int) -> Table:
    columns = sorted({*(number for number in _COLUMNS if number < iterations), iterations})
    rows = [[name, *(of_run[number - 1].cells()[0] for number in columns)] for name, of_run in curves.items()]
    return Table("F1 after so many iterations, %", ["", *map(str, columns)], rows)
