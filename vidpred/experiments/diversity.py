"""How different the futures are that a model predicts from one past (seed 000, section 5.2, figure 5.2)."""

from __future__ import annotations

from functools import partial
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from vidpred.errors import ConfigError
from vidpred.experiments.moving import moving_sequences
from vidpred.experiments.workspace import Arrays, Workspace
from vidpred.metrics import bce_frame
from vidpred.models.base import VideoModel
from vidpred.progress import progress_bar
from vidpred.rollout import rollout
from vidpred.viz.contact_sheet import predicted_frames, write_contact_sheet
from vidpred.viz.curves import Curve, Panel, write_curves
from vidpred.viz.frames import as_uint8
from vidpred.viz.maps import write_maps
from vidpred.viz.table import Table


def diversity(workspace: Workspace) -> list[Table]:
    """Draws several samples of every sequence; a deterministic run gives the same one each time.

    Raises:
        ConfigError: fewer than two samples.
    """
    samples = workspace.setting.samples
    if samples < 2:
        raise ConfigError(f"diversity needs at least 2 samples, got {samples}")
    parts = {
        run.name: workspace.part_of(run, partial(_measure, workspace, run.model)) for run in workspace.runs
    }
    last = workspace.setting.horizon
    rows = [
        [
            name,
            f"{part['deviation'].mean():.4f}",
            f"{part['distance'].mean():.2f}",
            *(f"{value:.1f}" for value in part["best_of"]),
        ]
        for name, part in parts.items()
    ]
    tables = [
        Table(
            f"{samples} samples of each sequence",
            ["", "deviation", "distance", *(f"best of {k}" for k in range(1, samples + 1))],
            rows,
            workspace.note(
                f"Mean over predicted frames 1 to {last} of {workspace.count} sequences. Deviation: of a "
                "pixel over the samples, root of the mean variance. Distance: between two samples, the root "
                "of the summed squares over a frame. Best of k: cross-entropy in nats a frame of the best of "
                "the first k samples. A deterministic model has one prediction."
            ),
        )
    ]
    curves = [
        Panel("deviation of a pixel over samples", [Curve(n, p["deviation"]) for n, p in parts.items()]),
        Panel("distance between samples", [Curve(n, p["distance"]) for n, p in parts.items()]),
    ]
    write_curves(workspace.picture("curves.png"), curves, f"{workspace.count} sequences, {samples} samples")
    columns = predicted_frames(last, max(1, last // 10))
    write_maps(
        workspace.picture("variance.png"),
        [(name, part["variance"]) for name, part in parts.items()],
        columns,
        "variance over the samples of one sequence",
    )
    for n, part in enumerate(parts.values()):
        write_contact_sheet(
            workspace.picture(f"samples-{n}.png"), part["context"], part["futures"], part["truth"]
        )
    results = {
        name: {key: part[key] for key in ("deviation", "distance", "best_of")} for name, part in parts.items()
    }
    workspace.finish(tables, results)
    return tables


def _measure(workspace: Workspace, model: VideoModel) -> Arrays:
    """Curves (horizon,), best_of (samples,), and of the first sequence its frames and variance."""
    setting = workspace.setting
    sequences = moving_sequences(
        workspace.runs, frames=setting.context + setting.horizon, count=workspace.count, seed=setting.seed
    )
    model = model.to(setting.device)
    first: dict[str, NDArray] = {}
    variances, distances, errors = [], [], []
    with progress_bar(quiet=workspace.quiet) as bar:
        task = bar.add_task("sampling", total=workspace.count, note=type(model).__name__)
        for n, read in enumerate(sequences.batches(range(workspace.count), setting.batch)):
            context = read.frames[:, : setting.context].to(setting.device)
            truth = read.frames[:, setting.context :].to(setting.device)
            futures = rollout(
                model,
                context,
                setting.horizon,
                samples=setting.samples,
                seed=setting.seed,
                batch=n,
                labels=None if read.labels is None else read.labels.to(setting.device),
            ).expand(setting.samples, -1, -1, -1, -1, -1)
            variance = futures.var(dim=0, unbiased=True)  # (n, horizon, C, H, W)
            variances.append(variance.mean(dim=(2, 3, 4)).cpu().numpy())
            pairs = [
                (one - other).square().sum(dim=(2, 3, 4)).sqrt() for one, other in combinations(futures, 2)
            ]
            distances.append((sum(pairs[1:], start=pairs[0]) / len(pairs)).cpu().numpy())
            errors.append(np.stack([bce_frame(one, truth).mean(dim=1).cpu().numpy() for one in futures]))
            if not first:
                first = {
                    "context": as_uint8(context[:1]),
                    "truth": as_uint8(truth[:1]),
                    "futures": as_uint8(futures[:, :1]),
                    "variance": variance[0].amax(dim=1).cpu().numpy(),  # (horizon, H, W)
                }
            bar.advance(task, len(context))
    error = np.concatenate(errors, axis=1)  # (samples, sequences)
    return {
        "deviation": np.sqrt(np.concatenate(variances).mean(axis=0)),
        "distance": np.concatenate(distances).mean(axis=0),
        "best_of": np.minimum.accumulate(error, axis=0).mean(axis=1),
        **first,
    }
