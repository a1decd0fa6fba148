import gzip
from pathlib import Path

import numpy as np
import pytest

from vidpred.data import digits, moving_objects

REAL_MNIST = Path(__file__).parents[2] / ".." / "shared" / "data" / "mnist"


@pytest.fixture(autouse=True)
def no_network(monkeypatch, tmp_path):
    """Digits come from what a test puts in place: no network, no cache and no folder of the user's."""
    monkeypatch.setenv("VIDPRED_OFFLINE", "1")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("VIDPRED_DIGITS", raising=False)
    forget_digits()
    yield
    forget_digits()


def forget_digits():
    digits.load.cache_clear()
    moving_objects._digit_pictures.cache_clear()


@pytest.fixture
def idx():
    """Array -> the bytes of an IDX file, from the description of the format."""

    def encoded(array):
        sizes = b"".join(size.to_bytes(4, "big") for size in array.shape)
        return bytes([0, 0, 8, array.ndim]) + sizes + array.tobytes()

    return encoded


@pytest.fixture
def mnist_folder(monkeypatch, tmp_path, idx):
    """Thirty training and eight test "digits" of noise, in the files of MNIST, found by VIDPRED_DIGITS."""
    folder = tmp_path / "digits" / "mnist"
    folder.mkdir(parents=True)
    random = np.random.default_rng(7)
    for part, count in (("train", 30), ("t10k", 8)):
        images = random.integers(0, 256, (count, 28, 28), np.uint8)
        labels = random.integers(0, 10, count, np.uint8)
        (folder / f"{part}-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx(images)))
        (folder / f"{part}-labels-idx1-ubyte").write_bytes(idx(labels))
    monkeypatch.setenv("VIDPRED_DIGITS", str(tmp_path / "digits"))
    return folder


@pytest.fixture
def real_mnist(monkeypatch):
    if not REAL_MNIST.is_dir():
        pytest.skip(f"the real MNIST is not at {REAL_MNIST}")
    monkeypatch.setenv("VIDPRED_DIGITS", str(REAL_MNIST.resolve()))
