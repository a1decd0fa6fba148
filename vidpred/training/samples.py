"""Pictures of what a model predicts, drawn while it trains."""

from __future__ import annotations

from pathlib import Path

import torch

from vidpred.data import FrameDataset, MovingDataset
from vidpred.models.base import VideoModel
from vidpred.training.batches import seeded, split_batch
from vidpred.viz.contact_sheet import write_contact_sheet
from vidpred.viz.frames import as_uint8

SEQUENCES = 4


def draw_samples(
    path: Path, model: VideoModel, data: FrameDataset | MovingDataset, context: int, seed: int
) -> None:
    """Draws a contact sheet of the first sequences of `data`: what was given, what followed, one prediction.

    Args:
        path: the PNG file to write.
        data: its items as `split_batch` takes them; the sequences are predicted to their end.
        context: frames to give, at most all but one.
    """
    device = next(model.parameters()).device
    count = min(SEQUENCES, len(data))
    batch = torch.utils.data.default_collate([data[i] for i in range(count)])
    frames, labels = split_batch(batch, device)
    given = min(context, frames.shape[1] - 1)
    known, truth = frames[:, :given], frames[:, given:]
    was_training = model.training
    model.eval()
    predicted = model.predict(known, truth.shape[1], labels=labels, generator=seeded(seed, 0, device))
    model.train(was_training)
    write_contact_sheet(path, as_uint8(known), as_uint8(predicted)[None], as_uint8(truth))
