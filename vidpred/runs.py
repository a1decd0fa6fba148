"""A training run on disk. Everything under ``runs/<name>/`` is read and written here and nowhere else.

    config.toml             the resolved configuration, with where each value came from
    metrics.jsonl           one JSON object a line, in order of steps
    checkpoints/last/       model.safetensors, training.pt (optimiser and counters), config.toml
    checkpoints/best/       the same, at the lowest validation loss
    samples/                pictures drawn while training

A checkpoint is written beside and renamed, so a kill at any moment leaves the old or the new one whole.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from vidpred import config
from vidpred.config import Config, DataConfig, Resolved
from vidpred.data.frames import FrameDataset
from vidpred.data.moving import MovingDataset, MovingSpec
from vidpred.errors import CheckpointError, ConfigError, OutputError
from vidpred.files import cannot_write, recover, replacing
from vidpred.models.base import VideoModel
from vidpred.models.registry import build, model_class

FORMAT = "vidpred-checkpoint-1"


@dataclass(frozen=True)
class Run:
    """A run as `load_run` finds it. The model is read when first asked for."""

    path: Path
    resolved: Resolved
    name: str
    """What tables call it: the name of its folder."""

    @property
    def config(self) -> Config:
        """The resolved configuration."""
        return self.resolved.config

    @cached_property
    def model(self) -> VideoModel:
        """The best checkpoint's model, or the last one's while there is no best; in eval mode, on the CPU."""
        kind = "best" if has_checkpoint(self.path, "best") else "last"
        model = build(self.config)
        load_weights(model, self.path, kind)
        return model.eval()

    @cached_property
    def metrics(self) -> list[dict[str, Any]]:
        """The lines of metrics.jsonl."""
        return read_metrics(self.path)


def load_run(path: str | os.PathLike[str]) -> Run:
    """Opens a run's folder. Executes no code from its files.

    Raises:
        CheckpointError: there is no run, it has no checkpoint yet, or one of its files is damaged.
    """
    path = Path(path)
    run = Run(path, read_config(path), path.resolve().name)
    if not (has_checkpoint(path, "best") or has_checkpoint(path, "last")):
        raise CheckpointError(f"the run {path} has no checkpoint yet")
    return run


RESERVED_NAMES = frozenset({"copy", "mean", "truth"})
"""What else stands in tables beside the runs."""


def load_runs(paths: Sequence[Path], usage: Iterable[str] = ()) -> list[Run]:
    """Opens several runs for one table: each has a name of its own, its whole path
    where names occur twice or mean something else.

    Args:
        usage: settings such as ``model.decoding=sample`` that change how trained models predict, for those
            of the runs whose model has them.

    Raises:
        CheckpointError: as `load_run`.
        ConfigError: a run that is given twice; a setting that none of the models has, or not one of use.
    """
    runs = [load_run(path) for path in paths]
    places = [run.path.resolve() for run in runs]
    for n, place in enumerate(places):
        if place in places[:n]:
            raise ConfigError(f"the run {runs[n].path} was given twice")
    names = [run.name for run in runs]
    if len(set(names)) < len(names) or set(names) & RESERVED_NAMES:
        runs = [replace(run, name=str(run.path)) for run in runs]
    values = config.set_layer(usage).values
    known = {f"model.{option}" for run in runs for option in model_class(run.config.name).usage}
    for key in values:
        if key not in known:
            where = f"'{key}' does not change how a trained model predicts"
            raise ConfigError(f"{where} (these do for the given runs: {', '.join(sorted(known)) or 'none'})")
    changed = []
    for run in runs:
        kind = model_class(run.config.name)
        own = {key: value for key, value in values.items() if key.removeprefix("model.") in kind.usage}
        layer = config.Layer("--set", own)
        changed.append(replace(run, resolved=config.override(run.resolved, layer, kind.Options)))
    return changed


def new_run_path(model_name: str, data: DataConfig, parent: Path = Path("runs")) -> Path:
    """``runs/<model>-<data>-<n>`` with the first n that is free."""
    stem = f"{model_name}-{Path(data.file).stem if data.file else data.kind}"
    n = 1
    while (parent / f"{stem}-{n}").exists():
        n += 1
    return parent / f"{stem}-{n}"


def create(path: Path, resolved: Resolved) -> None:
    """Makes the folder of a new run. Raises `OutputError` if there is something already."""
    require_free(path)
    try:
        (path / "samples").mkdir(parents=True, exist_ok=True)
        (path / "checkpoints").mkdir(exist_ok=True)
        config.save(resolved, path / "config.toml")
    except OSError as error:
        raise cannot_write(path, error) from error


def require_free(path: Path, instead: str = "") -> None:
    """Raises `OutputError` where a new run would take the place of something.

    Args:
        instead: what to do then, where it is not to choose another --run or to resume this one.
    """
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        resumable = f", or continue it with --resume {path}" if (path / "config.toml").is_file() else ""
        instead = instead or f"choose another --run{resumable}"
        raise OutputError(f"{path} exists already: {instead}")


def read_config(path: Path) -> Resolved:
    """The configuration of a run."""
    file = path / "config.toml"
    if not file.is_file():
        raise CheckpointError(f"there is no training run at {path}: expected a folder with a config.toml")
    try:
        name = config.file_layer(file).values.get("name", "")
        return config.load(file, model_class(str(name)).Options)
    except ConfigError as error:
        raise CheckpointError(f"{file} does not describe a run: {error}") from error


def open_split(
    data: DataConfig,
    split: str,
    *,
    with_labels: bool = False,
    frames: int | None = None,
    padded: bool = False,
) -> FrameDataset | MovingDataset:
    """The sequences a run is about: a split of its data file, or moving objects made on the fly.

    Args:
        split: ``train``, ``val`` or ``test``.
        frames: length of sequences made on the fly and of windows of longer ones, where it is not to be the
            training length.
        padded: pieces of all sequences, padded in front, in place of windows (`VideoModel.takes_lengths`);
            of sequences made on the fly, all of one length, there are none shorter.
    """
    if data.file is not None:
        length = frames or data.frames
        return FrameDataset(data.file, split=split, with_labels=with_labels, length=length, padded=padded)
    spec = moving_spec(data, frames)
    count = data.train if split == "train" else data.val
    return MovingDataset(spec, split=split, count=count, seed=data.seed, with_labels=with_labels)


def save_config(path: Path, resolved: Resolved) -> None:
    """Replaces the configuration of a run."""
    with replacing(path / "config.toml") as temporary:
        config.save(resolved, temporary)


def moving_spec(data: DataConfig, frames: int | None = None) -> MovingSpec:
    """What moving objects look like that are made on the fly; `frames` overrides their length."""
    fields = data.model_dump(include=set(MovingSpec.model_fields), exclude_none=True)
    return MovingSpec(**fields | ({"frames": frames} if frames else {}))


def append_metrics(path: Path, line: Mapping[str, Any]) -> None:
    """Adds a line to metrics.jsonl."""
    try:
        with (path / "metrics.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
    except OSError as error:
        raise cannot_write(path / "metrics.jsonl", error) from error


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """The lines of metrics.jsonl; a last line that a kill cut short is left out."""
    file = path / "metrics.jsonl"
    if not file.is_file():
        return []
    lines = file.read_text("utf-8").splitlines(keepends=True)
    return [json.loads(line) for line in lines if line.endswith("\n")]


def drop_metrics_after(path: Path, step: int) -> None:
    """Forgets what was logged after `step`: a resumed run will log it again."""
    kept = [line for line in read_metrics(path) if line["step"] <= step]
    with replacing(path / "metrics.jsonl") as temporary:
        temporary.write_text("".join(json.dumps(line) + "\n" for line in kept), "utf-8")


def save_checkpoint(path: Path, kind: str, model: VideoModel, training: Mapping[str, Any]) -> None:
    """Writes ``checkpoints/<kind>``: the weights and the training state, which must be plain data."""
    with replacing(path / "checkpoints" / kind) as temporary:
        temporary.mkdir()
        weights = {name: value.contiguous() for name, value in model.state_dict().items()}
        # Through memory: the libraries' own writers do not report a full disk as an OSError.
        (temporary / "model.safetensors").write_bytes(save(weights, metadata={"format": FORMAT}))
        buffer = io.BytesIO()
        torch.save(dict(training), buffer)
        (temporary / "training.pt").write_bytes(buffer.getbuffer())
        shutil.copyfile(path / "config.toml", temporary / "config.toml")


def has_checkpoint(path: Path, kind: str) -> bool:
    """Whether ``checkpoints/<kind>`` is there, after mending what a kill may have interrupted."""
    folder = path / "checkpoints" / kind
    recover(folder)
    return folder.is_dir()


def checkpoint_digest(path: Path) -> str:
    """sha256 of the weights that `Run.model` reads."""
    kind = "best" if has_checkpoint(path, "best") else "last"
    return hashlib.sha256((path / "checkpoints" / kind / "model.safetensors").read_bytes()).hexdigest()


def best_step(path: Path) -> int | None:
    """After how many steps of training the weights were saved that `Run.model` reads, where that is known."""
    kind = "best" if has_checkpoint(path, "best") else "last"
    step = load_training_state(path, kind).get("progress", {}).get("step")
    return None if step is None else int(step)


def load_weights(model: VideoModel, path: Path, kind: str) -> None:
    """Reads the weights of ``checkpoints/<kind>`` into `model`."""
    file = path / "checkpoints" / kind / "model.safetensors"
    weights = _read_weights(file)
    expected = model.state_dict()
    strange = sorted(weights.keys() ^ expected.keys())
    if strange:
        where = "unknown to" if strange[0] in weights else "missing for"
        raise CheckpointError(
            f"{file} holds the weights of another model: '{strange[0]}' is {where} {type(model).__name__}"
        )
    for name, value in weights.items():
        if value.shape != expected[name].shape:
            raise CheckpointError(
                f"{file} holds the weights of another model: '{name}' should have shape "
                f"{tuple(expected[name].shape)}, got {tuple(value.shape)}"
            )
    model.load_state_dict(weights)


def load_training_state(path: Path, kind: str) -> dict[str, Any]:
    """Reads the training state of ``checkpoints/<kind>``."""
    file = path / "checkpoints" / kind / "training.pt"
    try:
        state: dict[str, Any] = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged file can make torch.load raise almost anything
        raise CheckpointError(f"cannot read {file}: the file is missing or damaged") from error
    return state


def _read_weights(file: Path) -> dict[str, Tensor]:
    try:
        return load_file(file)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"cannot read {file}: the file is missing or damaged") from error
