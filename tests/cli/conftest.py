import pytest
import torch

from vidpred import runs
from vidpred.models.registry import build
from vidpred.training.settings import resolve_settings


@pytest.fixture
def make_run(tmp_path):
    """make_run(name, model, *settings) -> the folder of a run whose model has learnt nothing yet."""

    def make(name, model, *settings):
        path = tmp_path / name
        small = ["data.val=6", "data.train=6", "data.frames=4", "model.hidden=8", *settings]
        resolved = resolve_settings(model, "tiny", assignments=small)
        runs.create(path, resolved)
        torch.manual_seed(0)
        runs.save_checkpoint(path, "last", build(resolved.config), {})
        return path

    return make
