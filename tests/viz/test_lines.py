import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from vidpred.errors import ConfigError, OutputError
from vidpred.viz.lines import Line, write_lines

DIGITS = np.array([1, 2, 4])
ERRORS = np.array([10.0, 25.0, 70.0])


@pytest.fixture
def drawn(monkeypatch):
    """The figures that were saved."""
    figures = []
    save = Figure.savefig
    monkeypatch.setattr(
        Figure, "savefig", lambda self, *args, **kw: figures.append(self) or save(self, *args, **kw)
    )
    return figures


def test_values_bars_ticks_and_labels_are_where_they_belong(tmp_path, drawn):
    lines = [
        Line("convlstm", DIGITS, ERRORS, errors=np.array([1.0, 2.0, 4.0])),
        Line("vpn", np.array([2, 3]), ERRORS[:2] / 2),
    ]
    write_lines(tmp_path / "x.png", lines, "digits", "error", "a title")
    with Image.open(tmp_path / "x.png") as picture:
        assert picture.format == "PNG"
    assert (tmp_path / "x.png").stat().st_size < 100_000
    (figure,) = drawn
    (axis,) = figure.axes
    assert (axis.get_xlabel(), axis.get_ylabel(), figure.get_suptitle()) == ("digits", "error", "a title")
    np.testing.assert_array_equal(axis.get_xticks(), [1, 2, 3, 4])
    assert [text.get_text() for text in axis.get_xticklabels()] == ["1", "2", "3", "4"]
    (first, _, (bars,)), (second, _, no_bars) = axis.containers
    np.testing.assert_array_equal(first.get_xydata(), [[1, 10], [2, 25], [4, 70]])
    np.testing.assert_array_equal(second.get_xydata(), [[2, 5], [3, 12.5]])
    np.testing.assert_array_equal(
        bars.get_segments(), [[[1, 9], [1, 11]], [[2, 23], [2, 27]], [[4, 66], [4, 74]]]
    )
    assert no_bars == ()
    assert first.get_color() != second.get_color()
    assert first.get_marker() != second.get_marker()
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["convlstm", "vpn"]


def test_ticks_keep_their_fractions(tmp_path, drawn):
    write_lines(tmp_path / "x.png", [Line("a", np.array([0.25, 10]), ERRORS[:2])], "beta", "error")
    assert [text.get_text() for text in drawn[0].axes[0].get_xticklabels()] == ["0.25", "10"]


def test_a_long_legend_stays_on_the_page(tmp_path, drawn):
    lines = [Line(f"a model with a rather long name, {n}", DIGITS, n * ERRORS) for n in range(4)]
    write_lines(tmp_path / "x.png", lines, "digits", "error")
    (figure,) = drawn
    box = figure.legends[0].get_window_extent()
    assert box.x0 >= 0
    assert box.x1 <= figure.bbox.x1


@pytest.mark.parametrize(
    ("ys", "errors"), [(ERRORS[:2], None), (ERRORS, ERRORS[:1]), (np.ones((3, 1)), None)]
)
def test_values_that_do_not_match_are_refused(ys, errors):
    with pytest.raises(ConfigError, match="line 'vpn' must be equally many"):
        Line("vpn", DIGITS, ys, errors)


def test_no_line_is_refused_and_a_folder_that_cannot_be_made_is_an_output_error(tmp_path):
    with pytest.raises(ConfigError, match="at least one line"):
        write_lines(tmp_path / "x.png", [], "digits", "error")
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="cannot write"):
        write_lines(tmp_path / "file" / "x.png", [Line("vpn", DIGITS, ERRORS)], "digits", "error")
