import numpy as np
import pytest
import rolls
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


@pytest.fixture(scope="session")
def file(tmp_path_factory):
    """A data file of easy piano rolls, called as one of the paper's was made from it."""
    folder = tmp_path_factory.mktemp("rolls")
    splits = {name: rolls.rolls(name) for name in rolls.COUNTS}
    return rolls.write_rolls(folder / "x.h5", splits, sources={"JSB_Chorales.mat": "0" * 64})


@pytest.fixture(scope="session")
def trained(file):
    """The folders of a VOSP and a VRAE that have learnt the chords."""
    return {
        "vosp": rolls.make_sequence_run(file.parent / "vosp", "vosp", file, steps=240),
        "vrae": rolls.make_sequence_run(file.parent / "vrae", "vrae", file, steps=120),
    }


@pytest.fixture
def fresh(file, tmp_path):
    """fresh(model, *settings): the folder of a run that has learnt nothing."""

    def make(model, *settings, name=None):
        return rolls.make_sequence_run(tmp_path / (name or model), model, file, *settings)

    return make


@pytest.fixture
def frames_run(tmp_path, glyphs):
    """The folder of a VRAE on moving pictures that are made on the fly."""
    moving = ("data.frames=6", "data.val=5", "data.train=6", f"data.digits={glyphs}")
    return rolls.make_sequence_run(tmp_path / "frames", "vrae", None, *moving)
