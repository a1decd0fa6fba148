"""Writing whole files of generated sequences."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from vidpred.data.hdf5 import create_dataset
from vidpred.data.in_order import in_order
from vidpred.data.moving_objects import MovingObjects, MovingSpec
from vidpred.data.randomness import SPLITS
from vidpred.errors import ConfigError
from vidpred.files import require_writable
from vidpred.progress import progress_bar

_BLOCK_BYTES = 2**21
"""Frames are drawn in blocks that stay in a core's cache."""


def generate(
    path: str | os.PathLike[str],
    spec: MovingSpec,
    counts: Mapping[str, int],
    *,
    seed: int = 0,
    workers: int = 0,
    quiet: bool = False,
) -> None:
    """Writes a data file of moving objects.

    The file depends on `spec`, `counts` and `seed` alone. Memory does not grow with the counts.

    Args:
        counts: sequences per split, >= 0 and not all 0; a split with 0 is left out.
        workers: threads that draw, while this one writes; 0 takes one per core.
        quiet: no progress bar.

    Raises:
        ConfigError: wrong counts.
        DataError: no digits.
        OutputError: the file cannot be written.
    """
    for split, count in counts.items():
        if count < 0:
            raise ConfigError(f"the number of {split} sequences must not be negative, got {count}")
    wanted = {split: count for split, count in counts.items() if count > 0}
    if not wanted:
        raise ConfigError("there is nothing to generate: the number of sequences is 0 in every split")
    require_writable(Path(path))
    makers = {split: MovingObjects(spec, split, seed) for split in wanted}
    block = max(1, _BLOCK_BYTES // int(np.prod(spec.frame_shape)))
    with (
        ThreadPoolExecutor(workers or os.cpu_count()) as pool,
        progress_bar(quiet=quiet) as bar,
        create_dataset(
            path,
            command=_command(spec, counts, seed),
            config=spec.model_dump() | wanted,
            seed=seed,
            sources={name: sha256 for maker in makers.values() for name, sha256 in maker.files.items()},
        ) as file,
    ):
        for split, count in wanted.items():
            task = bar.add_task(split, total=count, note="")
            blocks = (np.arange(i, min(i + block, count)) for i in range(0, count, block))
            with file.split(split, count, spec.frame_shape) as writer:
                for made in in_order(pool, makers[split].sequences, blocks, ahead=2 * (workers or 2)):
                    writer.append(
                        made.frames,
                        labels=made.labels,
                        positions=made.positions,
                        object_ids=made.object_ids,
                    )
                    bar.advance(task, len(made.frames))


def _command(spec: MovingSpec, counts: Mapping[str, int], seed: int) -> str:
    """The command line that makes the same file again."""
    settings = {split: counts.get(split, 0) for split in SPLITS} | {"seed": seed}
    settings |= spec.model_dump(exclude={"kind", "digits", "overlap"} if spec.kind == "shapes" else {"kind"})
    words = ["vidpred", "gen-data", spec.kind]
    for name, value in settings.items():
        words += [f"--{name.replace('_', '-')}", str(value)]
    return shlex.join(words)
