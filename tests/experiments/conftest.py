import numpy as np
import pytest
import torch

from vidpred.evaluation import Setting
from vidpred.experiments.workspace import Workspace
from vidpred.runs import load_runs


@pytest.fixture(autouse=True)
def offline(monkeypatch):
    monkeypatch.setenv("VIDPRED_OFFLINE", "1")


@pytest.fixture
def glyphs(tmp_path):
    """A file of 20 pictures, every one a bright square of its own size."""
    images = np.zeros((20, 28, 28), np.uint8)
    for number, image in enumerate(images):
        image[4 : 14 + number // 2, 4 : 14 + number // 2] = 255
    np.savez(tmp_path / "glyphs.npz", images=images, labels=np.arange(20, dtype=np.uint8) % 10)
    return tmp_path / "glyphs.npz"


@pytest.fixture
def workspace(tmp_path, make_run, glyphs):
    """workspace(name, *models, count=3, context=2, horizon=3, samples=1) of runs that have learnt nothing."""

    def make(name, *models, count=3, context=2, horizon=3, samples=1, seed=0, **options):
        paths = [tmp_path / model for model in models]
        for path, model in zip(paths, models, strict=True):
            if not path.exists():
                make_run(path.name, model, f"data.digits={glyphs}")
        setting = Setting(context, horizon, samples, seed, batch=2, device=torch.device("cpu"))
        return Workspace(name, tmp_path / "out" / name, load_runs(paths), count, setting, options, quiet=True)

    return make
