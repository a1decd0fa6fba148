import numpy as np
import pytest

from vidpred.benchmarking import data
from vidpred.data.motion import MOTIONS


@pytest.fixture
def _own_digits(tmp_path, monkeypatch):
    """Twenty random digits in place of MNIST's, so that nothing is downloaded."""
    images = np.random.default_rng(0).integers(0, 256, (20, 28, 28), np.uint8)
    np.savez(tmp_path / "digits.npz", images=images, labels=np.arange(20, dtype=np.uint8) % 10)
    original = data.MovingSpec
    monkeypatch.setattr(
        data, "MovingSpec", lambda **fields: original(digits=str(tmp_path / "digits.npz"), **fields)
    )


@pytest.mark.usefixtures("_own_digits")
def test_every_motion_is_written_and_made_and_a_file_read_in_both_orders(monkeypatch):
    calls = []

    def medians(variants, inputs, *_, **__):
        for stage, variant in variants.items():
            variant(inputs[0])
            calls.append(stage)
        return dict.fromkeys(variants, 0.5)

    monkeypatch.setattr(data, "interleaved_medians", medians)
    rows = list(data.run(sequences=3, budget=0.0))
    assert [row.stage for row in rows] == calls
    assert set(calls) == {
        *(f"gen-data {motion}" for motion in MOTIONS),
        *(f"MovingDataset {motion}" for motion in MOTIONS),
        "FrameDataset in order",
        "FrameDataset shuffled",
    }
    assert {row.shape for row in rows} == {(3, 20, 1, 64, 64)}
    # 3 sequences of 20 frames in half a second, 4096 bytes each.
    assert {row.frames_per_s for row in rows} == {120.0}
    assert [row.gb_per_s for row in rows] == pytest.approx([120 * 4096 / 1e9] * len(rows))
