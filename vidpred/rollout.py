"""Rolling a model out: from a few known frames to as many predicted ones as wanted."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vidpred.data.hdf5 import create_dataset
from vidpred.data.midi import MIDI_ENDINGS, load_mido, write_midi
from vidpred.data.notes import ROLL_SHAPE, as_roll
from vidpred.errors import ConfigError
from vidpred.files import replacing
from vidpred.models.base import VideoModel
from vidpred.models.flow_autoencoder import FlowAutoencoder
from vidpred.progress import progress_bar
from vidpred.pyav import load_av
from vidpred.sequences import Sequences, describe_shape, require_positive
from vidpred.viz.contact_sheet import write_contact_sheet
from vidpred.viz.flow import write_flow
from vidpred.viz.frames import as_uint8
from vidpred.viz.gif import write_gif
from vidpred.viz.mp4 import write_mp4
from vidpred.viz.piano_roll import MOST_ROLLS, write_roll_sheet

FORMATS = (".gif", ".mp4", ".png", *MIDI_ENDINGS, ".h5", ".npy")
TEMPO = 120.0
"""Beats a minute of a ``.mid`` file, where nothing else is asked for."""
_HALF = 127
"""Brightness of a note with a probability of a half."""


def rollout(
    model: VideoModel,
    context: Tensor,
    horizon: int,
    *,
    samples: int = 1,
    deterministic: bool = False,
    seed: int = 0,
    batch: int = 0,
    labels: Tensor | None = None,
) -> Tensor:
    """Predicts what follows, once or several times.

    Sample s depends on the context, `seed`, s and `batch` alone. The noise of all N sequences comes from one
    generator, so a sequence's noise also depends on its place among the N.

    Args:
        model: on the device of `context`.
        context: (N, Tc, C, H, W) in [0, 1].
        horizon: frames to predict, any number from 1.
        samples: predictions of each sequence, where the model is stochastic; others give one.
        deterministic: take the model's mean at every step; gives one prediction.
        batch: which of many batches this is, so that each gets noise of its own.
        labels: (N, objects) class numbers, for models conditioned on them.

    Returns:
        (S, N, horizon, C, H, W) in [0, 1], S = `samples` or 1.
    """
    futures = each_sample(model, context, horizon, samples, deterministic, seed, batch, labels)
    return torch.stack(list(futures))


def each_sample(
    model: VideoModel,
    context: Tensor,
    horizon: int,
    samples: int = 1,
    deterministic: bool = False,
    seed: int = 0,
    batch: int = 0,
    labels: Tensor | None = None,
) -> Iterator[Tensor]:
    """The samples of `rollout` one after the other, (N, horizon, C, H, W) each, so that one is in memory."""
    require_positive(horizon=horizon, samples=samples)
    for sample in range(number_of_samples(model, samples, deterministic)):
        noise = _noise(context.device, seed, sample, batch)
        with torch.inference_mode():
            future = model.predict(context, horizon, sample=not deterministic, labels=labels, generator=noise)
        yield future


def number_of_samples(model: VideoModel, samples: int, deterministic: bool = False) -> int:
    """How many different predictions there are to make: one, unless chance has a part in them."""
    return samples if model.stochastic and not deterministic else 1


def _noise(device: torch.device, *place: int) -> torch.Generator:
    """A generator for one place; different places give unrelated streams."""
    mixed = np.random.SeedSequence(place).generate_state(1, np.uint64)[0]
    return torch.Generator(device).manual_seed(int(mixed >> np.uint64(1)))


@dataclass(frozen=True)
class Rollout:
    """N sequences rolled out S times, all frames uint8.

    Attributes:
        context: (N, Tc, C, H, W) what the model was given.
        predicted: (S, N, horizon, C, H, W).
        truth: (N, Tt, C, H, W) what really followed, as far as it is known: 0 <= Tt <= horizon.
    """

    context: NDArray[np.uint8]
    predicted: NDArray[np.uint8]
    truth: NDArray[np.uint8]


def roll_out_sequences(
    model: VideoModel,
    sequences: Sequences,
    numbers: Sequence[int],
    context: int,
    horizon: int,
    *,
    samples: int = 1,
    deterministic: bool = False,
    seed: int = 0,
    batch: int = 32,
    quiet: bool = False,
) -> Rollout:
    """Rolls out the sequences with these `numbers`, of which the first `context` frames are given.

    Args:
        model: on the device to compute on.
        batch: sequences that are computed together.
        quiet: no progress bar.

    Raises:
        DataError: the sequences are too short, or their frames do not fit the model.
    """
    require_positive(context=context, horizon=horizon, samples=samples)
    sequences.check_length(context)
    sequences.check_fits(model, "the model")
    device = next((weights.device for weights in model.parameters()), torch.device("cpu"))
    known, predicted = [], []
    with progress_bar(quiet=quiet) as bar:
        task = bar.add_task("rolling out", total=len(numbers), note="")
        for n, read in enumerate(sequences.batches(numbers, batch)):
            labels = None if read.labels is None else read.labels.to(device)
            given = read.frames[:, :context].to(device)
            futures = each_sample(model, given, horizon, samples, deterministic, seed, n, labels)
            predicted.append(np.stack([as_uint8(future) for future in futures]))
            known.append(as_uint8(read.frames[:, : context + horizon]))
            bar.advance(task, len(read.frames))
    frames = np.concatenate(known)
    return Rollout(frames[:, :context], np.concatenate(predicted, axis=1), frames[:, context:])


def draw_flow(
    model: VideoModel,
    sequences: Sequences,
    number: int,
    context: int,
    horizon: int,
    path: Path,
    *,
    every: int | None = None,
) -> None:
    """Draws the flow by which a flow autoencoder gets from each frame to the next, in one sequence.

    Args:
        model: on the device to compute on.
        number: of the sequence, of which the first `context` frames are given.
        path: of the PNG.
        every: frames from one column to the next; None chooses.

    Raises:
        ConfigError: a model without a flow.
        OutputError: the file cannot be written.
    """
    if not isinstance(model, FlowAutoencoder):
        raise ConfigError(f"a {type(model).__name__} has no flow to draw: expected a flow autoencoder")
    device = next(model.parameters()).device
    [read] = sequences.batches([number], 1)
    given = read.frames[:, :context].to(device)
    predicted, flow = model.predict_with_flow(given, horizon)
    start = torch.cat([given[:, -1:], predicted[:, :-1]], dim=1)
    truth = read.frames[0, context : context + horizon]
    write_flow(
        path,
        as_uint8(start[0]),
        as_uint8(predicted[0]),
        flow[0].float().cpu().numpy(),
        as_uint8(truth) if len(truth) == horizon else None,
        every=every,
    )


def check_format(path: Path) -> None:
    """Raises `ConfigError` unless `write_rollout` knows the kind of file and can write it."""
    if path.suffix.lower() not in FORMATS:
        raise ConfigError(f"cannot tell what to write to {path}: expected a name that ends in {_either()}")
    if path.suffix.lower() == ".mp4":
        load_av()
    if path.suffix.lower() in MIDI_ENDINGS:
        load_mido()


def check_music(path: Path, frame_shape: Sequence[int], futures: int, every: int | None = None) -> None:
    """Raises `ConfigError` where a ``.mid`` file, or a picture of music, cannot hold what is asked for.

    Args:
        path: what is to be written, of any kind.
        frame_shape: (C, H, W).
        futures: sequences times samples.
        every: frames from one column of a picture to the next, if that was asked for.
    """
    ending, is_music = path.suffix.lower(), tuple(frame_shape) == ROLL_SHAPE
    if ending in MIDI_ENDINGS and not is_music:
        expected, found = describe_shape(ROLL_SHAPE), describe_shape(frame_shape)
        raise ConfigError(
            f"{path} can only hold music: expected a run trained on piano rolls ({expected}), but the frames "
            f"of this one are {found}"
        )
    if ending in MIDI_ENDINGS and futures > 1:
        raise ConfigError(
            f"{path} holds one future: expected --count 1 and --samples 1, got {futures} futures"
        )
    if ending == ".png" and is_music and every is not None:
        raise ConfigError("a picture of piano rolls shows every step: leave out --every")
    if ending == ".png" and is_music and futures > MOST_ROLLS // 2:
        raise ConfigError(f"a picture holds at most {MOST_ROLLS // 2} futures of music, got {futures}")


def _either() -> str:
    return f"{', '.join(FORMATS[:-1])} or {FORMATS[-1]}"


def write_rollout(
    rollout: Rollout,
    path: str | os.PathLike[str],
    *,
    every: int | None = None,
    steps_per_beat: int = 1,
    tempo: float = TEMPO,
    command: str = "vidpred rollout",
    settings: dict[str, Any] | None = None,
    seed: int = 0,
    sources: dict[str, str] | None = None,
) -> None:
    """Writes a rollout in the format that the end of the name says.

    - ``.gif``, ``.mp4``: an animation of the truth, where it is known, beside every sample;
    - ``.png``: a contact sheet, a column for every few frames; of music piano rolls, one below the other;
    - ``.mid``: one future of music, after its context; the notes are those with a probability over 0.5;
    - ``.h5``: a data file as all others, readable by every command: in the split ``test``, first all
      sequences of sample 1, then those of sample 2, ...; each is its context followed by the prediction;
    - ``.npy``: the predicted frames alone, uint8 (S, N, horizon, C, H, W).

    Args:
        every: frames from one column of the contact sheet to the next; None chooses.
        steps_per_beat, tempo: of the ``.mid`` file, see `vidpred.data.midi.write_midi`.
        command, settings, seed, sources: what the ``.h5`` file shall say about its origin.

    Raises:
        ConfigError: another ending; frames or futures that do not go into such a file.
        OutputError: the file cannot be written.
    """
    path = Path(path)
    check_format(path)
    samples, count, horizon, *shape = rollout.predicted.shape
    check_music(path, shape, samples * count, every)
    match path.suffix.lower():
        case ".gif":
            write_gif(path, rollout.context, rollout.predicted, rollout.truth)
        case ".mp4":
            write_mp4(path, rollout.context, rollout.predicted, rollout.truth)
        case ending if ending in MIDI_ENDINGS:
            steps = np.concatenate([rollout.context[0], rollout.predicted[0, 0]])
            write_midi(path, as_roll(steps) > _HALF, steps_per_beat=steps_per_beat, tempo=tempo)
        case ".png" if tuple(shape) == ROLL_SHAPE:
            write_roll_sheet(path, rollout.context, rollout.predicted, rollout.truth)
        case ".png":
            write_contact_sheet(path, rollout.context, rollout.predicted, rollout.truth, every=every)
        case ".npy":
            with replacing(path) as temporary, temporary.open("wb") as file:
                np.save(file, rollout.predicted)
        case ".h5":
            with create_dataset(
                path, command=command, config=settings or {}, seed=seed, sources=sources or {}
            ) as file:
                length = rollout.context.shape[1] + horizon
                with file.split("test", samples * count, (length, *shape)) as split:
                    for future in rollout.predicted:
                        split.append(np.concatenate([rollout.context, future], axis=1))
