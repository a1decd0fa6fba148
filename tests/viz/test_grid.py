import numpy as np
import pytest
from PIL import Image

from vidpred.errors import ConfigError, OutputError
from vidpred.viz import tiles
from vidpred.viz.grid import write_grid


def test_every_frame_has_its_place(tmp_path):
    values = np.arange(6, dtype=np.uint8).reshape(2, 3) * 40 + 20
    rows = [
        ("truth", np.broadcast_to(values[0][:, None, None, None], (3, 1, 16, 16))),
        ("run", np.broadcast_to(values[1][:, None, None, None], (3, 1, 16, 16))),
    ]
    write_grid(tmp_path / "grid.png", rows, ["1", "2", "3"])
    with Image.open(tmp_path / "grid.png") as page:
        pixels = np.asarray(page.convert("RGB"))
    step = 4 * 16 + 2 * tiles.BORDER + 4  # pictures are four times as large, with borders and a gap
    ys, xs = np.where((pixels == tiles.TRUTH).all(axis=2))
    top, left = ys.min(), xs.min()
    for row in range(2):
        for column in range(3):
            found = pixels[top + row * step + 20, left + column * step + 20]
            assert found.tolist() == [values[row, column]] * 3
    border = pixels[top + step, left + 10]
    assert tuple(border) == tiles.PREDICTION


def test_wrong_numbers_of_frames_and_places_are_named(tmp_path):
    frames = np.zeros((2, 1, 8, 8), np.uint8)
    with pytest.raises(ConfigError, match="row 'a' has 2 frames for 3 columns"):
        write_grid(tmp_path / "x.png", [("a", frames)], ["1", "2", "3"])
    with pytest.raises(ConfigError, match="at least one row"):
        write_grid(tmp_path / "x.png", [], ["1"])
    with pytest.raises(OutputError):
        write_grid("/proc/nowhere/x.png", [("a", frames)], ["1", "2"])
