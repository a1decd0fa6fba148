"""What the latents of a VRNN do to its images, and whether they carry anything (seed 000, section 5.4)."""

from __future__ import annotations

from functools import partial

import numpy as np
import torch

from vidpred.errors import ConfigError
from vidpred.experiments.moving import moving_sequences
from vidpred.experiments.workspace import Arrays, Workspace
from vidpred.models.vrnn import VRNN
from vidpred.viz.frames import as_uint8
from vidpred.viz.grid import write_grid
from vidpred.viz.lines import Line, write_lines
from vidpred.viz.table import Table

ALPHAS = range(11)
"""0 is the encoding of the first image, 1 that of the second; figure 5.5 goes on to 10."""
PAIRS = 4
ACTIVE = 0.01
"""Nats above which a dimension counts as used (Burda et al. 2016 take a variance of 0.01)."""
COLLAPSED = 1.0
"""Nats a frame below which all latents together tell next to nothing."""


def latent(workspace: Workspace) -> list[Table]:
    """Interpolates between encodings, and measures what the posterior knows that the prior does not.

    Raises:
        ConfigError: a run of a model without latents.
    """
    parts = {}
    for run in workspace.runs:
        if not isinstance(run.model, VRNN):
            raise ConfigError(f"{run.name} is a {run.config.name}, which has no latents: expected a vrnn")
        parts[run.name] = workspace.part_of(run, partial(_measure, workspace, run.model))
    rows, warnings = [], []
    for n, (name, part) in enumerate(parts.items()):
        per_step, per_dimension = part["kl"].sum(axis=1), part["kl"].mean(axis=0)
        active = int((per_dimension > ACTIVE).sum())
        rows.append(
            [
                name,
                f"{per_step.mean():.3f}",
                f"{per_step[0]:.3f}",
                f"{per_step[-1]:.3f}",
                f"{active} of {len(per_dimension)}",
                f"{part['change'][1]:.3f}",
                f"{part['change'][10]:.3f}",
            ]
        )
        if per_step.mean() < COLLAPSED:
            warnings.append(f"{name}: the posterior has collapsed onto the prior, its latents say nothing.")
        write_grid(
            workspace.picture(f"interpolation-{n}.png"),
            [(f"pair {pair + 1}", frames) for pair, frames in enumerate(part["images"])],
            [f"alpha {alpha}" for alpha in ALPHAS],
        )
    table = Table(
        "Divergence of the posterior from the prior, and what latents change",
        ["", "KL", "KL, step 1", "KL, last step", "active dimensions", "change, alpha 1", "alpha 10"],
        rows,
        " ".join(
            [
                f"KL in nats a frame, {workspace.count} sequences. Active: more than {ACTIVE} nats. Change: "
                "of the image on the way from one encoding to another, root mean square over pixels.",
                *(f"**Warning.** {warning}" for warning in warnings),
            ]
        ),
    )
    steps = [
        Line(name, np.arange(1, len(part["kl"]) + 1), part["kl"].sum(axis=1)) for name, part in parts.items()
    ]
    write_lines(workspace.picture("kl-steps.png"), steps, "step", "KL, nats")
    dimensions = [
        Line(name, np.arange(1, part["kl"].shape[1] + 1), np.sort(part["kl"].mean(axis=0))[::-1])
        for name, part in parts.items()
    ]
    write_lines(
        workspace.picture("kl-dimensions.png"), dimensions, "latent dimension, most used first", "KL, nats"
    )
    results = {name: {"kl": part["kl"], "change": part["change"]} for name, part in parts.items()}
    workspace.finish([table], {**results, "warnings": warnings})
    return [table]


@torch.no_grad()
def _measure(workspace: Workspace, model: VRNN) -> Arrays:
    """kl (steps, latent), images (pairs, alphas, C, H, W) uint8, change (alphas,)."""
    setting = workspace.setting
    model = model.to(setting.device)
    length = setting.context
    sequences = moving_sequences(workspace.runs, frames=length, count=workspace.count, seed=setting.seed)
    divergence = np.zeros(())
    images, change = None, None
    for read in sequences.batches(range(workspace.count), setting.batch):
        frames = read.frames.to(setting.device)
        labels = None if read.labels is None else read.labels.to(setting.device)
        seen = model.encode(frames, labels)
        divergence = divergence + seen.kl.sum(dim=1).cpu().numpy()
        if images is None:
            pairs = min(PAIRS, len(frames) // 2)
            if pairs < 1:
                raise ConfigError("latent needs at least 2 sequences in a batch")
            # v = v1 + (v2 - v1) alpha at the output of F_z, the memory being that of the first image.
            hidden, v1 = seen.hidden[-1, :pairs], seen.latent[-1, :pairs]
            v2 = seen.latent[-1, pairs : 2 * pairs]
            only = None if labels is None else labels[:pairs]
            steps = [model.decode(hidden, v1 + (v2 - v1) * alpha, only) for alpha in ALPHAS]
            drawn = torch.stack(steps, dim=1)  # (pairs, alphas, C, H, W)
            images = as_uint8(drawn)
            change = (drawn - drawn[:, :1]).square().mean(dim=(0, 2, 3, 4)).sqrt().cpu().numpy()
    assert images is not None
    assert change is not None
    return {"kl": divergence / workspace.count, "images": images, "change": change}
