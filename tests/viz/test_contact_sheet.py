import numpy as np
import pytest
from PIL import Image

from vidpred.errors import ConfigError
from vidpred.viz import write_contact_sheet
from vidpred.viz.contact_sheet import context_frames, predicted_frames
from vidpred.viz.tiles import CONTEXT, PREDICTION, TRUTH

SCALE = 4  # a frame of 16 pixels is drawn 64 pixels large


def assert_shows(pictures, expected):
    assert len(pictures) == len(expected)
    for picture, frame in zip(pictures, expected, strict=True):
        np.testing.assert_array_equal(picture, np.broadcast_to(frame, picture.shape))


@pytest.mark.parametrize("channels", [1, 3])
def test_time_runs_to_the_right_and_samples_stand_below_the_truth(tmp_path, noise, framed_pictures, channels):
    shape = (channels, 16, 16)
    context, predicted, truth = noise(2, 4, *shape), noise(3, 2, 6, *shape), noise(2, 4, *shape)
    write_contact_sheet(tmp_path / "x.png", context, predicted, truth, every=2)
    page = Image.open(tmp_path / "x.png")
    shown = [0, 1, 3, 5]  # frames 1, 2, 4, 6
    assert_shows(
        framed_pictures(page, PREDICTION, SCALE),
        [predicted[sample, n, t] for n in range(2) for sample in range(3) for t in shown],
    )
    assert_shows(framed_pictures(page, TRUTH, SCALE), [truth[n, t] for n in range(2) for t in shown[:3]])
    assert_shows(framed_pictures(page, CONTEXT, SCALE), [context[n, t] for n in range(2) for t in range(4)])


def test_without_truth_there_is_no_row_for_it(tmp_path, noise, framed_pictures):
    predicted = noise(1, 1, 2, 1, 16, 16)
    for truth in (None, np.empty((1, 0, 1, 16, 16), np.uint8)):
        write_contact_sheet(tmp_path / "x.png", noise(1, 2, 1, 16, 16), predicted, truth)
        page = Image.open(tmp_path / "x.png")
        assert_shows(framed_pictures(page, PREDICTION, SCALE), list(predicted[0, 0]))
        assert framed_pictures(page, TRUTH, SCALE) == []


@pytest.mark.parametrize(
    ("horizon", "every", "shown"),
    [(5, 1, [1, 2, 3, 4, 5]), (6, 2, [1, 2, 4, 6]), (100, 50, [1, 50, 100]), (3, 7, [1]), (1, 1, [1])],
)
def test_predicted_frames_are_counted_from_one(horizon, every, shown):
    assert predicted_frames(horizon, every) == shown


@pytest.mark.parametrize(
    ("length", "every", "shown"),
    [
        (3, 1, [1, 2, 3]),
        (10, 1, [7, 8, 9, 10]),
        (10, 10, [1, 4, 7, 10]),
        (1, 5, [1]),
        (20, 2, [14, 16, 18, 20]),
    ],
)
def test_the_end_of_the_context_is_shown_in_at_most_four_frames(length, every, shown):
    assert context_frames(length, every) == shown


@pytest.mark.parametrize("horizon", [1, 12, 13, 100, 999])
def test_a_sheet_has_at_most_sixteen_columns_by_itself(tmp_path, noise, framed_pictures, horizon):
    predicted = np.broadcast_to(noise(1, 1, 1, 1, 16, 16), (1, 1, horizon, 1, 16, 16))
    write_contact_sheet(tmp_path / "x.png", noise(1, 4, 1, 16, 16), predicted)
    page = Image.open(tmp_path / "x.png")
    given, future = (len(framed_pictures(page, colour, SCALE)) for colour in (CONTEXT, PREDICTION))
    assert given + future <= 16
    assert future >= min(horizon, 5)


def test_a_step_of_zero_is_refused(tmp_path, noise):
    with pytest.raises(ConfigError, match="every must be at least 1, got 0"):
        write_contact_sheet(tmp_path / "x.png", noise(1, 1, 1, 16, 16), noise(1, 1, 1, 1, 16, 16), every=0)
    assert not (tmp_path / "x.png").exists()
