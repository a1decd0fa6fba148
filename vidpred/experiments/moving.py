"""Moving objects like those a run was trained on, but more or fewer, for longer, or with other pictures."""

from __future__ import annotations

from collections.abc import Sequence as Seq
from pathlib import Path
from typing import Any

from vidpred.config import DataConfig
from vidpred.data.hdf5 import open_dataset
from vidpred.data.moving import MovingDataset, MovingSpec
from vidpred.errors import DataError
from vidpred.runs import Run, moving_spec
from vidpred.sequences import Sequences, wants_labels


def moving_sequences(
    runs: Seq[Run], *, frames: int, count: int, seed: int, split: str = "test", **changes: Any
) -> Sequences:
    """Sequences of the kind that the runs were trained on, made on the fly.

    Args:
        runs: of one kind, of which the first is asked; there are labels where a run wants them.
        frames: their length.
        count: how many.
        seed: other sequences for another seed.
        split: ``test`` shows digits that training never does.
        changes: fields of `MovingSpec` that shall differ, such as ``objects=3`` or ``digits="emnist"``.

    Raises:
        DataError: the run was trained on a file of something else than moving objects.
        ConfigError: a change that makes no sense, such as five objects.
    """
    data = runs[0].config.data
    with_labels = any(wants_labels(run.model) for run in runs)
    spec = MovingSpec(**(trained_spec(data).model_dump() | {"frames": frames} | changes))
    what = f"{spec.objects} {'digits' if spec.kind == 'mmnist' else 'shapes'} ({spec.digits})"
    made = MovingDataset(spec, split=split, count=count, seed=seed, with_labels=with_labels)
    return Sequences(made, f"{what}, made on the fly ({split}, seed {seed})", {})


def trained_spec(data: DataConfig) -> MovingSpec:
    """What the moving objects looked like that a run was trained on."""
    if data.file is None:
        return moving_spec(data)
    with open_dataset(Path(data.file)) as file:
        made_with = file.attributes.get("config", {})
    if made_with.get("kind") not in ("mmnist", "shapes"):
        raise DataError(
            f"the experiment needs a run on moving digits or shapes, but {data.file} does not hold any"
        )
    return MovingSpec(**{key: made_with[key] for key in MovingSpec.model_fields if key in made_with})
