"""An experiment on disk: finished parts are kept, so that one that was stopped goes on where it was.

parts/<name>.npz    the numbers of a finished part, with a digest of everything they depend on
table.md            the tables
results.json        every number of the tables and pictures, and the circumstances
*.png               the pictures
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
import torch
from numpy.typing import NDArray

from vidpred.errors import ConfigError
from vidpred.evaluation import Setting, describe, machine
from vidpred.experiments.moving import trained_spec
from vidpred.files import replacing
from vidpred.runs import Run, checkpoint_digest
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
    """

    name: str
    folder: Path
    runs: Sequence[Run]
    count: int
    setting: Setting
    options: Mapping[str, Any] = field(default_factory=dict)
    quiet: bool = False

    def part(self, name: str, compute: Callable[[], Arrays]) -> Arrays:
        """What `compute` returns; read from disk if this part was finished before under the same settings."""
        file = self.folder / "parts" / f"{name}.npz"
        kept = _read(file, self._digest)
        if kept is not None:
            return kept
        made = compute()
        buffer = io.BytesIO()
        arrays: dict[str, Any] = {_DIGEST: np.array(self._digest), **made}
        np.savez_compressed(buffer, **arrays)
        with replacing(file) as temporary:
            temporary.write_bytes(buffer.getbuffer())
        return made

    def finish(self, tables: Sequence[Table], results: Mapping[str, Any]) -> None:
        """Writes ``table.md`` and ``results.json``."""
        with replacing(self.folder / "table.md") as temporary:
            temporary.write_text("\n".join(table.markdown() for table in tables), "utf-8")
        content = {"experiment": self.name, **self._facts, "results": results}
        with replacing(self.folder / "results.json") as temporary:
            temporary.write_text(json.dumps(content, indent=1, default=_plain) + "\n", "utf-8")

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

    @cached_property
    def _digest(self) -> str:
        """Of the weights and of every setting that a number may depend on."""
        depends = {
            **{key: value for key, value in self._facts.items() if key not in ("runs", "machine")},
            "batch": self.setting.batch,
            "weights": [checkpoint_digest(run.path) for run in self.runs],
            "config": [run.config.model_dump(mode="json", exclude={"train", "optim"}) for run in self.runs],
        }
        return hashlib.sha256(json.dumps(depends, sort_keys=True, default=str).encode()).hexdigest()


def require_alike(runs: Sequence[Run]) -> None:
    """Raises `ConfigError` unless all runs were trained on frames of the same kind of objects and size."""
    first = trained_spec(runs[0].config.data)
    for run in runs[1:]:
        spec = trained_spec(run.config.data)
        for field_name in ("kind", "size", "digit_size", "objects", "motion"):
            ours, theirs = getattr(first, field_name), getattr(spec, field_name)
            if ours != theirs:
                raise ConfigError(
                    f"{runs[0].path} and {run.path} cannot share an experiment: "
                    f"their data differ in {field_name}, {ours} and {theirs}"
                )


_DIGEST = "digest"


def _read(file: Path, digest: str) -> Arrays | None:
    """The arrays of a part, unless it is missing, damaged, or of other settings."""
    try:
        with file.open("rb") as opened, np.load(opened, allow_pickle=False) as arrays:
            if str(arrays[_DIGEST]) == digest:
                return {name: arrays[name] for name in arrays.files if name != _DIGEST}
    except Exception:  # a damaged zip can make numpy raise almost anything; the part is then made anew
        return None
    return None


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, np.generic | torch.Tensor):
        return value.item()
    return str(value)
