from itertools import pairwise

import matplotlib
import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from vidpred.errors import ConfigError, OutputError
from vidpred.viz.maps import write_maps


@pytest.fixture
def drawn(monkeypatch):
    """The figures that were saved."""
    figures = []
    save = Figure.savefig
    monkeypatch.setattr(
        Figure, "savefig", lambda self, *args, **kw: figures.append(self) or save(self, *args, **kw)
    )
    return figures


def picture_at(path, axis, right, down):
    """The colour at fractions of an axis, from its upper left corner."""
    with Image.open(path) as picture:
        pixels = np.asarray(picture.convert("RGB"))
    box = axis.get_position()
    x, y = box.x0 + right * box.width, 1 - box.y1 + down * box.height
    return pixels[int(y * len(pixels)), int(x * pixels.shape[1])]


def magma(fraction):
    return np.rint(255 * np.array(matplotlib.colormaps["magma"](fraction))[:3])


def test_all_maps_have_the_colours_of_one_bar_from_zero(tmp_path, drawn):
    steps = np.arange(5)[:, None, None] * np.ones((1, 8, 8))  # map t holds t
    rows = [("svg-lp", steps.copy()), ("vrnn", 2 * steps)]
    rows[0][1][1, :4] = 3.0  # the upper half of map 2
    write_maps(tmp_path / "x.png", rows, [1, 2, 5], "variance")
    *maps, bar = drawn[0].axes
    assert [axis.get_title() for axis in maps] == ["1", "2", "5", "", "", ""]
    assert [axis.get_ylabel() for axis in maps] == ["svg-lp", "", "", "vrnn", "", ""]
    assert bar.get_ylabel() == "variance"
    assert bar.get_ylim() == (0, 8)
    for axis, value in zip(maps, [0, 1, 4, 0, 2, 8], strict=True):
        found = picture_at(tmp_path / "x.png", axis, 0.5, 0.75)
        np.testing.assert_allclose(found, magma(value / 8), atol=2)
    found = picture_at(tmp_path / "x.png", maps[1], 0.5, 0.25)
    np.testing.assert_allclose(found, magma(3 / 8), atol=2)
    assert (tmp_path / "x.png").stat().st_size < 100_000


def test_rows_lie_below_each_other_and_time_runs_to_the_right_without_overlap(tmp_path, drawn):
    write_maps(tmp_path / "x.png", [(name, np.ones((3, 4, 8))) for name in "ab"], [1, 2, 3], "variance")
    boxes = [axis.get_window_extent() for axis in drawn[0].axes[:6]]
    for box in boxes:
        assert box.width == pytest.approx(2 * box.height)  # like the maps
    for left, right in pairwise(boxes[:3]):
        assert left.x1 < right.x0
        assert left.y0 == right.y0
    for above, below in zip(boxes[:3], boxes[3:], strict=True):
        assert above.y0 > below.y1
        assert above.x0 == below.x0


@pytest.mark.parametrize("names", [("a model with a rather long name", "WWWWWWWW"), ("", "b"), ("", " ")])
def test_names_and_the_bar_stay_on_the_page(tmp_path, drawn, names):
    values = np.random.default_rng(0).random((2, 8, 8))
    write_maps(tmp_path / "x.png", [(names[0], values / 300), (names[1], values / 500)], [2], "variance")
    (figure,) = drawn
    page, *inside = figure.bbox, *(axis.get_tightbbox() for axis in figure.axes)
    for box in inside:
        assert page.x0 <= box.x0
        assert box.x1 <= page.x1
        assert page.y0 <= box.y0
        assert box.y1 <= page.y1


@pytest.mark.parametrize("unknown", [np.nan, np.inf])
def test_what_is_not_finite_is_grey_and_leaves_the_bar_alone(tmp_path, drawn, unknown):
    maps = np.full((1, 2, 2), 0.5)
    maps[0, 0, 0] = unknown
    write_maps(tmp_path / "x.png", [("a", maps)], [1], "variance")
    axis, bar = drawn[0].axes
    assert bar.get_ylim() == (0, 0.5)
    np.testing.assert_array_equal(picture_at(tmp_path / "x.png", axis, 0.25, 0.25), [153] * 3)
    np.testing.assert_allclose(picture_at(tmp_path / "x.png", axis, 0.75, 0.25), magma(1.0), atol=2)


def test_negative_values_lower_the_bar_and_nothing_at_all_is_dark(tmp_path, drawn):
    write_maps(tmp_path / "x.png", [("a", np.array([[[-2.0, 1.0]]]))], [1], "difference")
    assert drawn[0].axes[-1].get_ylim() == (-2, 1)
    write_maps(tmp_path / "x.png", [("a", np.zeros((1, 2, 2)))], [1], "variance")
    np.testing.assert_allclose(picture_at(tmp_path / "x.png", drawn[1].axes[0], 0.5, 0.5), magma(0.0), atol=2)


def test_bad_rows_and_columns_are_refused(tmp_path):
    maps = np.zeros((3, 4, 4))
    for rows, columns, message in (
        ([], [1], "got 0 rows and 1 columns"),
        ([("a", maps)], [], "got 1 rows and 0 columns"),
        ([("a", maps)], [1, 4], "row 'a' has maps 1 to 3, got the column 4"),
        ([("a", maps)], [0], "got the column 0"),
        ([("a", maps), ("b", maps[:, 1:])], [1], "row 'b' must be"),
        ([("a", maps[0])], [1], "row 'a' must be"),
        ([("a", maps[:, :0])], [1], "row 'a' must be"),
    ):
        with pytest.raises(ConfigError, match=message):
            write_maps(tmp_path / "x.png", rows, columns, "variance")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_made_is_an_output_error(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="cannot write"):
        write_maps(tmp_path / "file" / "x.png", [("a", np.zeros((1, 2, 2)))], [1], "variance")
