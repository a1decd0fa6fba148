"""Scores models batch by batch; nothing but sums outlives a batch."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from vidpred.evaluation.reductions import over_samples
from vidpred.evaluation.running_mean import RunningMean
from vidpred.evaluation.scores import Row, Score
from vidpred.metrics import METRICS
from vidpred.models.base import VideoModel
from vidpred.models.baselines import Copy, Mean
from vidpred.progress import progress_bar
from vidpred.rollout import each_sample, number_of_samples
from vidpred.sequences import Batch, Sequences, require_positive

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
    quiet: bool = False,
) -> list[Row]:
    """Lets every contestant predict the same frames and scores the predictions.

    Args:
        count: sequences to predict, the first ones.
        samples: predictions of each sequence by a stochastic model, which then gets three rows, see
            `vidpred.evaluation.reductions`.
        batch: sequences in memory at a time.
        device: where to compute; the models are moved there.

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
            for contestant, sums in zip(contestants, statistics, strict=True):
                bar.update(task, note=contestant.name)
                scores = _score(contestant.model, _on(read, device), context, horizon, samples, seed, n)
                for reduction, values in scores.items():
                    for metric, per_frame in values.items():
                        over_frames = per_frame.mean(dim=-1, keepdim=True)
                        sums[reduction][metric].add(torch.cat([per_frame, over_frames], dim=-1).cpu().numpy())
                bar.advance(task, len(read.frames))
    return [
        Row(
            contestant.name,
            contestant.model_name,
            contestant.preset,
            reduction,
            number_of_samples(contestant.model, samples),
            {metric: Score.of(values) for metric, values in metrics.items()},
        )
        for contestant, sums in zip(contestants, statistics, strict=True)
        for reduction, metrics in sums.items()
    ]


Statistics = defaultdict[str, defaultdict[str, RunningMean]]
"""Reduction -> metric -> mean and error of horizon + 1 quantities."""


def _on(read: Batch, device: torch.device | str) -> Batch:
    return Batch(read.frames.to(device), None if read.labels is None else read.labels.to(device))


def _score(
    model: VideoModel, read: Batch, context: int, horizon: int, samples: int, seed: int, number: int
) -> dict[str, dict[str, Tensor]]:
    """Reduction -> metric -> (n, horizon). One sample's frames are in memory at a time, and their sum."""
    given, truth = read.frames[:, :context], read.frames[:, context : context + horizon]
    scores = defaultdict(list)
    total = torch.zeros(())
    made = number_of_samples(model, samples)
    for future in each_sample(model, given, horizon, samples, seed=seed, batch=number, labels=read.labels):
        for name, metric in METRICS.items():
            scores[name].append(_in_pieces(metric.per_frame, future, truth))
        if made > 1:
            total = total.to(future) + future
    reduced: dict[str, dict[str, Tensor]] = defaultdict(dict)
    for name, metric in METRICS.items():
        readings = over_samples(torch.stack(scores[name]), higher_is_better=metric.higher_is_better)
        if made > 1:
            readings["mean frame"] = _in_pieces(metric.per_frame, total / made, truth)
        for reduction, values in readings.items():
            reduced[reduction][name] = values
    return reduced


def _in_pieces(metric: Callable[[Tensor, Tensor], Tensor], pred: Tensor, truth: Tensor) -> Tensor:
    """`metric` of (n, horizon, C, H, W), some sequences at a time -> (n, horizon)."""
    piece = max(1, _FRAMES_AT_ONCE // pred.shape[1])
    return torch.cat([metric(*pair) for pair in zip(pred.split(piece), truth.split(piece), strict=True)])
