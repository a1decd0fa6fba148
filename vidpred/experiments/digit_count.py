"""What more digits do to the error (seed 001, section 4.4.3, figures 4.9 and 4.10)."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from vidpred.evaluation import compare
from vidpred.experiments.moving import moving_sequences, trained_spec
from vidpred.experiments.workspace import Arrays, Workspace
from vidpred.sequences import mean_training_frame
from vidpred.viz.grid import write_grid
from vidpred.viz.lines import Line, write_lines
from vidpred.viz.table import Table

NUMBERS = (1, 2, 3, 4)
METRIC = "bce_frame"


def digit_count(workspace: Workspace) -> list[Table]:
    """Scores the runs on 1 to 4 objects, of which they know the number they were trained on."""
    names = [*(run.name for run in workspace.runs), "copy", "mean"]
    parts = {
        number: workspace.part(f"{number}-objects", partial(_score, workspace, number, names))
        for number in NUMBERS
    }
    means, errors = (np.array([parts[n][key] for n in NUMBERS]).T for key in ("mean", "standard_error"))
    rows = [
        [
            name,
            *(
                f"{value:.1f}" + f" ± {error:.1f}" * bool(error)
                for value, error in zip(*of_name, strict=True)
            ),
        ]
        for name, *of_name in zip(names, means, errors, strict=True)
    ]
    table = Table(
        "Error against the number of objects",
        ["", *(f"{number} object{'s' * (number > 1)}" for number in NUMBERS)],
        rows,
        workspace.note(
            f"Cross-entropy in nats a frame, mean over predicted frames 1 to {workspace.setting.horizon} and "
            f"{workspace.count} sequences, ± standard error. The runs were trained on "
            f"{trained_spec(workspace.runs[0].config.data).objects} objects."
        ),
    )
    trained = len(workspace.runs)  # `copy` would hide the differences between the others
    lines = [
        Line(name, np.array(NUMBERS), mean, error)
        for name, mean, error in zip(names[:trained], means, errors, strict=False)
    ]
    write_lines(
        workspace.picture("errors.png"), lines, "objects in a sequence", "cross-entropy, nats per frame"
    )
    most = parts[NUMBERS[-1]]
    pictures = [("truth", most["truth"]), *zip(names[:trained], most["predicted"], strict=False)]
    columns = [str(frame) for frame in range(1, workspace.setting.horizon + 1)]
    write_grid(workspace.picture("most-objects.png"), pictures, columns)
    workspace.finish([table], {"objects": NUMBERS, "names": names, "mean": means, "standard_error": errors})
    return [table]


def _score(workspace: Workspace, number: int, names: list[str]) -> Arrays:
    run, setting = workspace.runs[0], workspace.setting
    length = setting.context + setting.horizon
    sequences = moving_sequences(
        workspace.runs, frames=length, count=workspace.count, seed=setting.seed, objects=number
    )
    with TemporaryDirectory() as scratch:
        evaluated = compare(
            workspace.runs,
            sequences,
            workspace.count,
            setting,
            Path(scratch) / "values.h5",
            mean_frame=mean_training_frame(run.config.data, None),
            shown=[0],
            quiet=workspace.quiet,
        )
        errors = np.stack([evaluated.values.of(name, METRIC).mean(axis=1) for name in names])
    gallery = evaluated.gallery
    return {
        "mean": errors.mean(axis=1),
        "standard_error": errors.std(axis=1, ddof=min(1, workspace.count - 1)) / np.sqrt(workspace.count),
        "truth": gallery.truth[0],
        "predicted": np.stack([gallery.predicted[0][name] for name in names]),
    }
