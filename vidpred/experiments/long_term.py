"""How long a model goes on (seed 000, section 5.1): errors, and what errors on average hide.

After some frames a pixel error is that of chance, whether a model shows two crisp digits in the wrong place
or a grey haze. So beside the error stand the objects themselves: how many are seen, how far they are from
the true ones, and how sure a classifier of digits is of what it sees.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from vidpred.errors import VidpredError
from vidpred.evaluation import Setting
from vidpred.experiments.digit_classifier import DigitClassifier, train_classifier
from vidpred.experiments.moving import moving_sequences, trained_spec
from vidpred.experiments.workspace import Arrays, Workspace
from vidpred.metrics import METRICS
from vidpred.metrics.objects import centroid_errors, object_counts
from vidpred.models.base import VideoModel
from vidpred.models.baselines import Copy
from vidpred.progress import progress_bar
from vidpred.rollout import each_sample
from vidpred.sequences import Batch
from vidpred.viz.contact_sheet import write_contact_sheet
from vidpred.viz.curves import Curve, Panel, write_curves
from vidpred.viz.frames import as_uint8
from vidpred.viz.table import Table

TRUTH = "truth"
PIXEL_METRICS = ("bce_frame", "mse_frame", "ssim")
THRESHOLD = 0.3
"""From this brightness on a pixel is part of an object; thin strokes of small digits are hardly brighter."""
SHOWN = 2
"""Sequences that are drawn."""
OBJECT_METRICS = {
    "objects": "objects seen",
    "distance": "distance of objects, pixels",
    "missed": "true objects missed",
    "confidence": "confidence of the digit classifier",
}


def long_term(workspace: Workspace) -> list[Table]:
    """Rolls the runs out for a long time, sample by sample, and scores every frame."""
    spec = trained_spec(workspace.runs[0].config.data)
    classifier, without = None, "There is no classifier of shapes."
    if spec.kind == "mmnist":
        try:
            classifier = train_classifier(spec.digits, spec.digit_size, quiet=workspace.quiet)
        except VidpredError as error:  # the other curves do not need it
            without = f"No classifier: {error}."
    parts = {
        run.name: workspace.part_of(run, partial(_measure, workspace, run.model, classifier))
        for run in workspace.runs
    }
    parts[TRUTH] = workspace.part("truth", partial(_measure, workspace, None, classifier))
    channels, size = workspace.runs[0].config.channels, workspace.runs[0].config.size
    parts["copy"] = workspace.part("copy", partial(_measure, workspace, Copy(channels, size), classifier))

    horizon = workspace.setting.horizon
    frames = [frame for frame in (1, 10, 20, 50, 100, 150, 200) if frame <= horizon]
    tables = [
        Table(
            _label(metric),
            ["", *(f"frame {frame}" for frame in frames)],
            [
                [name, *(_number(part[metric][frame - 1], _decimals(metric)) for frame in frames)]
                for name, part in parts.items()
                if _tells(name, metric)
            ],
        )
        for metric in (*PIXEL_METRICS, *OBJECT_METRICS)
        if metric in parts[TRUTH]
    ]
    accuracy = None if classifier is None else classifier.accuracy
    note = (
        without if accuracy is None else f"The classifier names {accuracy:.1%} of the test digits correctly."
    )
    tables[-1] = replace(tables[-1], note=workspace.note(note))
    write_curves(
        workspace.picture("curves.png"),
        _panels(parts),
        f"{workspace.count} sequences, {workspace.setting.context} frames given",
    )
    for number in range(min(SHOWN, workspace.count, workspace.setting.batch)):
        names = [run.name for run in workspace.runs]
        write_contact_sheet(
            workspace.picture(f"sequence-{number}.png"),
            parts[TRUTH]["context"][number : number + 1],
            np.stack([parts[name]["frames"][number : number + 1] for name in names]),
            parts[TRUTH]["frames"][number : number + 1],
            names=names,
        )
    curves = {
        name: {key: values for key, values in part.items() if key not in ("frames", "context")}
        for name, part in parts.items()
    }
    workspace.finish(tables, {"curves": curves, "classifier_accuracy": accuracy, "threshold": THRESHOLD})
    return tables


def _measure(workspace: Workspace, model: VideoModel | None, classifier: DigitClassifier | None) -> Arrays:
    """Every curve of one model, (horizon,) each, and the frames of the first two sequences.

    Without a model the truth is measured: the objects there are, and what the classifier makes of them.
    """
    setting = workspace.setting
    length = setting.context + setting.horizon
    sequences = moving_sequences(workspace.runs, frames=length, count=workspace.count, seed=setting.seed)
    name = TRUTH if model is None else type(model).__name__.lower()
    curves: dict[str, list[NDArray[np.float64]]] = defaultdict(list)
    shown: Arrays = {}
    with progress_bar(quiet=workspace.quiet) as bar:
        task = bar.add_task("rolling out", total=workspace.count, note=name)
        for n, read in enumerate(sequences.batches(range(workspace.count), setting.batch)):
            frames = read.frames.to(setting.device)
            context, truth = frames[:, : setting.context], frames[:, setting.context :]
            futures = [truth] if model is None else _futures(model, context, read, setting, n)
            of_samples = []
            for future in futures:
                of_samples.append(_scores(future, truth, classifier))
                shown = shown or {"frames": as_uint8(future[:SHOWN]), "context": as_uint8(context[:SHOWN])}
            for metric in of_samples[0]:
                curves[metric].append(_mean(np.stack([scores[metric] for scores in of_samples])))
            bar.advance(task, len(frames))
    return {**{metric: _mean(np.concatenate(values)) for metric, values in curves.items()}, **shown}


def _futures(
    model: VideoModel, context: Tensor, read: Batch, setting: Setting, number: int
) -> Iterator[Tensor]:
    labels = None if read.labels is None else read.labels.to(setting.device)
    return each_sample(
        model.to(setting.device),
        context,
        setting.horizon,
        setting.samples,
        seed=setting.seed,
        batch=number,
        labels=labels,
    )


def _scores(
    future: Tensor, truth: Tensor, classifier: DigitClassifier | None
) -> dict[str, NDArray[np.float64]]:
    """Metric -> (n, horizon), of frames (n, horizon, C, H, W)."""
    against = centroid_errors(future.cpu().numpy(), truth.cpu().numpy(), THRESHOLD)
    scores = {metric: METRICS[metric].per_frame(future, truth).cpu().numpy() for metric in PIXEL_METRICS}
    scores["objects"] = object_counts(future.cpu().numpy(), THRESHOLD).astype(np.float64)
    scores["distance"] = against.distance
    scores["missed"] = against.missed.astype(np.float64)
    if classifier is not None:
        scores["confidence"] = classifier.confidence(future, THRESHOLD)
    return scores


def _mean(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """The mean over the first dimension of what is known: where nothing was found there is no distance."""
    known = np.isfinite(values)
    count = known.sum(axis=0)
    total = np.where(known, values, 0).sum(axis=0)
    return np.divide(total, count, out=np.full(count.shape, np.nan), where=count > 0)


def _panels(parts: dict[str, Arrays]) -> Sequence[Panel]:
    panels = []
    for metric in (*PIXEL_METRICS, *OBJECT_METRICS):
        curves = [
            Curve(name, np.asarray(part[metric]), dashed=name in (TRUTH, "copy"))
            for name, part in parts.items()
            if metric in part and _tells(name, metric)
        ]
        if curves:
            panels.append(Panel(_label(metric), curves))
    return panels


def _tells(name: str, metric: str) -> bool:
    """Of the truth only what is seen in it says anything: it has no error."""
    return name != TRUTH or metric in ("objects", "confidence")


def _label(metric: str) -> str:
    return OBJECT_METRICS.get(metric) or METRICS[metric].label


def _number(value: float, decimals: int) -> str:
    """Where no object is seen there is no distance."""
    return f"{value:.{decimals}f}" if np.isfinite(value) else "none"


def _decimals(metric: str) -> int:
    return 2 if metric in OBJECT_METRICS else METRICS[metric].decimals
