"""Pictures of what a model predicts, drawn while it trains."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vidpred.data import FrameDataset, MovingDataset
from vidpred.data.notes import ROLL_SHAPE
from vidpred.models.base import VideoModel
from vidpred.training.batches import Batch, seeded, split_batch
from vidpred.viz.contact_sheet import write_contact_sheet
from vidpred.viz.frames import as_uint8
from vidpred.viz.piano_roll import write_roll_sheet

SEQUENCES = 4


def draw_samples(
    path: Path, model: VideoModel, data: FrameDataset | MovingDataset, context: int, seed: int
) -> None:
    """Draws what was given, what followed and one prediction: a contact sheet, or of music piano rolls.

    The sequences are the first ones of `data`; where they differ in length, the longest ones, all of them as
    long as the shortest of these. Where there is nothing to predict, nothing is drawn.

    Args:
        path: the PNG file to write.
        data: its items as `split_batch` takes them; the sequences are predicted to their end.
        context: frames to give, at most all but one.
    """
    device = next(model.parameters()).device
    lengths = data.lengths if isinstance(data, FrameDataset) else None
    chosen = range(min(SEQUENCES, len(data))) if lengths is None else _longest(lengths)
    if not chosen:
        return
    batch = split_batch(torch.utils.data.default_collate([data[i] for i in chosen]), device)
    frames = _whole(batch)
    given = min(context, frames.shape[1] - 1)
    known, truth = frames[:, :given], frames[:, given:]
    was_training = model.training
    model.eval()
    noise = seeded(seed, 0, device)
    predicted = model.predict(known, truth.shape[1], labels=batch.labels, generator=noise)
    model.train(was_training)
    draw = write_roll_sheet if tuple(frames.shape[2:]) == ROLL_SHAPE else write_contact_sheet
    draw(path, as_uint8(known), as_uint8(predicted)[None], as_uint8(truth))


def _longest(lengths: NDArray[np.int64]) -> list[int]:
    """Numbers of the longest sequences, of two frames or more."""
    longest = np.argsort(-lengths, kind="stable")[:SEQUENCES]
    return [int(number) for number in longest if lengths[number] > 1]


def _whole(batch: Batch) -> Tensor:
    """The sequences from their first frames on, without what they are padded with: (N, T, C, H, W)."""
    if batch.lengths is None:
        return batch.frames
    shortest = int(batch.lengths.min())
    starts = (batch.frames.shape[1] - batch.lengths).tolist()
    return torch.stack(
        [frames[start : start + shortest] for frames, start in zip(batch.frames, starts, strict=True)]
    )
