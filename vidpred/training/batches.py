"""The order in which training sees the sequences, a function of seed and epoch alone.

So a resumed training meets the same batches as one that was never stopped.
"""

from __future__ import annotations

from collections.abc import Iterator

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


def split_batch(batch: Tensor | dict[str, Tensor], device: torch.device) -> tuple[Tensor, Tensor | None]:
    """A batch as the data sets give it -> frames (N, T, C, H, W) in [0, 1] and labels, on `device`."""
    frames, labels = (batch["frames"], batch["labels"]) if isinstance(batch, dict) else (batch, None)
    frames = frames.to(device, non_blocking=True).float() / 255
    return frames, None if labels is None else labels.to(device, non_blocking=True)
