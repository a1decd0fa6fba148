"""What all tests share: markers resolved in one place, and real data where it lies beside the checkout."""

from pathlib import Path

import pytest
import torch

from vidpred import runs
from vidpred.models.registry import build
from vidpred.training.settings import resolve_settings

try:
    from hypothesis import HealthCheck, settings
except ImportError:  # what needs it skips itself
    pass
else:
    settings.register_profile(
        "the same few examples everywhere",
        derandomize=True,
        max_examples=10,
        deadline=None,
        database=None,
        # Fixtures of a test function are those of all its examples, which is all that any test here needs.
        suppress_health_check=[HealthCheck.function_scoped_fixture],
    )
    settings.load_profile("the same few examples everywhere")


def pytest_collection_modifyitems(items):
    if torch.cuda.is_available():
        return
    no_device = pytest.mark.skip(reason="no CUDA device")
    for item in items:
        if item.get_closest_marker("needs_cuda"):
            item.add_marker(no_device)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real data; it is no part of the project, so tests that use it skip without it."""
    folder = Path(__file__).parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"no real data at {folder}")
    return folder


@pytest.fixture
def make_run(tmp_path):
    """make_run(name, model, *settings) -> the folder of a run whose model has learnt nothing yet."""

    def make(name, model, *settings):
        path = tmp_path / name
        hidden = "[8]" if model == "convlstm" else 8
        small = [
            "data.val=6",
            "data.train=6",
            "data.frames=4",
            f"model.hidden={hidden}",
            "train.context=1",
            *settings,
        ]
        resolved = resolve_settings(model, "tiny", assignments=small)
        runs.create(path, resolved)
        torch.manual_seed(0)
        runs.save_checkpoint(path, "last", build(resolved.config), {})
        return path

    return make
