"""An experiment on disk: finished parts are kept, so that one that was stopped goes on where it was.

parts/<name>.npz    the numbers of a finished part, with a digest of everything they depend on
table.md            the tables
results.json        every number of the tables and pictures, and the circumstances
*.png               the pictures; also animations (.gif) and music (.mid)
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vidpred.config import DataConfig
from vidpred.data import digits
from vidpred.data.hdf5 import open_dataset
from vidpred.data.moving_objects import MovingSpec
from vidpred.errors import ConfigError
from vidpred.evaluation import Setting, describe, machine, presets_of
from vidpred.experiments.moving import trained_spec
from vidpred.files import replacing, without_nan
from vidpred.runs import Run, checkpoint_digest, require_free
from vidpred.viz.table import Table

Arrays = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class Workspace:
    """What an experiment is made with, and the folder it is written to.

    Attributes:
        name: of the experiment.
        folder: where everything goes.
        runs: the trained models.
        count: sequences to try them on.
        setting: context, horizon, samples, seed, batch and device.
        options: what else the numbers depend on.
        quiet: no progress bars.
        file: the data file to try them on; None: moving objects, made on the fly.
    """

    name: str
    folder: Path
    runs: Sequence[Run]
    count: int
    setting: Setting
    options: Mapping[str, Any] = field(default_factory=dict)
    quiet: bool = False
    file: Path | None = None

    def require_own(self) -> None:
        """Raises `OutputError` where the folder holds something else, of which files might be replaced."""
        try:
            ours = "experiment" in json.loads((self.folder / "results.json").read_text("utf-8"))
        except (OSError, ValueError, TypeError):
            ours = False
        if not ours and not (self.folder / "parts").is_dir():
            require_free(self.folder, "it holds no experiment, choose another --out")

    def part(self, name: str, compute: Callable[[], Arrays]) -> Arrays:
        """What `compute` returns; read from disk if this part was finished before under the same settings."""
        return self._part(name, self._digest(self.runs), compute)

    def part_of(self, run: Run, compute: Callable[[], Arrays]) -> Arrays:
        """The same for what depends on one of the runs only, and stays as it is when others join it."""
        return self._part(f"run-{checkpoint_digest(run.path)[:12]}", self._digest([run]), compute)

    def _part(self, name: str, digest: str, compute: Callable[[], Arrays]) -> Arrays:
        file = self.folder / "parts" / f"{name}.npz"
        kept = _read(file, digest)
        if kept is not None:
            return kept
        made = compute()
        buffer = io.BytesIO()
        arrays: dict[str, Any] = {_DIGEST: np.array(digest), **made}
        np.savez_compressed(buffer, **arrays)
        with replacing(file) as temporary:
            temporary.write_bytes(buffer.getbuffer())
        return made

    def finish(self, tables: Sequence[Table], results: Mapping[str, Any]) -> None:
        """Writes ``table.md`` and ``results.json``."""
        with replacing(self.folder / "table.md") as temporary:
            temporary.write_text("\n".join(table.markdown() for table in tables), "utf-8")
        content = {
            "experiment": self.name,
            **self._facts,
            "pictures": sorted(self._pictures),
            "results": results,
        }
        for name in self._pictures_before() - self._pictures:
            (self.folder / name).unlink(missing_ok=True)
        with replacing(self.folder / "results.json") as temporary:
            temporary.write_text(json.dumps(without_nan(content), indent=1, allow_nan=False) + "\n", "utf-8")

    def picture(self, name: str) -> Path:
        """Where the picture of that name is to be written."""
        self._pictures.add(name)
        return self.folder / name

    def note(self, text: str) -> str:
        """`text` for below a table, and the presets of the runs."""
        return f"{text} {presets_of(self._facts['runs'])}"

    def _pictures_before(self) -> set[str]:
        """Of an earlier experiment in the same folder, perhaps with more runs."""
        try:
            names = json.loads((self.folder / "results.json").read_text("utf-8")).get("pictures", [])
        except (OSError, ValueError):
            return set()
        return {name for name in names if Path(name).name == name and Path(name).suffix in _PICTURES}

    @cached_property
    def _pictures(self) -> set[str]:
        return set()

    @cached_property
    def _facts(self) -> dict[str, Any]:
        setting = self.setting
        return {
            "runs": [describe(run) for run in self.runs],
            "sequences": self.count,
            "context": setting.context,
            "horizon": setting.horizon,
            "samples": setting.samples,
            "seed": setting.seed,
            "options": dict(self.options),
            "machine": machine(setting.device),
        }

    def _glyphs(self, data: DataConfig) -> list[dict[str, str]]:
        """The files, with their sha256, of the pictures that move: the run's own and those it is tried on."""
        spec = trained_spec(data)
        sources = {spec.digits, str(self.options.get("glyphs", spec.digits))}
        return (
            [] if spec.kind != "mmnist" else [dict(digits.load(source).files) for source in sorted(sources)]
        )

    def _data(self, runs: Sequence[Run]) -> dict[str, Any]:
        """What tells apart the sequences that these runs are tried on."""
        if self.file is not None:
            with open_dataset(self.file) as opened:
                return {name: opened.attributes.get(name) for name in ("sha256", "classes", "groups")}
        return {
            "data": [trained_spec(run.config.data).model_dump() for run in runs],
            "glyphs": [self._glyphs(run.config.data) for run in runs],
        }

    def _digest(self, runs: Sequence[Run]) -> str:
        """Of the weights of these runs and of every setting that a number may depend on."""
        depends = {
            **{key: value for key, value in self._facts.items() if key not in ("runs", "machine")},
            "format": FORMAT,
            "batch": self.setting.batch,
            **self._data(runs),
            "weights": [checkpoint_digest(run.path) for run in runs],
            "config": [run.config.model_dump(mode="json", exclude={"train", "optim"}) for run in runs],
        }
        return hashlib.sha256(json.dumps(depends, sort_keys=True, default=str).encode()).hexdigest()


def require_alike(runs: Sequence[Run]) -> None:
    """Raises `ConfigError` unless all runs were trained on frames of the same kind of objects and size."""
    first = trained_spec(runs[0].config.data)
    for run in runs[1:]:
        spec = trained_spec(run.config.data)
        for field_name in sorted(MovingSpec.model_fields.keys() - {"frames"}):
            ours, theirs = getattr(first, field_name), getattr(spec, field_name)
            if ours != theirs:
                raise ConfigError(
                    f"{runs[0].path} and {run.path} cannot share an experiment: "
                    f"their data differ in {field_name}, {ours} and {theirs}"
                )


FORMAT = 3
"""Of the parts on disk; another number where what is measured changes."""
_DIGEST = "digest"
_PICTURES = (".png", ".gif", ".mid")
"""Endings of what is to be looked at or listened to."""


def _read(file: Path, digest: str) -> Arrays | None:
    """The arrays of a part, unless it is missing, damaged, or of other settings."""
    try:
        with file.open("rb") as opened, np.load(opened, allow_pickle=False) as arrays:
            if str(arrays[_DIGEST]) == digest:
                return {name: arrays[name] for name in arrays.files if name != _DIGEST}
    except Exception:  # a damaged zip can make numpy raise almost anything; the part is then made anew
        return None
    return None
