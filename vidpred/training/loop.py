"""The training loop, one for all models, on Accelerate."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from torch import Tensor
from torch.utils.data import BatchSampler, DataLoader, Sampler

from vidpred import runs
from vidpred.config import Config, TrainConfig
from vidpred.data import FrameDataset, MovingDataset
from vidpred.device import find_device
from vidpred.errors import TrainingError
from vidpred.models.base import VideoModel
from vidpred.models.registry import build, model_class
from vidpred.training.batches import Batch, ShuffledBatches, batches_per_epoch, seeded, split_batch
from vidpred.training.display import Display, describe
from vidpred.training.interrupt import stop_request
from vidpred.training.optim import learning_rate, make_optimizer
from vidpred.training.samples import draw_samples


@dataclass(frozen=True)
class Outcome:
    """How a training ended."""

    path: Path
    step: int
    best: float
    """Lowest validation loss, infinite if there was no validation."""
    interrupted: bool


@dataclass
class Progress:
    """The counters that a checkpoint carries besides weights and optimiser."""

    step: int = 0
    epoch: int = 0
    """Whole epochs that are over."""
    batch: int = 0
    """Batches of the current epoch that are over."""
    best: float = math.inf
    seconds: float = 0.0
    """Time spent training, over all sittings."""
    validations: list[tuple[int, float]] = field(default_factory=list)
    """After how many epochs there was a validation, and its loss."""


@dataclass
class Window:
    """Running means of the loss terms since the last line of the log."""

    sums: dict[str, float] = field(default_factory=dict)
    steps: int = 0
    frames: int = 0
    since: float = field(default_factory=time.monotonic)

    def add(self, terms: dict[str, float], frames: int) -> None:
        """Takes in the terms of one step and the frames it saw."""
        for name, value in terms.items():
            self.sums[name] = self.sums.get(name, 0.0) + value
        self.steps += 1
        self.frames += frames

    def means(self) -> dict[str, float]:
        """Mean terms, and frames per second."""
        rate = self.frames / max(time.monotonic() - self.since, 1e-9)
        return {name: total / self.steps for name, total in self.sums.items()} | {"frames_per_s": rate}


def train(path: Path, *, resume: bool = False, device: str = "auto", quiet: bool = False) -> Outcome:
    """Trains the run at `path`, whose configuration is there already.

    Args:
        resume: go on from ``checkpoints/last``.
        device: see `find_device`; with several processes each takes the GPU its launcher gives it.
        quiet: no progress display.

    Raises:
        TrainingError: the loss or its gradient is no longer finite.
        CheckpointError: there is nothing to resume, or it is damaged.
    """
    return _Training(path, resume=resume, device=device, quiet=quiet).run()


class _Training:
    """The state of a training and what is done with it; `train` is the way in."""

    def __init__(self, path: Path, *, resume: bool, device: str, quiet: bool) -> None:
        self.path = path
        self.config: Config = runs.read_config(path).config
        self.settings: TrainConfig = self.config.train
        chosen = find_device(device)
        if chosen.index is not None:
            torch.cuda.set_device(chosen)
        AcceleratorState._reset_state()  # else a second training in one process must have the same precision
        self.accelerator = Accelerator(
            cpu=chosen.type == "cpu",
            mixed_precision=self.settings.precision,
            log_with=None if self.settings.tracker == "none" else self.settings.tracker,
            project_dir=path,
        )
        labels = getattr(self.config.model, "classes", 0) > 0
        padded = model_class(self.config.name).takes_lengths
        self.data = runs.open_split(self.config.data, "train", with_labels=labels, padded=padded)
        self.validation = runs.open_split(self.config.data, "val", with_labels=labels, padded=padded)
        self.per_epoch = batches_per_epoch(len(self.data), self.settings.batch)
        self.last_step = _last_step(self.settings, self.per_epoch)

        torch.manual_seed(self.settings.seed)
        model = build(self.config)
        if resume:
            runs.load_weights(model, path, "last")
        self.plain_model: VideoModel = model
        """The model without the wrappers of distributed training."""
        self.model, self.optimizer = self.accelerator.prepare(
            model, make_optimizer(model.parameters(), self.config.optim)
        )
        self.progress = Progress()
        if resume:
            self._restore(runs.load_training_state(path, "last"))
        self.before = self.progress.seconds
        self.started = time.monotonic()
        self.display = Display(*self._extent(), quiet=quiet or not self.accelerator.is_main_process)

    def run(self) -> Outcome:
        if self.settings.tracker != "none":
            self.accelerator.init_trackers("vidpred")
        with stop_request() as stop, self.display:
            for _ in self._steps():
                if stop:
                    break
            self._save("last")
        self.accelerator.end_training()
        return Outcome(self.path, self.progress.step, self.progress.best, interrupted=bool(stop))

    def _steps(self) -> Iterator[None]:
        """Runs epoch after epoch; yields after every step, when all state is consistent."""
        window = Window()
        while not self._is_over():
            self.model.train()
            self.plain_model.begin_epoch(self.progress.epoch, self.progress.validations)
            for batch in self._batches(self.data, self._order()):
                window.add(*self._step(batch))
                self.progress.step += 1
                self.progress.batch += 1
                self.progress.seconds = self.before + time.monotonic() - self.started
                if self.progress.step % self.settings.log_every == 0:
                    self._log(window.means())
                    window = Window()
                if self.progress.step % self.settings.checkpoint_every == 0:
                    self._save("last")
                yield
                if self._is_over():
                    break
            else:
                self.progress.epoch += 1
                self.progress.batch = 0
            self._end_epoch()
            window = Window()

    def _step(self, batch: Any) -> tuple[dict[str, float], int]:
        """One step of the optimiser; returns the terms of the loss and how many frames it saw."""
        step, settings, device = self.progress.step, self.settings, self.accelerator.device
        for group in self.optimizer.param_groups:
            group["lr"] = self._learning_rate(step)
        self.plain_model.begin_step(step)
        rank, world = self.accelerator.process_index, self.accelerator.num_processes
        noise = seeded(settings.seed, step * world + rank, device)
        whole = split_batch(batch, device)
        total = max(1, whole.weight(settings.context))
        among_processes = total / self._mean_weight(whole)
        sums: dict[str, Tensor] = {}
        pieces = whole.pieces(settings.accumulate)
        for n, piece in enumerate(pieces, start=1):
            share = piece.weight(settings.context) / total
            synchronise = nullcontext() if n == len(pieces) else self.accelerator.no_sync(self.model)
            with synchronise:
                terms = self._terms(piece, noise)
                self.accelerator.backward(terms["loss"] * (share * among_processes))
            for name, value in terms.items():
                sums[name] = sums.get(name, torch.zeros((), device=device)) + value.detach() * share
        norm = self.accelerator.clip_grad_norm_(self.model.parameters(), self.config.optim.clip or math.inf)
        values = {name: value.item() for name, value in sums.items()}
        self._check_finite(values, float(norm))
        self.optimizer.step()
        self.optimizer.zero_grad()
        return values | {"grad_norm": float(norm)}, whole.frame_count

    def _terms(self, batch: Batch, noise: torch.Generator) -> dict[str, Tensor]:
        """The model's loss on a batch and what it is made of."""
        more = {"lengths": batch.lengths} if self.plain_model.takes_lengths else {}
        terms: dict[str, Tensor] = self.model(
            batch.frames, self.settings.context, labels=batch.labels, generator=noise, **more
        )
        return terms

    def _mean_weight(self, batch: Batch) -> float:
        """The mean weight of the parts of a batch that the processes have, which may differ in length.

        The gradient is the mean over the processes; by this each frame counts as much, whichever has it.
        """
        weight = float(batch.weight(self.settings.context))
        if batch.lengths is not None and self.accelerator.num_processes > 1:
            mean = self.accelerator.reduce(torch.tensor(weight, device=batch.frames.device), "mean")
            weight = mean.item()
        return weight or 1.0

    def _check_finite(self, values: dict[str, float], norm: float) -> None:
        # In fp16 a gradient may overflow; the scaler then skips the step and lowers its scale.
        if self.settings.precision != "fp16":
            values = values | {"the gradient's norm": norm}
        for name, value in sorted(values.items(), key=lambda item: item[0] == "loss"):
            if not math.isfinite(value):
                raise TrainingError(
                    f"training stopped at step {self.progress.step + 1}: {name} is {value}; the last "
                    "checkpoint is whole, try a lower optim.learning_rate or optim.clip"
                )

    @torch.no_grad()
    def _validate(self) -> dict[str, float]:
        """The loss terms over the validation split, with the same noise every time."""
        self.model.eval()
        device = self.accelerator.device
        rank, world = self.accelerator.process_index, self.accelerator.num_processes
        indices = list(range(len(self.validation)))[rank::world]
        order = BatchSampler(indices, max(1, self.settings.batch // world), drop_last=False)
        noise = seeded(self.settings.seed, rank, device)
        sums: dict[str, Tensor] = {}
        weights = torch.zeros((), dtype=torch.float64, device=device)
        for batch in map(partial(split_batch, device=device), self._batches(self.validation, order)):
            weight = batch.weight(self.settings.context)
            weights += weight
            for name, value in self._terms(batch, noise).items():
                sums[name] = sums.get(name, torch.zeros((), device=device)) + value.detach() * weight
        total = self.accelerator.reduce(weights, "sum").item()
        return {name: self.accelerator.reduce(sum_, "sum").item() / total for name, sum_ in sums.items()}

    def _end_epoch(self) -> None:
        """Validates, keeps the best, draws samples and saves, as often as the settings say."""
        epoch, over = self.progress.epoch, self._is_over()
        if over or epoch % self.settings.validate_every == 0:
            terms = self._validate()
            self._record("val", terms)
            self.progress.validations.append((epoch, terms["loss"]))
            best = terms["loss"] < self.progress.best
            if best:
                self.progress.best = terms["loss"]
                self._save("best")
            self.display.say(
                f"epoch {epoch}, step {self.progress.step}: validation {describe(terms)}{' (best)' * best}"
            )
        if self.accelerator.is_main_process and (over or epoch % self.settings.sample_every == 0):
            picture = self.path / "samples" / f"step-{self.progress.step:07d}.png"
            context, seed = self.config.eval.context, self.settings.seed
            draw_samples(picture, self.plain_model, self.validation, context, seed)
        self._save("last")

    def _batches(self, data: FrameDataset | MovingDataset, order: Sampler[list[int]]) -> DataLoader[Any]:
        return DataLoader(
            data,
            batch_sampler=order,
            num_workers=self.settings.workers,
            pin_memory=self.accelerator.device.type == "cuda",
        )

    def _order(self) -> ShuffledBatches:
        return ShuffledBatches(
            len(self.data),
            self.settings.batch,
            seed=self.settings.seed,
            epoch=self.progress.epoch,
            skip=self.progress.batch,
            process=(self.accelerator.process_index, self.accelerator.num_processes),
        )

    def _is_over(self) -> bool:
        minutes = self.settings.minutes
        return (self.last_step is not None and self.progress.step >= self.last_step) or (
            minutes is not None and self.progress.seconds >= minutes * 60
        )

    def _extent(self) -> tuple[float | None, float]:
        """Where training ends and where it is now, in steps, or in seconds if only time limits it."""
        if self.last_step is None and self.settings.minutes is not None:
            return self.settings.minutes * 60, self.progress.seconds
        return self.last_step, self.progress.step

    def _log(self, values: dict[str, float]) -> None:
        self.display.update(self._extent()[1], self.progress.epoch + 1, values)
        self._record("train", values | {"learning_rate": self._learning_rate(self.progress.step - 1)})

    def _learning_rate(self, step: int) -> float:
        progress = self.progress
        return learning_rate(self.config.optim, step, self.last_step, progress.epoch, progress.validations)

    def _record(self, split: str, values: dict[str, float]) -> None:
        if not self.accelerator.is_main_process:
            return
        place = {"step": self.progress.step, "epoch": self.progress.epoch, "split": split}
        runs.append_metrics(self.path, place | {"seconds": round(self.progress.seconds, 1)} | values)
        self.accelerator.log({f"{split}/{name}": v for name, v in values.items()}, step=self.progress.step)

    def _save(self, kind: str) -> None:
        if not self.accelerator.is_main_process:
            return
        state: dict[str, Any] = {
            "progress": asdict(self.progress),
            "optimizer": self.optimizer.state_dict(),
        }
        if self.accelerator.scaler is not None:
            state["scaler"] = self.accelerator.scaler.state_dict()
        runs.save_checkpoint(self.path, kind, self.plain_model, state)

    def _restore(self, state: dict[str, Any]) -> None:
        self.progress = Progress(**state["progress"])
        self.optimizer.load_state_dict(state["optimizer"])
        if self.accelerator.scaler is not None and "scaler" in state:
            self.accelerator.scaler.load_state_dict(state["scaler"])
        if self.accelerator.is_main_process:
            runs.drop_metrics_after(self.path, self.progress.step)


def _last_step(settings: TrainConfig, per_epoch: int) -> int | None:
    """The step at which training ends, where `steps` or `epochs` says so."""
    limits = [settings.steps, settings.epochs and settings.epochs * per_epoch]
    known = [limit for limit in limits if limit is not None]
    return min(known) if known else None
