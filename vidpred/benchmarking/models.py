"""The models suite: a training step and a rollout of every registered model, on the presets for CPUs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor

from vidpred import config, ops
from vidpred.benchmarking.counters import count_flops, peak_bytes
from vidpred.benchmarking.machine import why_no_kernels
from vidpred.benchmarking.roofline import Peaks, Work, fraction, gflop_per_s
from vidpred.benchmarking.rows import Row, Skipped, speedups
from vidpred.benchmarking.straightforward import straightforward
from vidpred.benchmarking.timer import interleaved_medians, stopwatch_for
from vidpred.models.base import VideoModel
from vidpred.models.feedback import FeedbackModel
from vidpred.models.registry import MODELS, create_model, model_class

_BACKENDS = {"native": "native", "eager": "reference", "naive": "reference"}
"""The variants: the whole model on the kernels, on their plain-torch twins, and on those step by step: a
memory that sees each frame only when its turn has come, and a Conv-TT-LSTM that reduces every window of
states in every step; the others convolve all known frames at once, and a window once."""


Step = Callable[[Tensor], Any]
"""From frames (N, T, C, H, W) to whatever is computed of them."""


@dataclass(frozen=True)
class Case:
    """A model at one of its presets, on other frames and batches than the preset's where that is said."""

    model: str
    preset: str
    size: int | None = None
    batch: int | None = None
    rivals: tuple[str, ...] = ()
    """Models of the same recipe that take turns with it, so that their times can be compared."""

    @property
    def models(self) -> tuple[str, ...]:
        """All of them."""
        return (self.model, *self.rivals)


def cases(quick: bool, on_gpu: bool = False, only: Sequence[str] = ()) -> list[Case]:
    """Every registered model at ``tiny``; unless `quick` at ``small`` too, and on a GPU at ``paper``.

    On a CPU the two networks of seed 002 run at the paper's width on smaller frames, taking turns.

    Args:
        quick: fewer.
        on_gpu: whether they will run on one.
        only: names of models; all, if there are none.

    Raises:
        ConfigError: a name that is no model's.
    """
    for name in only:
        model_class(name)  # raises where there is none
    presets = ["tiny"] if quick else ["tiny", "small", *(["paper"] if on_gpu else [])]
    chosen = [Case(model, preset) for preset in presets for model in MODELS if not only or model in only]
    compared = [model for model in ("convlstm12", "convttlstm") if not only or model in only]
    if compared and not quick and not on_gpu:
        first, *rivals = compared
        chosen.append(Case(first, "paper", size=32, batch=4, rivals=tuple(rivals)))
    return chosen


def results_of(case: Case) -> int:
    """How many rows and skipped variants `run_case` yields: of a training step and of a rollout."""
    return 2 * sum(len(_variants(model)) for model in case.models)


def run_case(case: Case, device: torch.device, peaks: Peaks, *, budget: float) -> Iterator[Row | Skipped]:
    """Yields the rows of a model and its rivals: training steps and rollouts, on random frames.

    A training step is loss, backward pass and an update by Adam on one batch of the preset. A rollout
    predicts the preset's horizon from its context for as many sequences.

    Args:
        case: what to run.
        device: where.
        peaks: rates of the machine; the fraction reported is of the matrix-product rate.
        budget: seconds of timing for each of the two, for each model.
    """
    settings = config.resolve(case.model, case.preset, MODELS[case.model].Options).config
    data, use = settings.data, settings.eval
    models = {name: _fresh(name, case.preset, case.size or data.size, device) for name in case.models}
    stages: list[tuple[str, int, Callable[[VideoModel], Step], int]] = [
        ("training step", data.frames, partial(_training_step, context=settings.train.context), data.frames),
        ("rollout", use.context, partial(_rollout, horizon=use.horizon), use.horizon),
    ]
    for stage, length, make_step, counted in stages:
        batch = case.batch or settings.train.batch
        first = models[case.model]
        frames = torch.rand(batch, length, first.channels, *first.size, device=device)
        steps: dict[tuple[str, str], Step] = {}
        for name, model in models.items():
            for variant in _variants(name):
                reason = why_no_kernels(device) if _BACKENDS[variant] == "native" else None
                if reason:
                    yield Skipped(f"{name} {case.preset} {stage}", variant, reason)
                else:
                    step = _one_by_one(model, make_step) if variant == "naive" else make_step(model)
                    steps[name, variant] = _on_backend(_BACKENDS[variant], step)
        peaks_of = {key: peak_bytes(partial(step, frames)) for key, step in steps.items()}
        seconds = interleaved_medians(steps, [frames], stopwatch_for(device), budget=budget * len(models))
        for name, model in models.items():
            of_model = {variant: time for (owner, variant), time in seconds.items() if owner == name}
            work = Work(flops=count_flops(partial(make_step(model), frames)))
            vs_eager, vs_naive = speedups(of_model, over="eager"), speedups(of_model, over="naive")
            for variant, time in of_model.items():
                yield Row(
                    name=f"{name} {case.preset}",
                    stage=stage,
                    shape=tuple(frames.shape),
                    dtype="float32",
                    device=device.type,
                    variant=variant,
                    ms=time * 1e3,
                    gflop_per_s=gflop_per_s(work, time),
                    fraction_of_roofline=fraction(work, time, peaks),
                    speedup_vs_eager=vs_eager[variant],
                    speedup_vs_naive=vs_naive[variant],
                    peak_mb=peaks_of[name, variant] / 1e6,
                    frames_per_s=len(frames) * counted / time,
                )


def _fresh(name: str, preset: str, size: int, device: torch.device) -> VideoModel:
    torch.manual_seed(0)
    model = create_model(name, preset, size=size).to(device)
    if isinstance(model, FeedbackModel):
        model.true_share = 0.5  # halfway through scheduled sampling, for those that are trained by it
    return model


def _training_step(model: VideoModel, context: int) -> Step:
    optimiser = torch.optim.Adam(model.parameters())

    def step(frames: Tensor) -> None:
        labels = frames.new_zeros(len(frames), 1).long() if model.recognises else None
        optimiser.zero_grad()
        model.loss(frames, context, labels=labels)["loss"].backward()
        optimiser.step()

    return step


def _rollout(model: VideoModel, horizon: int) -> Step:
    return lambda context: model.predict(context, horizon)


def _variants(model: str) -> list[str]:
    """The naive variant is for models with a memory that sees frames."""
    seen_one_by_one = issubclass(MODELS[model], FeedbackModel)
    return [variant for variant in _BACKENDS if variant != "naive" or seen_one_by_one]


def _one_by_one(trained: VideoModel, make_step: Callable[[VideoModel], Step]) -> Step:
    """The step with a model of the same weights that sees frame after frame, as the formulas are printed."""
    model = straightforward(trained)
    assert isinstance(model, FeedbackModel)
    step, together = make_step(model), model.observe

    def observe(frames: Tensor, memory: Any, last: int = 1) -> tuple[Any, Any]:
        outputs = []
        for frame in frames.split(1):
            output, memory = together(frame, memory)
            outputs.append(output)
        outputs = outputs[-last:]
        if isinstance(outputs[0], Tensor):
            return torch.cat(outputs), memory
        return type(outputs[0])(*map(torch.cat, zip(*outputs, strict=True))), memory

    def run(frames: Tensor) -> Any:
        with patch.object(model, "observe", observe):
            return step(frames)

    return run


def _on_backend(backend: str, step: Step) -> Step:
    def run(frames: Tensor) -> Any:
        with ops.use_backend(backend):
            return step(frames)

    return run
