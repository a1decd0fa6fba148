import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from vidpred.errors import ConfigError, OutputError
from vidpred.viz.piano_roll import Roll, write_piano_rolls, write_roll_sheet
from vidpred.viz.tiles import CONTEXT, PREDICTION, TRUTH

WHITE, BLACK = 255, 0


@pytest.fixture
def drawn(monkeypatch):
    """The figures that were saved."""
    figures = []
    save = Figure.savefig
    monkeypatch.setattr(
        Figure, "savefig", lambda self, *args, **kw: figures.append(self) or save(self, *args, **kw)
    )
    return figures


def colour_at(path, axis, step, note):
    """The colour in the middle of a step (from 1) of a MIDI note."""
    with Image.open(path) as picture:
        pixels = np.asarray(picture.convert("RGB"))
    box, (left, right), (low, high) = axis.get_position(), axis.get_xlim(), axis.get_ylim()
    x = box.x0 + box.width * (step - left) / (right - left)
    y = box.y0 + box.height * (note - low) / (high - low)
    return pixels[int((1 - y) * len(pixels)), int(x * pixels.shape[1])]


def bars(axis):
    """First and last step and colour of the bars above a roll."""
    lines = [line for line in axis.get_lines() if line.get_linewidth() == 3]
    return [
        (*line.get_xdata(), tuple(np.rint(255 * np.array(line.get_color())).astype(int))) for line in lines
    ]


def test_notes_are_dark_where_they_sound_and_grey_where_they_may(tmp_path, drawn):
    values = np.zeros((20, 88))
    values[4, 60 - 21] = 1
    values[7, 30 - 21] = 0.5
    values[19, 108 - 21] = 1
    values[0, 0] = 1
    write_piano_rolls(tmp_path / "x.png", [Roll("truth", values)], title="a title")
    (figure,) = drawn
    (axis,) = figure.axes
    for step, note in ((5, 60), (20, 108), (1, 21)):
        np.testing.assert_array_equal(colour_at(tmp_path / "x.png", axis, step, note), BLACK)
    for step, note in ((6, 60), (4, 60), (5, 62), (5, 58), (20, 106), (2, 21)):
        np.testing.assert_array_equal(colour_at(tmp_path / "x.png", axis, step, note), WHITE)
    middle = colour_at(tmp_path / "x.png", axis, 8, 30)
    assert (middle > 100).all()
    assert (middle < 200).all()
    assert (axis.get_ylabel(), axis.get_xlabel(), figure.get_suptitle()) == ("truth", "step", "a title")
    assert (tmp_path / "x.png").stat().st_size < 100_000


def test_octaves_have_lines_and_names(tmp_path, drawn):
    write_piano_rolls(tmp_path / "x.png", [Roll("truth", np.zeros((20, 88)))])
    (axis,) = drawn[0].axes
    assert axis.get_yticks().tolist() == [24, 36, 48, 60, 72, 84, 96, 108]
    assert [text.get_text() for text in axis.get_yticklabels()] == [f"C{n}" for n in range(1, 9)]
    lines = [line.get_ydata()[0] for line in axis.get_lines() if line.get_linewidth() == 0.5]
    assert lines == [note - 0.5 for note in axis.get_yticks()]
    near = [colour_at(tmp_path / "x.png", axis, 10, 59.5 + away / 10) for away in range(-5, 6)]
    assert np.min(near) < WHITE
    assert np.min([colour_at(tmp_path / "x.png", axis, 10, 54 + away / 10) for away in range(-5, 6)]) == WHITE


def test_a_sheet_has_the_truth_and_every_sample_of_every_sequence(tmp_path, drawn):
    context = np.zeros((2, 3, 1, 1, 88), np.uint8)
    predicted, truth = np.zeros((2, 2, 7, 1, 1, 88), np.uint8), np.zeros((2, 4, 1, 1, 88), np.uint8)
    context[1, 2, 0, 0, 45] = predicted[1, 0, 6, 0, 0, 40] = truth[0, 3, 0, 0, 30] = 255
    write_roll_sheet(tmp_path / "x.png", context, predicted, truth)
    axes = drawn[0].axes
    assert [axis.get_ylabel() for axis in axes] == [
        f"{row}\n({sequence} of 2)" for sequence in (1, 2) for row in ("truth", "sample 1", "sample 2")
    ]
    assert [bars(axis) for axis in axes[:2]] == [
        [(0.5, 3.5, CONTEXT), (3.5, 7.5, TRUTH)],
        [(0.5, 3.5, CONTEXT), (3.5, 10.5, PREDICTION)],
    ]
    dark = [
        [
            tuple(place)
            for place in ((3, 66), (10, 61), (7, 51))
            if not colour_at(tmp_path / "x.png", axis, *place).any()
        ]
        for axis in axes
    ]
    assert dark == [[(7, 51)], [], [(10, 61)], [(3, 66)], [(3, 66)], [(3, 66)]]


def test_without_a_truth_there_is_no_row_for_it(tmp_path, drawn):
    context, predicted = np.zeros((1, 3, 1, 1, 88), np.uint8), np.zeros((1, 1, 7, 1, 1, 88), np.uint8)
    write_roll_sheet(tmp_path / "x.png", context, predicted, np.zeros((1, 0, 1, 1, 88), np.uint8))
    assert [axis.get_ylabel() for axis in drawn[0].axes] == ["prediction"]


def test_long_rolls_stay_on_a_page_and_short_ones_are_legible(tmp_path):
    sizes = []
    for steps in (2, 60, 4000):
        write_piano_rolls(tmp_path / "x.png", [Roll("a", np.zeros((steps, 88)))] * 2)
        with Image.open(tmp_path / "x.png") as picture:
            sizes.append(picture.size)
    assert 600 <= sizes[0][0] <= sizes[1][0] < sizes[2][0] <= 2100
    assert len({height for _, height in sizes}) == 1


def test_what_cannot_be_drawn_is_told(tmp_path):
    with pytest.raises(ConfigError, match="at least one roll"):
        write_piano_rolls(tmp_path / "x.png", [])
    with pytest.raises(ConfigError, match="at most 100 piano rolls, got 101"):
        write_piano_rolls(tmp_path / "x.png", [Roll("a", np.zeros((4, 88)))] * 101)
    for shape in ((0, 88), (4, 1, 88)):
        with pytest.raises(ConfigError, match=r"must be \(T, keys\) and not empty"):
            Roll("a", np.zeros(shape))
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="cannot write"):
        write_piano_rolls(tmp_path / "file" / "x.png", [Roll("a", np.zeros((4, 88)))])
