"""Whole sequences of any length, the models of seed 003 that take them, and how they are scored."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vidpred.config import DataConfig
from vidpred.data.hdf5 import open_dataset
from vidpred.data.notes import ROLL_SHAPE
from vidpred.errors import ConfigError, DataError
from vidpred.experiments.markov import MarkovChains
from vidpred.experiments.workspace import Workspace
from vidpred.metrics.binary import Hits, log_likelihood
from vidpred.runs import Run
from vidpred.sequences import Sequences, describe_shape, open_sequences

ON = 0.5
"""From this value on a note sounds, and a pixel is white."""
SURE = 1e-7
"""How near the probabilities of a network come to 0 and 1: the precision of its numbers."""
_ENOUGH_FOR_COUNTS = 1000


class WholeSequences:
    """The sequences of a split from their first to their last step, or moving objects made on the fly.

    Attributes:
        source: what to call them in a message.
        shape: (C, H, W) of a step.
        lengths: int64 (N,), steps of each.
    """

    def __init__(self, trained_on: DataConfig, file: Path | None, split: str) -> None:
        """Opens them.

        Args:
            trained_on: the data of a run, whose file is taken where no `file` is given, and whose moving
                objects where it has none.

        Raises:
            DataError: the file or split is missing, damaged or empty, or a sequence has no step.
        """
        self._file = file or (Path(trained_on.file) if trained_on.file else None)
        self._split = split
        self._made: Sequences | None = None
        self.shape: tuple[int, int, int]
        if self._file is None:
            self._made = open_sequences(trained_on, None, split, length=trained_on.frames)
            steps, *shape = self._made.frame_shape
            self.lengths = np.full(len(self._made), steps)
            self.source = self._made.source
        else:
            with open_dataset(self._file) as opened:
                found = opened[split]
                shape = list(found.frames.shape[-3:])
                lengths = np.diff(found.offsets) if found.offsets is not None else None
                self.lengths = np.full(len(found), found.longest) if lengths is None else lengths
            self.source = f"{self._file} ({split})"
        self.shape = (shape[0], shape[1], shape[2])
        if len(empty := np.flatnonzero(self.lengths == 0)):
            raise DataError(f"sequence {empty[0]} of {self.source} has no steps")

    def __len__(self) -> int:
        return len(self.lengths)

    @property
    def are_rolls(self) -> bool:
        """Whether a step is one of a piano roll."""
        return self.shape == ROLL_SHAPE

    def read(self, numbers: Sequence[int]) -> list[NDArray[np.float32]]:
        """Sequences, (T, C, H, W) in [0, 1] each."""
        if self._made is not None:
            [batch] = self._made.batches(numbers, len(numbers))
            return list(batch.frames.numpy())
        assert self._file is not None
        with open_dataset(self._file) as opened:
            found = opened[self._split]
            return [np.divide(found.sequence(number), 255, dtype=np.float32) for number in numbers]

    def in_groups(self, count: int, size: int) -> Iterator[list[int]]:
        """The numbers of the first `count`, about equally long ones together, so that little is padded."""
        order = np.argsort(self.lengths[:count], kind="stable").tolist()
        for start in range(0, count, size):
            yield order[start : start + size]

    def require(self, count: int, least: int = 1) -> None:
        """Raises `DataError` unless there are `count` sequences, each of `least` steps."""
        if count > len(self):
            raise DataError(
                f"sequence {count - 1} was asked for, but {self.source} has only 0 to {len(self) - 1}"
            )
        shortest = int(self.lengths[:count].argmin())
        if self.lengths[shortest] < least:
            raise DataError(
                f"sequence {shortest} of {self.source} has {self.lengths[shortest]} steps, "
                f"expected at least {least}"
            )


def open_whole(workspace: Workspace, split: str, models: Sequence[str], least: int = 1) -> WholeSequences:
    """The sequences that an experiment is about, after a look at the runs.

    Args:
        models: the names of those that can take part.
        least: steps that a sequence must have.

    Raises:
        ConfigError: a run of another model.
        DataError: see `WholeSequences`; there are too few sequences, or they do not fit a run.
    """
    for run in workspace.runs:
        if run.config.name not in models:
            known = " or ".join([", ".join(models[:-1]), models[-1]] if models[1:] else models)
            raise ConfigError(f"{run.path} is a run of the model {run.config.name}, expected {known}")
    whole = WholeSequences(workspace.runs[0].config.data, workspace.file, split)
    for run in workspace.runs:
        expected = (run.model.channels, *run.model.size)
        if expected != whole.shape:
            raise DataError(
                f"{run.name} expects frames of {describe_shape(expected)}, "
                f"but those of {whole.source} are {describe_shape(whole.shape)}"
            )
    whole.require(workspace.count, least)
    return whole


def require_bernoulli(runs: Sequence[Run]) -> None:
    """Raises `ConfigError` for a run whose output is no probability."""
    for run in runs:
        if not is_bernoulli(run):
            raise ConfigError(
                f"{run.path} has model.output=gaussian: expected a run with probabilities, "
                "model.output=bernoulli"
            )


def is_bernoulli(run: Run) -> bool:
    """Whether a run of seed 003 predicts probabilities, not densities."""
    return bool(run.config.model.output == "bernoulli")  # type: ignore[attr-defined]


def training_file(workspace: Workspace) -> Path | None:
    """The data file if it has a training split; None: take what the first run has learnt from."""
    if workspace.file is None:
        return None
    with open_dataset(workspace.file) as opened:
        return workspace.file if "train" in opened else None


def training_sequences(workspace: Workspace) -> Iterator[NDArray[np.float32]]:
    """Up to 1,000 of the training split, in `training_file`."""
    training = WholeSequences(workspace.runs[0].config.data, training_file(workspace), "train")
    for first in range(0, min(len(training), _ENOUGH_FOR_COUNTS), 100):
        yield from training.read(range(first, min(first + 100, len(training), _ENOUGH_FOR_COUNTS)))


def training_chains(workspace: Workspace) -> MarkovChains:
    """The chains of the values of the training split."""
    counted = workspace.part("training", lambda: vars(MarkovChains.of(training_sequences(workspace))))
    return MarkovChains(**counted)


def generator_for(device: torch.device, *numbers: int) -> torch.Generator:
    """A source of noise that depends on these numbers alone, the seed being one of them."""
    return torch.Generator(device).manual_seed(int(np.random.SeedSequence(numbers).generate_state(1)[0]))


@dataclass(frozen=True)
class Padded:
    """Sequences side by side, as the models take them.

    Attributes:
        frames: (N, T, C, H, W) in [0, 1], black in front of the shorter ones.
        lengths: int64 (N,), steps at the end that are the sequence.
    """

    frames: Tensor
    lengths: Tensor

    @classmethod
    def of(cls, sequences: Sequence[NDArray[np.float32]], device: torch.device) -> Padded:
        """Puts sequences (T, C, H, W) beside each other."""
        lengths = [len(sequence) for sequence in sequences]
        frames = np.zeros((len(sequences), max(lengths), *sequences[0].shape[1:]), np.float32)
        for row, sequence in zip(frames, sequences, strict=True):
            row[len(row) - len(sequence) :] = sequence
        return cls(torch.from_numpy(frames).to(device), torch.tensor(lengths, device=device))

    def cut(self, values: Tensor) -> list[NDArray[np.float32]]:
        """Of values (N, T, ...), one for every step, those of each sequence: (its T, ...)."""
        longest = values.shape[1]
        return [
            row[longest - length :]
            for row, length in zip(values.cpu().numpy(), self.lengths.tolist(), strict=True)
        ]


def reconstructed(
    model: Any, sequences: Sequence[NDArray[np.float32]], device: torch.device
) -> list[NDArray[np.float64]]:
    """The probability of every value of sequences (T, C, H, W) at the mode of the posterior."""
    padded = Padded.of(sequences, device)
    return probabilities(padded.cut(model.reconstruct(padded.frames, lengths=padded.lengths)))


def probabilities(found: Sequence[NDArray[np.floating]]) -> list[NDArray[np.float64]]:
    """What a network says of values, within what its precision can tell from 0 and 1."""
    return [probability.astype(np.float64).clip(SURE, 1 - SURE) for probability in found]


SCORES = ("found", "false", "missed", "log_likelihood", "steps")
"""What `score` says of a sequence, in this order."""


def score(
    probability: NDArray[np.floating], truth: NDArray[np.floating], on: NDArray[np.bool_] | None = None
) -> NDArray[np.float64]:
    """Counts and the log-likelihood (nats) of steps (T, C, H, W), in the order of `SCORES`.

    Args:
        probability: that a value is on.
        truth: in [0, 1].
        on: which values are said to be on, where it is not those of a probability of at least 1/2.
    """
    said = probability >= ON if on is None else on
    of_truth = log_likelihood(probability, truth).sum()
    return np.array([*Hits.of(said, truth >= ON), of_truth, len(truth)], np.float64)


@dataclass(frozen=True)
class Summary:
    """The scores of all sequences together.

    Attributes:
        hits: of all their values.
        log_likelihood: nats a step, and its standard error over sequences.
    """

    hits: Hits
    log_likelihood: tuple[float, float]

    @classmethod
    def of(cls, scores: NDArray[np.float64]) -> Summary:
        """Of (N, 5) scores of N sequences."""
        by_name = dict(zip(SCORES, scores.T, strict=True))
        hits = Hits(*(float(by_name[name].sum()) for name in Hits._fields))
        return cls(hits, per_step(by_name["log_likelihood"], by_name["steps"]))

    def cells(self) -> list[str]:
        """F1, precision and recall in percent, and the log-likelihood, for a table."""
        shares = (self.hits.f1, self.hits.precision, self.hits.recall)
        return [*("none" if np.isnan(share) else f"{100 * share:.1f}" for share in shares),
                with_error(*self.log_likelihood)]  # fmt: skip

    def numbers(self) -> dict[str, float]:
        """Every number, for JSON."""
        mean, error = self.log_likelihood
        return {
            "f1": self.hits.f1,
            "precision": self.hits.precision,
            "recall": self.hits.recall,
            "log_likelihood": mean,
            "standard_error": error,
        }


SCORE_HEADER = ("F1 %", "precision %", "recall %", "log-likelihood")


def per_step(totals: NDArray[np.floating], steps: NDArray[np.floating]) -> tuple[float, float]:
    """Total over total steps, and its standard error over sequences.

    Args:
        totals: (N,) of each sequence.
        steps: (N,) of each.

    The error is that of a ratio of two sums (the first-order one, as in Cochran 1977, section 2.11).
    """
    ratio = totals.sum() / steps.sum()
    rest = totals - ratio * steps
    return float(ratio), _standard_error(rest / steps.mean())


def mean_of_means(totals: NDArray[np.floating], steps: NDArray[np.floating]) -> tuple[float, float]:
    """The mean over sequences of their own means over steps, and its standard error; see `per_step`."""
    means = totals / steps
    return float(means.mean()), _standard_error(means)


def with_error(value: float, error: float) -> str:
    """``-7.12 ± 0.03``; without an error where there is one sequence only."""
    return f"{value:.2f}" + (f" ± {error:.2f}" if np.isfinite(error) else "")


def _standard_error(values: NDArray[np.floating]) -> float:
    return float(values.std(ddof=1) / np.sqrt(len(values))) if len(values) > 1 else float("nan")
