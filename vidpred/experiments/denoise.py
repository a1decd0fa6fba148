"""Online denoising (seed 003, section 4.2): what is seen now is cleaned by what was seen before."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vidpred.errors import ConfigError, unknown_name
from vidpred.experiments.markov import MarkovChains
from vidpred.experiments.sequence_pictures import SHOWN, shown, write_rows
from vidpred.experiments.whole_sequences import (
    ON,
    SCORE_HEADER,
    Padded,
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
from vidpred.progress import progress_bar
from vidpred.runs import Run
from vidpred.viz.table import Table

MODELS = ("vosp", "vrae")
NOISES = ("flip", "on")
BASELINES = (
    "noisy input",
    "previous noisy step",
    "marginals of training",
    "one noisy value alone",
    "Markov chain of each value",
)
SAMPLES = 8
"""Of z_t, whose predictions are averaged where a model is a filter."""
Values = NDArray[np.float64]


def denoise(
    workspace: Workspace, split: str = "test", noise: str = "flip", rate: float = 0.05
) -> list[Table]:
    """Cleans sequences in which some values are wrong, and scores what comes out.

    Args:
        noise: ``flip``: x becomes 1 - x, as figure 3 shows; ``on``: x becomes 1, as its caption says.
        rate: the probability with which this happens to a value.

    Raises:
        ConfigError: a run of another model, or with densities; another noise; a rate that is none.
        DataError: the data do not fit.
    """
    if noise not in NOISES:
        raise unknown_name("noise", noise, NOISES)
    if not 0 <= rate <= 1:
        raise ConfigError(f"--rate is a probability from 0 to 1, got {rate:g}")
    whole = open_whole(workspace, split, MODELS)
    require_bernoulli(workspace.runs)
    channel = NoisyChannel(noise, rate)
    parts = {
        run.name: workspace.part_of(run, partial(_clean, workspace, run, whole, channel))
        for run in workspace.runs
    }
    baselines = workspace.part("baselines", partial(_baselines, workspace, whole, channel))
    summaries, online = {}, {}
    for run in workspace.runs:
        summaries[run.name] = Summary.of(parts[run.name]["scores"])
        online[run.name] = "yes" if run.config.name == "vosp" else "no"
        if "filtered" in parts[run.name]:
            summaries[f"{run.name}, filter"] = Summary.of(parts[run.name]["filtered"])
    summaries |= {
        name: Summary.of(scores) for name, scores in zip(BASELINES, baselines["scores"], strict=True)
    }
    what = "turned on" if noise == "on" else "flipped"
    table = Table(
        "Denoising",
        ["", "online", *SCORE_HEADER],
        [[name, online.get(name, "yes"), *summary.cells()] for name, summary in summaries.items()],
        workspace.note(
            f"Of {workspace.count} whole sequences of {whole.source}; values {what} with probability "
            f"{rate:g}. F1, precision and recall of the values from {ON:g} on, all sequences together; "
            "log-likelihood of the clean data in nats a step ± standard error over sequences. Runs: the mode "
            "of q(z | x) and of p(x | z), as published; those that are not online have seen the noisy future "
            "too. 'filter': Bayes' rule with what the model predicts from the steps it has cleaned, with "
            f"{SAMPLES} samples of z, for a prior; it knows the rate of the noise, as the baselines do. What "
            "these know beside it was counted in up to 1,000 training sequences, (ones + 1/2) / (count + 1): "
            "'noisy input' has the probability of a value under a flat prior, 'previous noisy "
            "step' what a Markov chain makes of it, 'one noisy value alone' is Bayes' posterior from the "
            "marginal, and 'Markov chain' its exact filter over all noisy steps so far."
        ),
    )
    for number in range(min(SHOWN, workspace.count)):
        rows = [("truth", baselines[f"clean-{number}"]), ("noisy", baselines[f"noisy-{number}"])]
        for name, part in parts.items():
            rows.append((name, part[f"cleaned-{number}"]))
            if f"filtered-{number}" in part:
                rows.append((f"{name}, filter", part[f"filtered-{number}"]))
        write_rows(workspace.picture(f"sequence-{number}.png"), rows, f"sequence {number}, values {what}")
    workspace.finish(
        [table],
        {
            "source": whole.source,
            "noise": noise,
            "rate": rate,
            "online": online,
            "scores": {name: summary.numbers() for name, summary in summaries.items()},
        },
    )
    return [table]


class NoisyChannel:
    """Noise that comes to every value independently, and what a noisy value tells about the true one.

    Args:
        noise: one of `NOISES`.
        rate: its probability.
    """

    def __init__(self, noise: str, rate: float) -> None:
        self.noise = noise
        self.rate = rate

    def corrupt(self, sequence: NDArray[np.float32], seed: int, number: int) -> NDArray[np.float32]:
        """Noise for sequence `number`, which depends on it and the seed alone."""
        hit = np.random.default_rng([seed, number]).random(sequence.shape) < self.rate
        return np.where(hit, 1 - sequence if self.noise == "flip" else np.float32(1), sequence)

    def posterior(self, prior: Values | float, noisy: NDArray[np.floating]) -> Values:
        """The probability that a value is on, from that before and the noisy value in [0, 1].

        A noisy value between is a mixture of on and off.
        """
        prior, noisy = np.asarray(prior, np.float64), np.asarray(noisy, np.float64)
        if self.noise == "flip":
            on_if_on, on_if_off = 1 - self.rate, self.rate
        else:
            on_if_on, on_if_off = 1.0, self.rate
        seen_on = _bayes(prior, on_if_on, on_if_off)
        seen_off = _bayes(prior, 1 - on_if_on, 1 - on_if_off)
        return np.asarray(noisy * seen_on + (1 - noisy) * seen_off)


def filtered(chains: MarkovChains, channel: NoisyChannel, noisy: NDArray[np.floating]) -> Values:
    """p(x_t | noisy x_1, ..., x_t) of every value of (T, C, H, W) by itself: the forward algorithm."""
    known = []
    before = chains.marginal
    for step in noisy:
        known.append(channel.posterior(before, step))
        before = chains.ahead(known[-1])
    return np.stack(known)


def _bayes(prior: Values, if_on: float, if_off: float) -> Values:
    evidence = np.asarray(prior * if_on + (1 - prior) * if_off)
    return np.divide(prior * if_on, evidence, out=np.array(prior), where=evidence > 0)


def _clean(workspace: Workspace, run: Run, whole: WholeSequences, channel: NoisyChannel) -> Arrays:
    """What one run makes of the noisy sequences: (N, 5) scores, also of its filter, and what is shown."""
    setting = workspace.setting
    model: Any = run.model.to(setting.device)
    filters = run.config.name == "vosp" and model.options.prior == "wiener"
    scores = {"scores": np.zeros((workspace.count, 5))}
    if filters:
        scores["filtered"] = np.zeros((workspace.count, 5))
    pictures = {}

    def correct(expected: Tensor, noisy: Tensor) -> Tensor:
        return torch.from_numpy(channel.posterior(expected.cpu().numpy(), noisy.cpu().numpy())).to(expected)

    with progress_bar(quiet=workspace.quiet) as bar:
        task = bar.add_task(run.name, total=workspace.count, note="")
        for group, numbers in enumerate(whole.in_groups(workspace.count, setting.batch)):
            clean = whole.read(numbers)
            noisy = [
                channel.corrupt(sequence, setting.seed, number)
                for sequence, number in zip(clean, numbers, strict=True)
            ]
            found = {"scores": reconstructed(model, noisy, setting.device)}
            if filters:
                padded, generator = (
                    Padded.of(noisy, setting.device),
                    generator_for(setting.device, setting.seed, group),
                )
                filtered = model.filter(
                    padded.frames, correct, lengths=padded.lengths, samples=SAMPLES, generator=generator
                )
                found["filtered"] = probabilities(padded.cut(filtered))
            for kind, cleaned in found.items():
                for number, probability, truth in zip(numbers, cleaned, clean, strict=True):
                    scores[kind][number] = score(probability, truth)
                    if number < SHOWN:
                        name = "cleaned" if kind == "scores" else kind
                        pictures[f"{name}-{number}"] = shown(probability >= ON)
            bar.advance(task, len(numbers))
    model.to("cpu")
    return {**scores, **pictures}


def _baselines(workspace: Workspace, whole: WholeSequences, channel: NoisyChannel) -> Arrays:
    """(baselines, N, 5) scores, and what is shown of the clean and noisy sequences."""
    chains, seed = training_chains(workspace), workspace.setting.seed
    scores = np.zeros((len(BASELINES), workspace.count, 5))
    pictures: dict[str, NDArray[np.uint8]] = {}
    with progress_bar(quiet=workspace.quiet) as bar:
        task = bar.add_task("baselines", total=workspace.count, note="")
        for numbers in whole.in_groups(workspace.count, workspace.setting.batch):
            for number, truth in zip(numbers, whole.read(numbers), strict=True):
                noisy = channel.corrupt(truth, seed, number)
                alone = channel.posterior(chains.marginal, noisy)
                before = np.concatenate([np.zeros_like(noisy[:1]), noisy[:-1]])
                expected = np.concatenate([chains.marginal[None], chains.ahead(alone[:-1])])
                scores[:, number] = [
                    score(channel.posterior(0.5, noisy), truth, on=noisy >= ON),
                    score(expected, truth, on=before >= ON),
                    score(np.broadcast_to(chains.marginal, truth.shape), truth),
                    score(alone, truth),
                    score(filtered(chains, channel, noisy), truth),
                ]
                if number < SHOWN:
                    pictures |= {f"clean-{number}": shown(truth), f"noisy-{number}": shown(noisy)}
            bar.advance(task, len(numbers))
    return {"scores": scores, **pictures}
