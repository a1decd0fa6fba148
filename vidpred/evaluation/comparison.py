"""Runs beside the baselines on one set of sequences: one call from opened runs to a report."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import vidpred
from vidpred import ops
from vidpred.benchmarking.hardware import cpu_name, gpu
from vidpred.evaluation.gallery import Gallery
from vidpred.evaluation.report import Report
from vidpred.evaluation.streaming import Contestant, evaluate, with_baselines
from vidpred.evaluation.values import Values, writing_values
from vidpred.metrics import METRICS, Metric
from vidpred.runs import Run, best_step
from vidpred.sequences import Sequences


@dataclass(frozen=True)
class Setting:
    """How runs are compared."""

    context: int
    horizon: int
    samples: int = 1
    seed: int = 0
    batch: int = 16
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    metrics: Mapping[str, Metric] = field(default_factory=lambda: METRICS)


@dataclass(frozen=True)
class Evaluated:
    """What came of it: the report, the score of every sequence, and the frames of some."""

    report: Report
    values: Values
    gallery: Gallery


def compare(
    runs: Sequence[Run],
    sequences: Sequences,
    count: int,
    setting: Setting,
    values: Path,
    *,
    mean_frame: Tensor | None,
    shown: Sequence[int] = (),
    facts: Mapping[str, Any] | None = None,
    quiet: bool = False,
) -> Evaluated:
    """Evaluates all runs and the baselines `copy` and `mean` on the first `count` sequences.

    Args:
        values: where to keep the scores of every sequence, an HDF5 file.
        mean_frame: (C, H, W), for the baseline; None takes the mean of each sequence's own context.
        shown: numbers of the sequences whose frames are kept.
        facts: what else the report shall say.

    Raises:
        DataError: see `evaluate`.
    """
    own = [Contestant(run.name, run.model, run.config.name, run.config.preset) for run in runs]
    gallery = Gallery(shown, setting.context)
    with writing_values(values) as writer:
        rows = evaluate(
            with_baselines(own, sequences, mean_frame),
            sequences,
            count,
            setting.context,
            setting.horizon,
            samples=setting.samples,
            seed=setting.seed,
            batch=setting.batch,
            device=setting.device,
            metrics=setting.metrics,
            values=writer,
            gallery=gallery,
            quiet=quiet,
        )
    found = {
        "source": sequences.source,
        "sha256": sequences.sha256,
        "sequences": count,
        "context": setting.context,
        "horizon": setting.horizon,
        "samples": setting.samples,
        "seed": setting.seed,
        "batch": setting.batch,
        "metrics": list(setting.metrics),
        "runs": [describe(run) for run in runs],
        "machine": machine(setting.device),
    }
    return Evaluated(Report({**found, **(facts or {})}, rows, setting.metrics), Values(values), gallery)


def describe(run: Run) -> dict[str, Any]:
    """What a report says about a run: what it is, how large, and how long it was trained."""
    last = run.metrics[-1] if run.metrics else {}
    return {
        "name": run.name,
        "model": run.config.name,
        "preset": run.config.preset,
        "parameters": sum(weights.numel() for weights in run.model.parameters()),
        "steps": last.get("step"),
        "best_step": best_step(run.path),
        "batch": run.config.train.batch,
        "minutes": round(last["seconds"] / 60, 1) if "seconds" in last else None,
        "options": run.config.model.model_dump(mode="json"),
    }


def machine(device: torch.device) -> dict[str, Any]:
    """What the numbers may depend on in their last digits."""
    return {
        "device": str(device),
        "cpu": cpu_name(),
        "gpu": gpu(device),
        "system": platform.platform(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "vidpred": vidpred.__version__,
        "backend": ops.backend(),
    }
