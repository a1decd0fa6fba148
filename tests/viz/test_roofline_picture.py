import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from vidpred.viz.roofline import Dot, Line, Roofs, write_roofline

ROOFS = Roofs(40.0, {"float32": 200.0, "bfloat16": 400.0})
PASSES = ("forward", "forward+backward")
PRODUCT = Line(
    "a product",
    native={"forward": Dot(0.9, 30.0, 180.0), "forward+backward": Dot(0.5, 30.0, 100.0)},
    eager={"forward": Dot(0.4, 30.0, 80.0)},
)
COPY = Line("a copy", native={"forward": Dot(1.2)}, eager={"forward": Dot(0.6), "forward+backward": Dot(0.3)})


@pytest.fixture
def figure(monkeypatch):
    """The figure last saved."""
    saved = []
    original = Figure.savefig
    monkeypatch.setattr(
        Figure, "savefig", lambda self, *args, **kw: saved.append(self) or original(self, *args, **kw)
    )
    return lambda: saved[-1]


def points(axis: Axes):
    return {
        (round(float(x), 6), round(float(y), 6))
        for line in axis.get_lines()
        if line.get_marker() not in ("None", "", None)
        for x, y in zip(np.atleast_1d(line.get_xdata()), np.atleast_1d(line.get_ydata()), strict=True)
    }


def test_products_stand_under_the_roofs_and_all_stand_beside_their_own(tmp_path, figure):
    write_roofline(tmp_path / "x.png", [PRODUCT, COPY], ROOFS, PASSES, "a title")
    roofline, forward, both = figure().axes
    # The second pass would lie behind the first, so it stands a little to its right.
    assert points(roofline) == {(30.0, 180.0), (30.0, 80.0), (31.8, 100.0)}
    slopes = [
        line for line in roofline.get_lines() if len(line.get_xdata()) == 2 and line.get_linewidth() > 1
    ]
    ends = {tuple(np.round([*line.get_xdata(), *line.get_ydata()], 6)) for line in slopes}
    assert any(end[1] == 10.0 and end[3] == 400.0 for end in ends)  # 400 GFLOP/s at 40 GB/s: 10 FLOP a byte
    assert any(end[0] == 5.0 and end[2] == end[3] == 200.0 for end in ends)
    assert points(forward) == {(0.9, 0), (0.4, 0), (1.2, 1), (0.6, 1)}
    assert points(both) == {(0.5, 0), (0.3, 1)}
    assert forward.get_xlim()[1] > 1.2
    with Image.open(tmp_path / "x.png") as picture:
        assert picture.format == "PNG"


def test_without_products_there_is_no_roofline(tmp_path, figure):
    write_roofline(tmp_path / "x.png", [COPY], ROOFS, PASSES)
    assert len(figure().axes) == len(PASSES)


def test_nothing_measured_is_drawn_all_the_same(tmp_path):
    write_roofline(tmp_path / "x.png", [], ROOFS, PASSES)
    assert (tmp_path / "x.png").exists()
