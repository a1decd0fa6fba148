"""Scores models batch by batch; nothing but sums outlives a batch."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vidpred.evaluation.gallery import Gallery
from vidpred.evaluation.reductions import over_samples
from vidpred.evaluation.running_mean import RunningMean
from vidpred.evaluation.scores import Row, Score
from vidpred.evaluation.values import ValueWriter
from vidpred.metrics import METRICS, Metric
from vidpred.models.base import VideoModel
from vidpred.models.baselines import Copy, Mean
from vidpred.progress import progress_bar
from vidpred.rollout import each_sample, number_of_samples
from vidpred.sequences import Sequences, require_positive

_FRAMES_AT_ONCE = 256
"""Metrics in double precision take several times the memory of the frames; so many are compared at once."""


@dataclass(frozen=True)
class Contestant:
    """A model and what a table says about it."""

    name: str
    model: VideoModel
    model_name: str
    preset: str | None


def with_baselines(
    contestants: Sequence[Contestant], sequences: Sequences, mean_frame: Tensor | None
) -> list[Contestant]:
    """Adds the predictions that need no training.

    Args:
        mean_frame: (C, H, W), the mean of the training data; None: of each sequence's own context.
    """
    _, channels, height, width = sequences.frame_shape
    baselines = {"copy": Copy(channels, (height, width)), "mean": Mean(channels, (height, width), mean_frame)}
    return [*contestants, *(Contestant(name, model, name, None) for name, model in baselines.items())]


def evaluate(
    contestants: Sequence[Contestant],
    sequences: Sequences,
    count: int,
    context: int,
    horizon: int,
    *,
    samples: int = 1,
    seed: int = 0,
    batch: int = 16,
    device: torch.device | str = "cpu",
    metrics: Mapping[str, Metric] = METRICS,
    values: ValueWriter | None = None,
    gallery: Gallery | None = None,
    quiet: bool = False,
) -> list[Row]:
    """Lets every contestant predict the same frames and scores the predictions.

    Args:
        count: sequences to predict, the first ones.
        samples: predictions of each sequence by a stochastic model, which then gets three rows, see
            `vidpred.evaluation.reductions`.
        batch: sequences in memory at a time.
        device: where to compute; the models are moved there.
        metrics: what to score the predictions by, see `vidpred.metrics.metrics_for`.
        values: keeps the scores of every sequence and frame.
        gallery: keeps the frames of some sequences.

    Returns:
        The rows of each contestant, in their order.

    Raises:
        DataError: there are fewer sequences than `count`, they are shorter than context + horizon, or their
            frames do not fit a model.
        ConfigError: a number that is not positive.
    """
    require_positive(count=count, context=context, horizon=horizon, samples=samples, batch=batch)
    sequences.check_numbers(0, count)
    sequences.check_length(context, horizon)
    for contestant in contestants:
        sequences.check_fits(contestant.model, contestant.name)
        contestant.model.to(device)

    statistics: list[Statistics] = [defaultdict(lambda: defaultdict(RunningMean)) for _ in contestants]
    with progress_bar(quiet=quiet) as bar:
        task = bar.add_task("evaluating", total=count * len(contestants), note="")
        for n, read in enumerate(sequences.batches(range(count), batch)):
            for number, (contestant, sums) in enumerate(zip(contestants, statistics, strict=True)):
                bar.update(task, note=contestant.name)
                scoring = _Scoring(metrics, read.frames[:, context : context + horizon].to(device))
                futures = each_sample(
                    contestant.model,
                    read.frames[:, :context].to(device),
                    horizon,
                    samples,
                    seed=seed,
                    batch=n,
                    labels=None if read.labels is None else read.labels.to(device),
                )
                for sample, future in enumerate(futures):
                    scoring.add(future)
                    if gallery and not sample:
                        gallery.collect(contestant.name, n * batch, read.frames, future)
                for reduction, scores in scoring.reduced().items():
                    for metric, per_frame in scores.items():
                        over_frames = per_frame.mean(axis=-1, keepdims=True)
                        sums[reduction][metric].add(np.concatenate([per_frame, over_frames], axis=-1))
                    if values:
                        values.append(number, reduction, scores)
                bar.advance(task, len(read.frames))
    rows = []
    for number, (contestant, sums) in enumerate(zip(contestants, statistics, strict=True)):
        made = number_of_samples(contestant.model, samples)
        for reduction, of_metrics in sums.items():
            scores_of = {metric: Score.of(mean) for metric, mean in of_metrics.items()}
            row = Row(contestant.name, contestant.model_name, contestant.preset, reduction, made, scores_of)
            if values:
                values.describe(number, row)
            rows.append(row)
    return rows


Statistics = defaultdict[str, defaultdict[str, RunningMean]]
"""Reduction -> metric -> mean and error of horizon + 1 quantities."""


class _Scoring:
    """The scores of one contestant on one batch. One sample's frames are in memory at a time."""

    def __init__(self, metrics: Mapping[str, Metric], truth: Tensor) -> None:
        self._metrics, self._truth = metrics, truth
        self._scores: dict[str, list[Tensor]] = {name: [] for name in metrics}
        self._total = torch.zeros_like(truth)
        self._samples = 0

    def add(self, future: Tensor) -> None:
        """Scores one sample, (n, horizon, C, H, W)."""
        for name, metric in self._metrics.items():
            self._scores[name].append(_in_pieces(metric.per_frame, future, self._truth))
        self._total += future
        self._samples += 1

    def reduced(self) -> dict[str, dict[str, NDArray[np.float64]]]:
        """Reduction -> metric -> (n, horizon)."""
        reduced: dict[str, dict[str, NDArray[np.float64]]] = defaultdict(dict)
        for name, metric in self._metrics.items():
            scores = torch.stack(self._scores[name])
            readings = over_samples(scores, higher_is_better=metric.higher_is_better)
            if self._samples > 1:
                mean_frame = self._total / self._samples
                readings["mean frame"] = _in_pieces(metric.per_frame, mean_frame, self._truth)
            for reduction, values in readings.items():
                reduced[reduction][name] = values.cpu().numpy()
        return reduced


def _in_pieces(metric: Callable[[Tensor, Tensor], Tensor], pred: Tensor, truth: Tensor) -> Tensor:
    """`metric` of (n, horizon, C, H, W), some sequences at a time -> (n, horizon)."""
    piece = max(1, _FRAMES_AT_ONCE // pred.shape[1])
    return torch.cat([metric(*pair) for pair in zip(pred.split(piece), truth.split(piece), strict=True)])
