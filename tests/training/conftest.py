"""Small trainings that take a second or two."""

from pathlib import Path

import pytest

from vidpred import runs
from vidpred.training import resolve_settings

SETTINGS = [
    "data.train=24",
    "data.val=4",
    "data.frames=4",
    "train.batch=4",
    "train.log_every=1",
    "train.checkpoint_every=2",
    "model.hidden=8",
    "model.imagined=2",
    "model.imagined_after=0",
    "optim.schedule=constant",
    "optim.warmup=0",
    "model.widths=[2, 3]",
    "model.kernels=[3, 3]",
    "data.size=16",
    "data.digit_size=8",
]


@pytest.fixture
def make_run(tmp_path: Path):  # type: ignore[no-untyped-def]
    """Makes the folder of a tiny training: make_run("name", "train.steps=3", ..., model="vrnn")."""

    def make(name: str, *assignments: str, model: str = "vrnn") -> Path:
        extra = ["model.latent=3", "model.decoder_width=6"] if model == "vrnn" else []
        resolved = resolve_settings(model, "tiny", assignments=[*SETTINGS, *extra, *assignments])
        runs.create(tmp_path / name, resolved)
        return tmp_path / name

    return make
