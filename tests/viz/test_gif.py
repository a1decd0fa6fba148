import numpy as np
import pytest
from PIL import Image

from vidpred.errors import OutputError
from vidpred.viz import write_gif
from vidpred.viz.tiles import CONTEXT, PREDICTION, TRUTH

SCALE = 8  # a frame of 16 pixels is drawn 128 pixels large


def pages_of(path):
    with Image.open(path) as file:
        for number in range(file.n_frames):
            file.seek(number)
            yield file.convert("RGB"), file.info["duration"]


def assert_shows(pictures, expected):
    assert len(pictures) == len(expected)
    for picture, frame in zip(pictures, expected, strict=True):
        np.testing.assert_array_equal(picture, np.broadcast_to(frame, picture.shape))


def test_context_then_truth_and_every_sample_side_by_side(tmp_path, noise, framed_pictures):
    context, predicted, truth = noise(2, 3, 1, 16, 16), noise(2, 2, 4, 1, 16, 16), noise(2, 4, 1, 16, 16)
    write_gif(tmp_path / "x.gif", context, predicted, truth)
    pages = [page for page, _ in pages_of(tmp_path / "x.gif")]
    assert len(pages) == 3 + 4
    for t in range(3):
        assert_shows(framed_pictures(pages[t], CONTEXT, SCALE), [context[0, t]] * 3 + [context[1, t]] * 3)
        assert framed_pictures(pages[t], PREDICTION, SCALE) == []
    for t in range(4):
        assert_shows(framed_pictures(pages[3 + t], TRUTH, SCALE), [truth[0, t], truth[1, t]])
        assert_shows(
            framed_pictures(pages[3 + t], PREDICTION, SCALE),
            [predicted[0, 0, t], predicted[1, 0, t], predicted[0, 1, t], predicted[1, 1, t]],
        )
        assert framed_pictures(pages[3 + t], CONTEXT, SCALE) == []


def test_the_truths_place_stays_empty_where_it_ends(tmp_path, noise, framed_pictures):
    truth = noise(1, 2, 1, 16, 16)
    write_gif(tmp_path / "x.gif", noise(1, 1, 1, 16, 16), noise(1, 1, 3, 1, 16, 16), truth)
    pages = [page for page, _ in pages_of(tmp_path / "x.gif")]
    assert [len(framed_pictures(page, TRUTH, SCALE)) for page in pages] == [0, 1, 1, 0]
    assert [len(framed_pictures(page, PREDICTION, SCALE)) for page in pages] == [0, 1, 1, 1]


def test_without_truth_there_is_no_column_for_it(tmp_path, noise, framed_pictures):
    context, predicted = noise(1, 1, 1, 16, 16), noise(1, 1, 2, 1, 16, 16)
    for truth in (None, np.empty((1, 0, 1, 16, 16), np.uint8)):
        write_gif(tmp_path / "x.gif", context, predicted, truth)
        pages = [page for page, _ in pages_of(tmp_path / "x.gif")]
        assert_shows(framed_pictures(pages[0], CONTEXT, SCALE), [context[0, 0]])
        assert_shows(framed_pictures(pages[2], PREDICTION, SCALE), [predicted[0, 0, 1]])


def test_few_colours_of_a_colour_video_are_kept_exactly(tmp_path, framed_pictures):
    frames = np.zeros((1, 1, 2, 3, 16, 16), np.uint8)
    frames[..., 0, :8, :], frames[..., 1, 8:, :] = 200, 150
    frames[:, :, 1, 2] = 90
    write_gif(tmp_path / "x.gif", frames[0, :, :1], frames)
    pages = [page for page, _ in pages_of(tmp_path / "x.gif")]
    assert_shows(framed_pictures(pages[2], PREDICTION, SCALE), [frames[0, 0, 1]])


def test_every_frame_is_kept_even_if_nothing_moves_and_the_last_one_stays_longer(tmp_path):
    still = np.zeros((1, 1, 5, 1, 16, 16), np.uint8)
    write_gif(tmp_path / "x.gif", still[0, :, :2], still)
    durations = [duration for _, duration in pages_of(tmp_path / "x.gif")]
    assert durations == [100] * 6 + [1500]


def test_a_folder_that_cannot_be_made_is_an_output_error(tmp_path, noise):
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="cannot write"):
        write_gif(tmp_path / "file" / "x.gif", noise(1, 1, 1, 16, 16), noise(1, 1, 1, 1, 16, 16))
