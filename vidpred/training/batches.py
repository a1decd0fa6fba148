"""The order in which training sees the sequences, a function of seed and epoch alone.

So a resumed training meets the same batches as one that was never stopped.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor
from torch.utils.data import BatchSampler, SequentialSampler


class ShuffledBatches(BatchSampler):
    """The batches of one epoch, in random order without replacement; an incomplete last one is left out.

    Args:
        count: sequences in the data set.
        batch: sequences in a batch; if there are fewer in all, the one batch holds them all.
        seed, epoch: together they fix the order.
        skip: batches of the epoch that were seen already.
        process: this process's number and how many there are; each takes its share of every batch.
    """

    def __init__(
        self,
        count: int,
        batch: int,
        *,
        seed: int,
        epoch: int,
        skip: int = 0,
        process: tuple[int, int] = (0, 1),
    ) -> None:
        super().__init__(SequentialSampler(range(count)), min(batch, count), drop_last=True)
        self.count, self.seed, self.epoch, self.skip, self.process = count, seed, epoch, skip, process

    def __iter__(self) -> Iterator[list[int]]:
        order = torch.randperm(self.count, generator=seeded(self.seed, self.epoch))
        batches = order[: batches_per_epoch(self.count, self.batch_size) * self.batch_size]
        rank, world = self.process
        for batch in batches.view(-1, self.batch_size)[self.skip :]:
            yield batch[rank::world].tolist()

    def __len__(self) -> int:
        return batches_per_epoch(self.count, self.batch_size) - self.skip


def batches_per_epoch(count: int, batch: int) -> int:
    """How many whole batches an epoch has, at least one."""
    return max(1, count // batch)


def seeded(seed: int, step: int, device: torch.device | str = "cpu") -> torch.Generator:
    """A generator whose numbers depend on `seed` and `step` (an epoch or a step of training) alone."""
    # Neighbouring seeds must not give neighbouring streams: mix the two before seeding.
    mixed = (seed * 0x9E3779B97F4A7C15 + step * 0xBF58476D1CE4E5B9 + 0x94D049BB133111EB) % 2**63
    return torch.Generator(device).manual_seed(mixed)


class Batch(NamedTuple):
    """Sequences to learn from, on the device.

    Attributes:
        frames: (N, T, C, H, W) in [0, 1].
        labels: (N, objects) or None.
        lengths: int64 (N,), how many frames at the end of each are the sequence, or None: all.
    """

    frames: Tensor
    labels: Tensor | None
    lengths: Tensor | None

    def pieces(self, count: int) -> list[Batch]:
        """The batch in at most `count` parts, as `torch.chunk` makes them."""
        frames = self.frames.chunk(count)
        labels = [None] * len(frames) if self.labels is None else self.labels.chunk(count)
        lengths = [None] * len(frames) if self.lengths is None else self.lengths.chunk(count)
        return [Batch(*parts) for parts in zip(frames, labels, lengths, strict=True)]

    def weight(self, context: int) -> int:
        """What the mean loss of the batch counts for in a mean over several.

        Its sequences, or, where they differ in length, the frames in them after the first `context`.
        """
        if self.lengths is None:
            return len(self.frames)
        return int((self.lengths - context).clamp(min=0).sum())

    @property
    def frame_count(self) -> int:
        """Frames of all its sequences, without what they are padded with."""
        if self.lengths is None:
            return self.frames.shape[0] * self.frames.shape[1]
        return int(self.lengths.sum())


def split_batch(batch: Tensor | dict[str, Tensor], device: torch.device) -> Batch:
    """A batch as the data sets and their loader give it."""
    known = batch if isinstance(batch, dict) else {"frames": batch}
    moved = {name: values.to(device, non_blocking=True) for name, values in known.items()}
    return Batch(moved["frames"].float() / 255, moved.get("labels"), moved.get("length"))
