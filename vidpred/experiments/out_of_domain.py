"""More or fewer objects than in training, for a long time (seed 000, section 5.3, figures 5.3 and 5.4).

The thesis of the experiment: a model that knows two objects shows two, whatever it is given.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from vidpred.experiments.long_term import THRESHOLD, TRUTH
from vidpred.experiments.moving import moving_sequences
from vidpred.experiments.workspace import Arrays, Workspace
from vidpred.metrics import bce_frame
from vidpred.metrics.objects import object_counts
from vidpred.rollout import rollout
from vidpred.viz.contact_sheet import write_contact_sheet
from vidpred.viz.curves import Curve, Panel, write_curves
from vidpred.viz.frames import as_uint8
from vidpred.viz.table import Table

NUMBERS = (1, 3)


def out_of_domain(workspace: Workspace) -> list[Table]:
    """Gives the runs sequences of 1 and of 3 objects and counts the objects they go on with."""
    parts = {
        number: workspace.part(f"{number}-objects", partial(_measure, workspace, number))
        for number in NUMBERS
    }
    names = [run.name for run in workspace.runs]
    horizon = workspace.setting.horizon
    frames = [frame for frame in (1, 10, 50, 100, 200) if frame <= horizon]
    tables, panels = [], []
    for number, part in parts.items():
        what = f"{number} object{'s' * (number > 1)} given"
        counts = dict(zip([TRUTH, *names], part["counts"], strict=True))
        errors = dict(zip(names, part["errors"], strict=True))
        rows = [
            [
                name,
                *(f"{seen[frame - 1]:.2f}" for frame in frames),
                *(f"{errors[name][frame - 1]:.1f}" if name in errors else "" for frame in frames),
            ]
            for name, seen in counts.items()
        ]
        heads = [f"objects, frame {frame}" for frame in frames] + [f"BCE, frame {frame}" for frame in frames]
        note = (
            f"Objects: connected regions brighter than {THRESHOLD}, mean over {workspace.count} sequences; "
            "those that touch count as one. BCE in nats a frame."
        )
        tables.append(Table(what, ["", *heads], rows, workspace.note(note)))
        curves = [Curve(name, seen, dashed=name == TRUTH) for name, seen in counts.items()]
        panels.append(Panel(f"objects seen, {what}", curves))
        write_contact_sheet(
            workspace.picture(f"{number}-objects.png"),
            part["context"],
            part["predicted"],
            part["truth"],
            names=names,
        )
    write_curves(workspace.picture("counts.png"), panels)
    results = {
        str(number): {"names": names, "counts": part["counts"], "errors": part["errors"]}
        for number, part in parts.items()
    }
    workspace.finish(tables, results)
    return tables


def _measure(workspace: Workspace, number: int) -> Arrays:
    """Counts (1 + runs, horizon), the truth first, errors (runs, horizon), and the frames of one sequence."""
    setting = workspace.setting
    sequences = moving_sequences(
        workspace.runs,
        frames=setting.context + setting.horizon,
        count=workspace.count,
        seed=setting.seed,
        objects=number,
    )
    counts: list[list[np.ndarray]] = [[] for _ in range(1 + len(workspace.runs))]
    errors: list[list[np.ndarray]] = [[] for _ in workspace.runs]
    shown: dict[str, np.ndarray] = {}
    for n, read in enumerate(sequences.batches(range(workspace.count), setting.batch)):
        context = read.frames[:, : setting.context].to(setting.device)
        truth = read.frames[:, setting.context :].to(setting.device)
        labels = None if read.labels is None else read.labels.to(setting.device)
        counts[0].append(object_counts(truth.cpu().numpy(), THRESHOLD))
        predicted = []
        for place, run in enumerate(workspace.runs):
            model = run.model.to(setting.device)
            future = rollout(model, context, setting.horizon, seed=setting.seed, batch=n, labels=labels)[0]
            counts[1 + place].append(object_counts(future.cpu().numpy(), THRESHOLD))
            errors[place].append(bce_frame(future, truth).cpu().numpy())
            predicted.append(as_uint8(future[:1]))
        if not shown:
            shown = {"context": as_uint8(context[:1]), "truth": as_uint8(truth[:1])}
            shown["predicted"] = np.stack(predicted)
    return {
        "counts": np.stack([np.concatenate(of_one).mean(axis=0) for of_one in counts]),
        "errors": np.stack([np.concatenate(of_one).mean(axis=0) for of_one in errors]),
        **shown,
    }
