"""What all tests share: markers resolved in one place, and real data where it lies beside the checkout."""

from pathlib import Path

import numpy as np
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


@pytest.fixture(scope="session")
def make_video():
    """make_video(path, frames (n, H, W) or (n, H, W, 3) uint8): writes a video; all but webm lose nothing."""
    av = pytest.importorskip("av")

    def make(path, frames, rate=25):
        codec, pixels, options = {
            ".avi": ("ffv1", "gray", {}),
            ".mp4": ("libx264", "gray", {"qp": "0"}),
            ".webm": ("libvpx-vp9", "yuv420p", {"lossless": "1"}),
            ".gif": ("gif", "gray", {}),
        }[path.suffix]
        if frames.ndim == 4:
            pixels = {"ffv1": "bgr0", "libx264": "yuv444p", "gif": "rgb8"}.get(codec, pixels)
        path.parent.mkdir(parents=True, exist_ok=True)
        with av.open(str(path), "w") as container:
            stream = container.add_stream(codec, rate=rate, options=options)
            stream.height, stream.width = frames.shape[1:3]
            stream.pix_fmt = pixels
            if pixels == "gray":
                stream.codec_context.color_range = 2  # full: black is 0, not 16
            for frame in frames:
                picture = av.VideoFrame.from_ndarray(frame, format="gray" if frame.ndim == 2 else "rgb24")
                container.mux(stream.encode(picture.reformat(format=pixels)))
            container.mux(stream.encode())
        return path

    return make


@pytest.fixture
def moving_frames():
    """moving_frames(n, size, seed) -> (n, *size) uint8: a square that moves over a fixed noise."""

    def make(count, size=(24, 32), seed=0):
        frames = np.tile(np.random.default_rng(seed).integers(0, 200, size, np.uint8), (count, 1, 1))
        for t, frame in enumerate(frames):
            frame[(2 * t) % (size[0] - 6) :, t % (size[1] - 6) :][:6, :6] = 255 - t % 50
        return frames

    return make


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
