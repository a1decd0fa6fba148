"""What an evaluation finds out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vidpred.evaluation.running_mean import RunningMean


@dataclass(frozen=True)
class Score:
    """One metric of one row, over sequences; the standard errors are None for a single sequence."""

    mean: float
    """Over all predicted frames."""
    standard_error: float | None
    per_frame: NDArray[np.float64]  # (horizon,)
    per_frame_standard_error: NDArray[np.float64] | None  # (horizon,)

    @classmethod
    def of(cls, statistics: RunningMean) -> Score:
        """From statistics of (horizon + 1) quantities: the value of each frame, then their mean."""
        mean, error = statistics.mean, statistics.standard_error
        return cls(
            mean=float(mean[-1]),
            standard_error=None if error is None else float(error[-1]),
            per_frame=mean[:-1],
            per_frame_standard_error=None if error is None else error[:-1],
        )

    def at(self, frame: int | None) -> tuple[float, float | None]:
        """Value and standard error at predicted frame `frame`, from 1; None: over all frames."""
        if frame is None:
            return self.mean, self.standard_error
        errors = self.per_frame_standard_error
        return float(self.per_frame[frame - 1]), None if errors is None else float(errors[frame - 1])

    def as_json(self) -> dict[str, Any]:
        """The score as plain lists and numbers."""
        errors = self.per_frame_standard_error
        return {
            "mean": self.mean,
            "standard_error": self.standard_error,
            "per_frame": self.per_frame.tolist(),
            "per_frame_standard_error": None if errors is None else errors.tolist(),
        }


@dataclass(frozen=True)
class Row:
    """The scores of one model under one reading of its samples (see `vidpred.evaluation.reductions`)."""

    name: str
    """Of the run, or ``copy`` or ``mean``."""
    model: str
    preset: str | None
    """None for the baselines, which have none."""
    reduction: str
    samples: int
    scores: dict[str, Score]
    """By the names of `vidpred.metrics.METRICS`."""

    @property
    def reading(self) -> str:
        """The reduction with the number of samples in it, such as ``best of 5``; empty for `single`."""
        return "" if self.reduction == "single" else f"{self.reduction} of {self.samples}"

    @property
    def is_baseline(self) -> bool:
        """Whether this is one of the untrained models that are there to compare with."""
        return self.preset is None

    def as_json(self) -> dict[str, Any]:
        """The row as plain data."""
        return {
            "name": self.name,
            "model": self.model,
            "preset": self.preset,
            "reduction": self.reduction,
            "samples": self.samples,
            "metrics": {name: score.as_json() for name, score in self.scores.items()},
        }
