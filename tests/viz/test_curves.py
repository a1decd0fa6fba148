import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from vidpred.viz import Curve, Panel, write_curves


@pytest.fixture
def drawn(monkeypatch):
    """The figures that were saved."""
    figures = []
    save = Figure.savefig

    def remember(figure, *args, **kwargs):
        figures.append(figure)
        save(figure, *args, **kwargs)

    monkeypatch.setattr(Figure, "savefig", remember)
    return figures


VALUES = np.array([3.0, 5.0, 20.0])


def test_a_panel_for_each_metric_and_one_legend(tmp_path, drawn):
    curves = [Curve("vrnn", VALUES, standard_error=VALUES / 10), Curve("copy", 2 * VALUES, dashed=True)]
    write_curves(tmp_path / "x.png", [Panel("MSE", curves), Panel("SSIM", curves)], "title")
    with Image.open(tmp_path / "x.png") as picture:
        assert picture.format == "PNG"
    (figure,) = drawn
    assert [axis.get_ylabel() for axis in figure.axes] == ["MSE", "SSIM"]
    for axis in figure.axes:
        model, copy = axis.get_lines()
        np.testing.assert_array_equal(model.get_xdata(), [1, 2, 3])
        np.testing.assert_array_equal(model.get_ydata(), VALUES)
        assert (model.get_linestyle(), copy.get_linestyle()) == ("-", "--")
        assert model.get_color() != copy.get_color()
        (band,) = axis.collections
        heights = band.get_paths()[0].vertices[:, 1]
        assert (heights.min(), heights.max()) == (2.7, 22.0)
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["vrnn", "copy"]


def test_axes_are_logarithmic_only_where_all_values_are_positive(tmp_path, drawn):
    positive, with_zero = [Curve("a", VALUES)], [Curve("a", VALUES), Curve("b", 0 * VALUES)]
    panels = [Panel("x", positive, True), Panel("y", with_zero, True), Panel("z", positive)]
    write_curves(tmp_path / "x.png", panels)
    assert [axis.get_yscale() for axis in drawn[0].axes] == ["log", "linear", "linear"]


def test_a_horizon_of_one_frame_is_drawn_as_a_point(tmp_path, drawn):
    write_curves(tmp_path / "x.png", [Panel("MSE", [Curve("a", VALUES[:1])])])
    (line,) = drawn[0].axes[0].get_lines()
    assert line.get_marker() == "o"
