"""Sequences of a model's own: what it has learnt to hear or to see (seed 003, introduction)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from vidpred import config
from vidpred.data.hdf5 import open_dataset
from vidpred.data.midi import load_mido, write_midi
from vidpred.data.notes import LOWEST_NOTE, as_roll
from vidpred.errors import ConfigError
from vidpred.experiments.sequence_pictures import STEPS_SHOWN, shown, write_rows
from vidpred.experiments.whole_sequences import (
    ON,
    generator_for,
    open_whole,
    training_file,
    training_sequences,
)
from vidpred.experiments.workspace import Arrays, Workspace
from vidpred.progress import progress_bar
from vidpred.runs import Run
from vidpred.viz.frames import as_uint8
from vidpred.viz.gif import write_gif
from vidpred.viz.table import Table

MODELS = ("vrae", "vosp", "fdrnn")
PITCHES = ("C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B")
_STEPS_PER_BEAT = 1
"""Where the data file does not say."""
_TRAINING = "training split"


@dataclass(frozen=True)
class Statistics:
    """Numbers that say whether sequences look like others.

    Attributes:
        on: values on in a step, the mean and the standard deviation over steps.
        repeated: the share of the values that are on which were on in the step before too.
        silent: the share of steps in which nothing is on.
        pitches: (12,) the share of each pitch class among the notes, C first; None for frames.
    """

    on: tuple[float, float]
    repeated: float
    silent: float
    pitches: NDArray[np.float64] | None

    @classmethod
    def of(cls, sequences: Iterable[NDArray[Any]], rolls: bool) -> Statistics:
        """Of sequences (T, C, H, W) in [0, 1]; no number where there is nothing to count."""
        counts, again, later, keys = [], 0, 0, np.zeros(0)
        for sequence in sequences:
            on = (sequence >= ON).reshape(len(sequence), -1)
            counts.append(on.sum(axis=1))
            again += int((on[1:] & on[:-1]).sum())
            later += int(on[1:].sum())
            keys = on.sum(axis=0) + (keys if keys.size else 0)
        steps = np.concatenate(counts)
        return cls(
            on=(float(steps.mean()), float(steps.std())),
            repeated=again / later if later else float("nan"),
            silent=float((steps == 0).mean()),
            pitches=pitch_classes(keys) if rolls else None,
        )

    def distance(self, other: Statistics) -> float:
        """Total variation between the pitch classes, from 0, the same, to 1, none in common."""
        if self.pitches is None or other.pitches is None:
            return float("nan")
        return float(0.5 * np.abs(self.pitches - other.pitches).sum())


def pitch_classes(keys: NDArray[np.number]) -> NDArray[np.float64]:
    """How often each of 88 keys sounds -> the share of each pitch class, (12,), C first."""
    counts = np.zeros(len(PITCHES))
    np.add.at(counts, (LOWEST_NOTE + np.arange(len(keys))) % len(PITCHES), keys)
    return counts / counts.sum() if counts.sum() else np.full(len(PITCHES), np.nan)


def synthesis(workspace: Workspace, steps: int = 200) -> list[Table]:
    """Draws sequences from each run: MIDI files and piano rolls, or animations and frames, and numbers.

    Args:
        steps: of a sequence; `workspace.count` are drawn from every run.

    Raises:
        ConfigError: a run of another model, a number of steps under 1, or mido is missing for MIDI files.
        DataError: the data of the first run, which the samples are compared with, are missing.
    """
    if steps < 1:
        raise ConfigError(f"--steps must be at least 1, got {steps}")
    training = open_whole(replace(workspace, count=1, file=training_file(workspace)), "train", MODELS)
    if training.are_rolls:
        load_mido()
    parts = {
        run.name: workspace.part_of(run, partial(_draw, workspace, run, steps)) for run in workspace.runs
    }
    found = {
        _TRAINING: Statistics.of(training_sequences(workspace), training.are_rolls),
        **{name: Statistics.of((part["frames"] / 255), training.are_rolls) for name, part in parts.items()},
    }
    tables = [_looks(workspace, found, steps, training.are_rolls)]
    if training.are_rolls:
        tables.append(_pitches(found))
    for number, part in enumerate(parts.values()):
        _write(workspace, number, part["frames"], training.are_rolls)
    workspace.finish(
        tables, {"steps": steps, "statistics": {name: _numbers(of, found) for name, of in found.items()}}
    )
    return tables


def _draw(workspace: Workspace, run: Run, steps: int) -> Arrays:
    """(N, steps, C, H, W) uint8 sequences, drawn step by step."""
    setting = workspace.setting
    sampled = config.override(
        run.resolved, config.Layer("synthesis", {"model.decoding": "sample"}), type(run.config.model)
    )
    model: Any = replace(run, resolved=sampled).model.to(setting.device)
    drawn = []
    with progress_bar(quiet=workspace.quiet) as bar, torch.inference_mode():
        task = bar.add_task(run.name, total=workspace.count, note="")
        for number in range(workspace.count):  # one by one: a sequence does not depend on how many there are
            generator = generator_for(setting.device, setting.seed, number)
            drawn.append(as_uint8(model.synthesise(1, steps, generator=generator))[0])
            bar.advance(task)
    return {"frames": np.stack(drawn)}


def _write(workspace: Workspace, number: int, frames: NDArray[np.uint8], rolls: bool) -> None:
    """The sequences of run `number`, to be looked at and to be heard."""
    names = [f"sample {sample}" for sample in range(1, len(frames) + 1)]
    title, steps = workspace.runs[number].name, frames.shape[1]
    if steps > STEPS_SHOWN:
        title += f", the first {STEPS_SHOWN} of {steps} steps"
    rows = [(name, shown(sequence / 255)) for name, sequence in zip(names, frames, strict=True)]
    write_rows(workspace.picture(f"samples-{number}.png"), rows, title)
    if not rolls:
        # Every sequence is a sample of one that nothing is given of.
        write_gif(workspace.picture(f"samples-{number}.gif"), frames[:1, :0], frames[:, None], names=names)
        return
    beat = _steps_per_beat(workspace)
    for sample, sequence in enumerate(frames):
        file = workspace.picture(f"sample-{number}-{sample}.mid")
        write_midi(file, as_roll(sequence) >= 128, steps_per_beat=beat)


def _steps_per_beat(workspace: Workspace) -> int:
    if workspace.file is None:
        return _STEPS_PER_BEAT
    with open_dataset(workspace.file) as opened:
        return int(opened.attributes.get("config", {}).get("steps_per_beat") or _STEPS_PER_BEAT)


def _looks(workspace: Workspace, found: Mapping[str, Statistics], steps: int, rolls: bool) -> Table:
    what = "notes" if rolls else "pixels"
    header = ["", f"{what} on in a step", "repeated %", "silent steps %" if rolls else "black frames %"]
    rows = []
    for name, of in found.items():
        row = [name, f"{of.on[0]:.2f} ({of.on[1]:.2f})", _percent(of.repeated), _percent(of.silent)]
        if rolls:
            row.append("" if name == _TRAINING else _percent(of.distance(found[_TRAINING])))
        rows.append(row)
    note = (
        f"{workspace.count} sequences of {steps} steps drawn from each run, latents from the prior and every "
        f"value from its probability. {what.capitalize()} on: the mean and, in brackets, the standard "
        f"deviation over steps; repeated: the share of {what} on that were on in the step before."
    )
    if rolls:
        header.append("pitch classes apart %")
        note += " Pitch classes apart: total variation between their shares and those of training."
    return Table("Samples beside the data", header, rows, workspace.note(note))


def _pitches(found: Mapping[str, Statistics]) -> Table:
    rows = []
    for name, of in found.items():
        assert of.pitches is not None
        rows.append([name, *map(_percent, of.pitches)])
    return Table("Pitch classes, % of the notes", ["", *PITCHES], rows)


def _percent(share: float) -> str:
    return "none" if np.isnan(share) else f"{100 * share:.1f}"


def _numbers(of: Statistics, found: Mapping[str, Statistics]) -> dict[str, Any]:
    return {
        "on": of.on[0],
        "on_standard_deviation": of.on[1],
        "repeated": of.repeated,
        "silent": of.silent,
        "pitches": of.pitches,
        "pitches_apart": of.distance(found[_TRAINING]),
    }
