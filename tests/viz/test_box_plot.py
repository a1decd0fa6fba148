import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from PIL import Image

from vidpred.errors import ConfigError, OutputError
from vidpred.viz.box_plot import Box, write_box_plot

# Sorted: 0, 10, 11, 12, 13, 14, 15, 16, 30. Quartiles lie at places 2 and 6 from 0: 11 and 15; the median is
# 13. Whiskers may reach from 11 - 6 to 15 + 6, so they end at 10 and 16, and 0 and 30 are outliers.
VALUES = np.array([13.0, 0, 16, 10, 30, 14, 12, 15, 11])


@pytest.fixture
def drawn(monkeypatch):
    """The figures that were saved."""
    figures = []
    save = Figure.savefig
    monkeypatch.setattr(
        Figure, "savefig", lambda self, *args, **kw: figures.append(self) or save(self, *args, **kw)
    )
    return figures


def heights(lines):
    return sorted({float(y) for line in lines for y in line.get_ydata()})


def corners(patch):
    vertices = patch.get_path().vertices
    return vertices.min(axis=0), vertices.max(axis=0)


def test_quartiles_median_whiskers_and_outliers_are_those_counted_by_hand(tmp_path, drawn):
    write_box_plot(tmp_path / "x.png", [Box("vpn", VALUES)], "error", "a title")
    (axis,) = drawn[0].axes
    (box,) = axis.patches
    low, high = corners(box)
    assert (low[1], high[1]) == (11, 15)
    dots = [line for line in axis.lines if line.get_marker() == "o"]
    strokes = [line for line in axis.lines if line.get_marker() != "o"]
    assert heights(dots) == [0, 30]
    assert heights(strokes) == [10, 11, 13, 15, 16]
    assert 0 < dots[0].get_alpha() < 1
    assert axis.get_ylabel() == "error"
    assert drawn[0].get_suptitle() == "a title"
    assert drawn[0].legends == []


def test_boxes_of_one_label_stand_side_by_side_in_the_colour_of_their_group(tmp_path, drawn):
    boxes = [
        Box("convlstm", VALUES, "MNIST"),
        Box("convlstm", VALUES + 5, "EMNIST"),
        Box("vpn", VALUES + 1, "EMNIST"),  # the other way round
        Box("vpn", VALUES - 1, "MNIST"),
        Box("copy", VALUES, "EMNIST"),
    ]
    write_box_plot(tmp_path / "x.png", boxes, "error")
    (axis,) = drawn[0].axes
    assert [text.get_text() for text in axis.get_xticklabels()] == ["convlstm", "vpn", "copy"]
    found = {}
    for patch in axis.patches:
        low, high = corners(patch)
        found[round((low[0] + high[0]) / 2, 6), low[1]] = (to_rgb(patch.get_facecolor()), low[0], high[0])
    (mnist, emnist, vpn_mnist, vpn_emnist, copy) = (found[key] for key in sorted(found))
    for left, right, tick in ((mnist, emnist, 0), (vpn_mnist, vpn_emnist, 1)):
        assert left[2] < right[1]
        assert left[1] + right[2] == pytest.approx(2 * tick)
        assert (left[0], right[0]) == (mnist[0], emnist[0])
    assert mnist[0] != emnist[0]
    assert copy[0] == emnist[0]
    assert copy[1] + copy[2] == pytest.approx(4)  # in the middle of its tick where nothing stands beside it
    assert [low for _, low in sorted(found)] == [11, 16, 10, 12, 11]
    (legend,) = drawn[0].legends
    assert [text.get_text() for text in legend.get_texts()] == ["MNIST", "EMNIST"]
    assert [to_rgb(patch.get_facecolor()) for patch in legend.get_patches()] == [mnist[0], emnist[0]]


def test_the_number_of_samples_is_told_once_or_under_each_label(tmp_path, drawn):
    write_box_plot(tmp_path / "x.png", [Box("a", np.arange(1500.0)), Box("b", np.ones(1500))], "error")
    assert drawn[0].axes[0].get_xlabel() == "1,500 samples in each box"
    boxes = [Box("a", VALUES, "x"), Box("a", VALUES[:4], "y"), Box("b", np.ones(1500), "x")]
    write_box_plot(tmp_path / "x.png", boxes, "error")
    ticks = [text.get_text() for text in drawn[1].axes[0].get_xticklabels()]
    assert ticks == ["a\nn = 9 | 4", "b\nn = 1,500"]
    assert drawn[1].axes[0].get_xlabel() == ""


def test_the_file_is_a_small_png_with_the_box_where_its_quartiles_are(tmp_path, drawn):
    write_box_plot(tmp_path / "x.png", [Box("vpn", VALUES)], "error")
    assert (tmp_path / "x.png").stat().st_size < 100_000
    with Image.open(tmp_path / "x.png") as picture:
        assert picture.format == "PNG"
        pixels = np.asarray(picture.convert("RGB")).astype(float)
    (axis,) = drawn[0].axes
    fill = 255 - 0.7 * (255 - 255 * np.array(to_rgb("C0")))  # seven tenths of the colour on white

    def colour(x, y):
        right, up = axis.transData.transform((x, y)) * 130 / drawn[0].dpi
        return pixels[round(len(pixels) - up), round(right)]

    for inside in (11.5, 14.5):
        np.testing.assert_allclose(colour(0.1, inside), fill, atol=3)
    for outside in (10.5, 15.5):
        np.testing.assert_allclose(colour(0.1, outside), 255)


@pytest.mark.parametrize(
    "values", [np.empty(0), np.array([1.0, np.nan]), np.array([np.inf]), np.ones((2, 2))]
)
def test_a_box_of_nothing_or_of_no_numbers_is_refused(values):
    with pytest.raises(ConfigError, match="box 'vpn' must be finite numbers"):
        Box("vpn", values)


def test_no_box_or_one_twice_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="at least one box"):
        write_box_plot(tmp_path / "x.png", [], "error")
    with pytest.raises(ConfigError, match="got two of 'vpn', 'MNIST'"):
        write_box_plot(tmp_path / "x.png", [Box("vpn", VALUES, "MNIST")] * 2, "error")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_made_is_an_output_error(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="cannot write"):
        write_box_plot(tmp_path / "file" / "x.png", [Box("vpn", VALUES)], "error")
