"""How probable a model finds whole sequences it has never seen (seed 003, section 4.1 and table 1)."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import numpy as np

from vidpred.data.hdf5 import open_dataset
from vidpred.errors import ConfigError, unknown_name
from vidpred.experiments.whole_sequences import (
    Padded,
    WholeSequences,
    generator_for,
    is_bernoulli,
    mean_of_means,
    open_whole,
    per_step,
    training_chains,
    with_error,
)
from vidpred.experiments.workspace import Arrays, Workspace
from vidpred.models.fdrnn import FDRNN
from vidpred.models.latent_sequence import LatentSequenceModel
from vidpred.progress import progress_bar
from vidpred.runs import Run
from vidpred.viz.table import Table

MODELS = ("vrae", "vosp", "fdrnn")
PAPER = {
    "JSB": {
        "VRAE": "< 5.53", "VOSP": "< 6.21", "FD": "8.01", "plain": "8.58", "RNN-NADE": "5.19",
        "Deep RNN": "7.92",
    },
    "Nottingham": {
        "VRAE": "< 2.00", "VOSP": "< 2.63", "FD": "3.09", "plain": "3.43", "RNN-NADE": "2.31",
        "Deep RNN": "2.95",
    },
    "Piano-midi": {
        "VRAE": "< 4.00", "VOSP": "< 6.08", "FD": "7.39", "plain": "7.58", "RNN-NADE": "7.05",
    },
}  # fmt: skip
"""Table 1 of the paper: negative log-likelihood, or an upper bound on it, on the test set."""
_SOURCES = {
    "jsb-chorales.mat": "JSB",
    "jsb-chorales-quarter.json": "JSB",
    "nottingham.mat": "Nottingham",
    "piano-midi.mat": "Piano-midi",
}
"""Names of the files that hold the paper's data, with ``-`` for ``_``; other grids of JSB are other data."""

_BOUND, _EXACT = "upper bound", "exact"
_GREY = {_BOUND: "bound on the cross-entropy", _EXACT: "cross-entropy"}
"""What they are where values lie between 0 and 1: p^x (1 - p)^(1 - x) is no density over them."""


def likelihood(workspace: Workspace, split: str = "test", published: str | None = None) -> list[Table]:
    """The negative log-likelihood of each run, or upper bounds on it, beside simple baselines.

    Args:
        published: the data set of the paper whose rows stand beside; by default, for the whole test split,
            the one that the names of the data file's sources tell, if any.

    Raises:
        ConfigError: a run of another model, runs with probabilities beside runs with densities, or an
            unknown data set.
        DataError: the data do not fit.
    """
    if published is not None and published not in PAPER:
        raise unknown_name("data set of the paper", published, PAPER)
    whole = open_whole(workspace, split, MODELS)
    counted = {is_bernoulli(run) for run in workspace.runs}
    if len(counted) > 1:
        raise ConfigError(
            f"{workspace.runs[0].path} and {workspace.runs[-1].path} cannot share an experiment: only one of "
            "them has probabilities (model.output=bernoulli), and densities do not compare with them"
        )
    parts = {
        run.name: workspace.part_of(run, partial(_measure, workspace, run, whole)) for run in workspace.runs
    }
    rows = []
    for run in workspace.runs:
        of_run = parts[run.name]
        rows.append(_row(run.name, _EXACT if run.config.name == "fdrnn" else _BOUND, of_run, "nats"))
        if "weighted" in of_run:
            named = f"{run.name}, {workspace.setting.samples} samples together"
            rows.append(_row(named, _BOUND, of_run, "weighted"))
    bernoulli, grey = counted == {True}, False
    if bernoulli:
        counts = workspace.part("baselines", partial(_baselines, workspace, whole))
        grey = bool(counts["grey"])
        parts["baselines"] = {key: counts[key] for key in counts.keys() - {"grey"}}
        rows.append(_row("marginals of training", _EXACT, parts["baselines"], "marginal"))
        rows.append(_row("Markov chain of each value", _EXACT, parts["baselines"], "chain"))
        if published is None and split == "test" and workspace.count == len(whole):
            published = _recognised(workspace)
        rows += [
            [f"paper's {name}", _BOUND if value.startswith("<") else _EXACT, value, ""]
            for name, value in PAPER.get(published or "", {}).items()
        ]
    if grey:
        rows = [[name, _GREY[what], *numbers] for name, what, *numbers in rows]
    table = Table(
        "Cross-entropy" if grey else "Negative log-likelihood",
        ["", "", "nats per step", "mean over sequences"],
        rows,
        workspace.note(_note(workspace, whole, bernoulli, grey, published)),
    )
    workspace.finish(
        [table],
        {
            "source": whole.source,
            "steps": whole.lengths[: workspace.count],
            "sequences": parts,
            "summary": {name: _numbers(part) for name, part in parts.items()},
            "paper": PAPER.get(published or "", {}),
        },
    )
    return [table]


def _measure(workspace: Workspace, run: Run, whole: WholeSequences) -> Arrays:
    """Of every sequence its steps and what it costs, in nats: (N,) each."""
    setting = workspace.setting
    model = run.model.to(setting.device)
    nats = np.zeros(workspace.count)
    weighted = np.zeros(workspace.count)
    with progress_bar(quiet=workspace.quiet) as bar:
        task = bar.add_task(run.name, total=workspace.count, note="")
        for group, numbers in enumerate(whole.in_groups(workspace.count, setting.batch)):
            read = Padded.of(whole.read(numbers), setting.device)
            if isinstance(model, LatentSequenceModel):
                generator = generator_for(setting.device, setting.seed, group)
                bound = model.bound(read.frames, setting.samples, lengths=read.lengths, generator=generator)
                nats[numbers], weighted[numbers] = bound.one.cpu(), bound.weighted.cpu()
            else:
                assert isinstance(model, FDRNN)
                nats[numbers] = model.negative_log_likelihood(read.frames, lengths=read.lengths).cpu()
            bar.advance(task, len(numbers))
    model.to("cpu")
    together = setting.samples > 1 and isinstance(model, LatentSequenceModel)
    return {
        "nats": nats,
        "steps": whole.lengths[: workspace.count],
        **({"weighted": weighted} if together else {}),
    }


def _baselines(workspace: Workspace, whole: WholeSequences) -> Arrays:
    """Nats of every sequence, (N,) each, and whether any value lies between 0 and 1, ()."""
    chains = training_chains(workspace)
    found = np.zeros((workspace.count, 2))
    grey = False
    for numbers in whole.in_groups(workspace.count, workspace.setting.batch):
        sequences = whole.read(numbers)
        found[numbers] = [chains.log_likelihoods(sequence) for sequence in sequences]
        grey = grey or any(((sequence > 0) & (sequence < 1)).any() for sequence in sequences)
    return {
        "grey": np.array(grey),
        "marginal": -found[:, 0],
        "chain": -found[:, 1],
        "steps": whole.lengths[: workspace.count],
    }


def _recognised(workspace: Workspace) -> str | None:
    """The data set of the paper that a data file was made from, to judge by the names of its sources."""
    if workspace.file is None:
        return None
    with open_dataset(workspace.file) as opened:
        names = opened.attributes.get("sources", {})
    known = {_SOURCES.get(name.rpartition("/")[2].lower().replace("_", "-")) for name in names}
    return known.pop() if len(known) == 1 else None


def _row(name: str, what: str, part: Arrays, key: str) -> list[str]:
    steps = part["steps"]
    return [
        name,
        what,
        with_error(*per_step(part[key], steps)),
        with_error(*mean_of_means(part[key], steps)),
    ]


def _numbers(part: Arrays) -> Mapping[str, Mapping[str, object]]:
    """Means and standard errors in both conventions, for JSON."""
    return {
        key: {
            convention: dict(zip(("mean", "standard_error"), mean(part[key], part["steps"]), strict=True))
            for convention, mean in (("per_step", per_step), ("mean_over_sequences", mean_of_means))
        }
        for key in part
        if key != "steps"
    }


def _note(
    workspace: Workspace, whole: WholeSequences, bernoulli: bool, grey: bool, published: str | None
) -> str:
    note = (
        f"Nats ± standard error over the {workspace.count} whole sequences of {whole.source}, "
        f"{whole.lengths[: workspace.count].sum()} steps. Per step: all nats over all steps; mean over "
        "sequences: of every sequence's own nats per step, which gives short ones the same weight. "
    )
    samples = workspace.setting.samples
    if samples > 1:
        note += (
            f"The bounds are means over {samples} samples of z; 'together' is the importance-weighted bound "
            "(Burda et al. 2016). "
        )
    else:
        note += "The bounds are from one sample of z. "
    if not bernoulli:
        return note + "These are densities of values, for which the baselines have no counterpart."
    note += (
        "Marginals and chains are counted in up to 1,000 training sequences, (ones + 1/2) / (count + 1), so "
        "that none is 0 or 1."
    )
    if grey:
        note += (
            " Some values lie between 0 and 1, where x log p + (1 - x) log (1 - p) is minus a cross-entropy, "
            "not the logarithm of a density."
        )
    if published:
        note += (
            f" The paper's rows (Bayer & Osendorfer 2014, table 1, {published}) are as printed, of its own "
            "runs on the test split; it does not say which of the two means they are."
        )
    return note
