"""The configuration of a training run: what can be set, where each value came from, and its file.

Values come in layers, later ones win: the defaults below, the model's preset, a ``--config`` file, then
``--set`` and the other options of the command line. The resolved result is validated, frozen, and saved
as TOML beside every checkpoint, each value with the layer it came from.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SerializeAsAny, ValidationError

from vidpred.errors import ConfigError, unknown_name

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


class Section(BaseModel):
    """A group of settings: frozen, and unknown keys are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class DataConfig(Section):
    """Where the sequences come from: a file, or moving objects made on the fly (the fields after `file`).

    Of those fields only `frames` matters where there is a file, if its sequences differ in length.
    """

    file: str | None = None
    kind: Literal["mmnist", "shapes"] = "mmnist"
    train: int = Field(10_000, gt=0)
    """Sequences in one epoch."""
    val: int = Field(1_000, gt=0)
    frames: int = Field(20, ge=2)
    """Frames of a sequence made on the fly, or of a window of a longer one; for models that learn from
    sequences of any length, of the longest piece of one."""
    objects: int = Field(2, ge=1, le=4)
    motion: str = "razali"
    digits: str = "auto"
    size: int = Field(64, gt=0)
    """Side of a frame in pixels."""
    digit_size: int | None = Field(None, gt=0)
    """Side of an object in pixels; absent: what the motion was published with."""
    overlap: Literal["max", "add"] = "max"
    acceleration: float = 0.0
    seed: int = Field(0, ge=0)


class OptimConfig(Section):
    """The optimiser, its learning-rate schedule and gradient clipping."""

    name: Literal["rmsprop", "nesterov_rmsprop", "adam"] = "adam"
    learning_rate: float = Field(1e-3, gt=0)
    momentum: float = Field(0.0, ge=0, lt=1)
    """RMSProp only, either kind."""
    decay: float = Field(0.9, gt=0, lt=1)
    """RMSProp only, either kind: decay of the running mean of squared gradients."""
    betas: tuple[float, float] = (0.9, 0.999)
    """Adam only."""
    epsilon: float = Field(1e-8, gt=0)
    clip: float | None = Field(None, gt=0)
    """Largest norm of the gradient; absent: not clipped."""
    schedule: Literal["constant", "cosine", "step", "stall"] = "constant"
    warmup: int = Field(0, ge=0)
    """Steps over which the learning rate rises from 0."""
    floor: float = Field(0.0, ge=0, le=1)
    """Cosine only: the last learning rate as a fraction of the first."""
    step_every: int = Field(10_000, gt=0)
    """Step schedule only: steps between two drops."""
    step_factor: float = Field(0.5, gt=0, le=1)
    """Step and stall schedules: what a drop multiplies the learning rate by."""
    stall_epochs: int = Field(20, gt=0)
    """Stall schedule only: epochs without a new lowest validation loss before drops begin."""
    stalls: int = Field(1, gt=0)
    """Stall schedule only: how often that has to happen."""
    stall_every: int = Field(5, gt=0)
    """Stall schedule only: epochs between two drops."""


class TrainConfig(Section):
    """One training run. It ends at the first of `steps`, `epochs` and `minutes` that is set."""

    batch: int = Field(32, gt=0)
    """Sequences in one step, over all processes."""
    context: int = Field(1, ge=0)
    """Frames 1..context are given, the loss covers the others. 0: nothing is given, the loss covers every
    frame; not every model can do that."""
    steps: int | None = Field(None, gt=0)
    epochs: int | None = Field(None, gt=0)
    minutes: float | None = Field(None, gt=0)
    accumulate: int = Field(1, gt=0)
    """Pieces that a batch is computed in, one after the other, to save memory."""
    precision: Literal["no", "bf16", "fp16"] = "no"
    workers: int = Field(0, ge=0)
    seed: int = Field(0, ge=0)
    log_every: int = Field(20, gt=0)
    """Steps between two lines of metrics.jsonl."""
    validate_every: int = Field(1, gt=0)
    """Epochs between two validations."""
    sample_every: int = Field(5, gt=0)
    """Epochs between two sample pictures."""
    checkpoint_every: int = Field(500, gt=0)
    """Steps between two checkpoints; the end of an epoch and an interruption write one too."""
    tracker: Literal["none", "tensorboard", "wandb"] = "none"


class EvalConfig(Section):
    """What rollout and evaluate do when not told otherwise (rollout goes on for 100 frames by itself)."""

    context: int = Field(10, ge=1)
    horizon: int = Field(10, ge=1)
    samples: int = Field(5, ge=1)


class Config(Section):
    """Everything that makes a run what it is."""

    name: str
    """Name of the model in the registry."""
    preset: str
    channels: int = Field(1, ge=1)
    size: tuple[int, int] = (64, 64)
    """Height and width of a frame."""
    data: DataConfig = DataConfig()
    model: SerializeAsAny[Section] = Section()
    """The options of the model, of its own `Options` type."""
    optim: OptimConfig = OptimConfig()
    train: TrainConfig = TrainConfig()
    eval: EvalConfig = EvalConfig()


DEFAULT = "default"


@dataclass(frozen=True)
class Layer:
    """Some settings, keyed like ``optim.learning_rate``, and what they are called in a message."""

    source: str
    values: Mapping[str, Any]


@dataclass(frozen=True)
class Resolved:
    """A validated configuration and, for every key that is not a default, the layer it came from."""

    config: Config
    sources: Mapping[str, str]


def presets(model_name: str) -> dict[str, dict[str, Any]]:
    """The presets of a model: ``{"paper": {"model": {...}, "optim": {...}, ...}, ...}``."""
    file = resources.files("vidpred") / "presets" / f"{model_name}.toml"
    return tomllib.loads(file.read_text("utf-8")) if file.is_file() else {}


def preset_layer(model_name: str, preset: str) -> Layer:
    """The settings of one preset. Raises `ConfigError` with the choices if there is no such preset."""
    known = presets(model_name)
    if preset not in known:
        raise unknown_name(f"preset of {model_name}", preset, known)
    return Layer(f"preset {preset}", flatten(known[preset]))


def file_layer(path: str | Path) -> Layer:
    """The settings of a TOML file. Raises `ConfigError` if it cannot be read."""
    try:
        values = tomllib.loads(Path(path).read_text("utf-8"))
    except OSError as error:
        raise ConfigError(f"cannot read the configuration {path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not valid TOML: {error}") from error
    return Layer(str(path), flatten(values))


def set_layer(assignments: Iterable[str]) -> Layer:
    """The settings of ``--set a.b=v`` options; v is read as TOML, and as plain text if it is not TOML."""
    values: dict[str, Any] = {}
    for assignment in assignments:
        key, equals, text = assignment.partition("=")
        if not equals or not key.strip():
            raise ConfigError(f"--set expects key=value such as optim.learning_rate=1e-3, got '{assignment}'")
        try:
            values[key.strip()] = tomllib.loads(f"value = {text}")["value"]
        except tomllib.TOMLDecodeError:
            values[key.strip()] = text.strip()
    return Layer("--set", values)


def resolve(model_name: str, preset: str, options: type[Section], layers: Iterable[Layer] = ()) -> Resolved:
    """Merges defaults, the preset and `layers`, and validates the result.

    Args:
        options: the model's own options type, for the keys under ``model.``.

    Raises:
        ConfigError: an unknown key (the nearest one is suggested) or a value out of range.
    """
    known = set(_keys(options))
    merged: dict[str, Any] = {"name": model_name, "preset": preset}
    sources: dict[str, str] = {}
    for layer in (preset_layer(model_name, preset), *layers):
        for key, value in layer.values.items():
            if key not in known:
                raise unknown_name(f"setting in {layer.source}", key, known)
            merged[key] = value
            sources[key] = layer.source
    return Resolved(_validate(_nest(merged), options, sources), sources)


def load(path: Path, options: type[Section]) -> Resolved:
    """Reads back what `save` wrote."""
    layer = file_layer(path)
    unknown = layer.values.keys() - set(_keys(options))
    if unknown:
        raise unknown_name(f"setting in {path}", min(unknown), _keys(options))
    sources = dict(_sources(path.read_text("utf-8")))
    return Resolved(_validate(_nest(layer.values), options, sources), sources)


def override(resolved: Resolved, layer: Layer, options: type[Section]) -> Resolved:
    """The same configuration with the settings of one more layer."""
    values = flatten(resolved.config.model_dump(mode="json", exclude_none=True)) | dict(layer.values)
    sources = dict(resolved.sources) | dict.fromkeys(layer.values, layer.source)
    return Resolved(_validate(_nest(values), options, sources), sources)


def save(resolved: Resolved, path: Path) -> None:
    """Writes the configuration as TOML, each value with a comment that says where it came from."""
    values = flatten(resolved.config.model_dump(mode="json", exclude_none=True))
    lines: list[str] = []
    section = ""
    for key, value in values.items():
        head, _, name = key.rpartition(".")
        if head != section:
            lines += ["", f"[{head}]"]
            section = head
        lines.append(f"{name} = {_toml(value)}  # {resolved.sources.get(key, DEFAULT)}")
    path.write_text("\n".join(lines) + "\n", "utf-8")


def flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """``{"optim": {"clip": 1}}`` -> ``{"optim.clip": 1}``, plain keys before the tables."""
    flat = {prefix + key: value for key, value in values.items() if not isinstance(value, Mapping)}
    for key, value in values.items():
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{prefix}{key}.")
    return flat


def _keys(options: type[Section]) -> Iterable[str]:
    for name, field in Config.model_fields.items():
        section = options if name == "model" else field.annotation
        if isinstance(section, type) and issubclass(section, Section):
            yield from (f"{name}.{key}" for key in section.model_fields)
        else:
            yield name


def _sources(text: str) -> Iterable[tuple[str, str]]:
    """The comments that `save` put behind the values: key -> where the value came from."""
    section = ""
    for line in text.splitlines():
        if line.startswith("["):
            section = line.strip("[]") + "."
        elif " = " in line:
            source = line.rpartition("  # ")[2]
            if source != DEFAULT:
                yield section + line.partition(" = ")[0], source


def _nest(flat: Mapping[str, Any]) -> dict[str, Any]:
    nested: dict[str, Any] = {}
    for key, value in flat.items():
        *path, name = key.split(".")
        table = nested
        for part in path:
            table = table.setdefault(part, {})
        table[name] = value
    return nested


def _validate(nested: dict[str, Any], options: type[Section], sources: Mapping[str, str]) -> Config:
    try:
        where = "model."
        model = options.model_validate(nested.get("model", {}))
        where = ""
        return Config.model_validate(nested | {"model": model})
    except ValidationError as error:
        first = error.errors()[0]
        key = where + ".".join(str(part) for part in first["loc"] if isinstance(part, str))
        raise ConfigError(f"{key}: {describe(first)} (from {sources.get(key, 'the defaults')})") from error


def describe(error: Mapping[str, Any]) -> str:
    """One pydantic error as part of a sentence: what was expected and what was given."""
    message = error["msg"].removeprefix("Value error, ")
    return f"{message[:1].lower()}{message[1:]}, got {error['input']!r}"


def _toml(value: Any) -> str:
    # JSON's numbers, strings, booleans and arrays are valid TOML.
    return json.dumps(value, ensure_ascii=False)
