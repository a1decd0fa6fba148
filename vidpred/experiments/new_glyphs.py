"""One object with a picture of a kind never seen in training (seed 001, section 4.5, figures 4.11, 4.12)."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from vidpred.data import digits
from vidpred.errors import ConfigError
from vidpred.evaluation import compare
from vidpred.experiments.moving import moving_sequences, trained_spec
from vidpred.experiments.workspace import Arrays, Workspace
from vidpred.sequences import wants_labels
from vidpred.viz.box_plot import Box, write_box_plot
from vidpred.viz.grid import write_grid
from vidpred.viz.table import Table

METRIC = "bce_frame"


def new_glyphs(workspace: Workspace, glyphs: str) -> list[Table]:
    """Scores the runs on single objects: digits of the kind they know, and `glyphs`.

    Args:
        glyphs: a digit source, see `vidpred.data.digits.load`.

    Raises:
        ConfigError: runs on something else than digits, or one that is conditioned on their classes.
        DataError: glyphs that cannot be read.
    """
    digits.load(glyphs)  # what is not there is better known before the work than in its middle
    spec = trained_spec(workspace.runs[0].config.data)
    if spec.kind != "mmnist":
        raise ConfigError(f"new-glyphs needs runs on moving digits, got runs on moving {spec.kind}")
    for run in workspace.runs:
        if wants_labels(run.model):
            raise ConfigError(f"new-glyphs cannot tell {run.name} the classes of glyphs it does not know")
    own = spec.digits
    parts = {
        kind: workspace.part(kind, partial(_score, workspace, source))
        for kind, source in (("known", own), ("new", glyphs))
    }
    names = [run.name for run in workspace.runs]
    known, new = (parts[kind]["errors"] for kind in ("known", "new"))  # (runs, sequences)
    rows = [
        [
            name,
            f"{np.median(ours):.1f}",
            f"{np.median(theirs):.1f}",
            f"{ours.mean():.1f}",
            f"{theirs.mean():.1f}",
            f"{theirs.mean() / ours.mean():.2f}",
            f"{theirs.std() / ours.std():.2f}" if len(ours) > 1 else "",
        ]
        for name, ours, theirs in zip(names, known, new, strict=True)
    ]
    label = Path(glyphs).name
    table = Table(
        f"One object: known glyphs against {label}",
        ["", "median, known", "new", "mean, known", "new", "new / known", "spread, new / known"],
        rows,
        workspace.note(
            f"Cross-entropy in nats a frame over predicted frames 1 to {workspace.setting.horizon}, "
            f"{workspace.count} sequences of each. Spread: the standard deviation over sequences."
        ),
    )
    boxes = [
        Box(name, values, group)
        for name, *pair in zip(names, known, new, strict=True)
        for group, values in zip(("known glyphs", label), pair, strict=True)
    ]
    write_box_plot(workspace.picture("errors.png"), boxes, "cross-entropy, nats per frame")
    rows_of_frames = [("truth", parts["new"]["truth"]), *zip(names, parts["new"]["predicted"], strict=True)]
    columns = [str(frame) for frame in range(1, workspace.setting.horizon + 1)]
    write_grid(workspace.picture("new-glyph.png"), rows_of_frames, columns)
    workspace.finish([table], {"glyphs": label, "names": names, "known": known, "new": new})
    return [table]


def _score(workspace: Workspace, source: str) -> Arrays:
    setting = workspace.setting
    sequences = moving_sequences(
        workspace.runs,
        frames=setting.context + setting.horizon,
        count=workspace.count,
        seed=setting.seed,
        objects=1,
        digits=source,
    )
    with TemporaryDirectory() as scratch:
        evaluated = compare(
            workspace.runs,
            sequences,
            workspace.count,
            setting,
            Path(scratch) / "values.h5",
            mean_frame=None,
            shown=[0],
            quiet=workspace.quiet,
        )
        names = [run.name for run in workspace.runs]
        errors = np.stack([evaluated.values.of(name, METRIC).mean(axis=1) for name in names])
    return {
        "errors": errors,
        "truth": evaluated.gallery.truth[0],
        "predicted": np.stack([evaluated.gallery.predicted[0][name] for name in names]),
    }
