import math

import numpy as np
import pytest
from PIL import Image

from vidpred.errors import ConfigError, OutputError
from vidpred.viz.flow import flow_colours, write_flow
from vidpred.viz.tiles import CONTEXT, PREDICTION, TRUTH

SCALE = 12  # a frame of 16 pixels is drawn 192 pixels large


def colour_of(x, y, largest=None):
    return tuple(flow_colours(np.array([[[float(x)]], [[float(y)]]]), largest)[:, 0, 0].tolist())


def wheel():
    """The 55 colours of Baker et al.: six ramps of 15, 6, 4, 11, 13 and 6 places."""
    red, yellow, green, cyan, blue, magenta = (
        np.array(colour, float)
        for colour in ((1, 0, 0), (1, 1, 0), (0, 1, 0), (0, 1, 1), (0, 0, 1), (1, 0, 1))
    )
    ramps = (
        (red, yellow, 15), (yellow, green, 6), (green, cyan, 4), (cyan, blue, 11), (blue, magenta, 13),
        (magenta, red, 6),
    )  # fmt: skip
    return [start + (end - start) * n / places for start, end, places in ramps for n in range(places)]


def test_the_hue_is_the_direction():
    assert colour_of(1, 0) == (255, 0, 0)  # to the right: red
    # A quarter of the 55 places is 13.75 of the 15 from red to yellow, and so on.
    assert colour_of(0, 1) == (255, round(255 * 13.75 / 15), 0)  # down
    assert colour_of(-1, 0) == (0, round(255 * (1 - 2.5 / 11)), 255)  # to the left: 27.5 is 2.5 beyond cyan
    assert colour_of(0, -1) == (round(255 * 5.25 / 13), 0, 255)  # up: 41.25 is 5.25 beyond blue


def test_the_saturation_is_the_length():
    assert colour_of(0, 0) == (255, 255, 255)
    assert colour_of(1, 0, largest=4) == (255, round(255 * 0.75), round(255 * 0.75))
    assert colour_of(4, 0, largest=4) == (255, 0, 0)
    assert colour_of(40, 0, largest=4) == (round(255 * 0.75), 0, 0)  # beyond the rim
    flow = np.zeros((2, 1, 3))
    flow[0, 0] = [2, 8, 0]
    np.testing.assert_array_equal(flow_colours(flow)[:, 0].T, [(255, 191, 191), (255, 0, 0), (255,) * 3])


def test_colours_agree_with_the_wheel_walked_pixel_by_pixel():
    flow = np.random.default_rng(0).normal(size=(2, 9, 7)).astype(np.float32)
    colours, longest = wheel(), max(math.hypot(x, y) for x, y in flow.reshape(2, -1).T.tolist())
    assert len(colours) == 55
    found = flow_colours(flow)
    assert (found.dtype, found.shape) == (np.uint8, (3, 9, 7))
    for row in range(9):
        for column in range(7):
            x, y = flow[:, row, column].tolist()
            place = math.atan2(y, x) % (2 * math.pi) / (2 * math.pi) * 55
            before, part = int(place), place % 1
            hue = (1 - part) * colours[before % 55] + part * colours[(before + 1) % 55]
            expected = 255 * (1 - math.hypot(x, y) / longest * (1 - hue))
            np.testing.assert_allclose(found[:, row, column], expected, atol=0.51)


def test_what_is_not_finite_is_black_and_does_not_count_as_the_longest():
    flow = np.zeros((2, 1, 5))
    flow[0, 0] = [np.nan, np.inf, 3, 0, 0]
    flow[1, 0, 3] = -np.inf
    found = flow_colours(flow)[:, 0].T
    np.testing.assert_array_equal(found, [(0, 0, 0), (0, 0, 0), (255, 0, 0), (0, 0, 0), (255, 255, 255)])
    assert (flow_colours(np.full((2, 2, 2), np.nan)) == 0).all()
    assert flow_colours(np.zeros((2, 0, 3))).shape == (3, 0, 3)


@pytest.mark.parametrize("largest", [0, -1, math.nan, math.inf])
def test_a_rim_that_is_no_length_is_refused(largest):
    with pytest.raises(ConfigError, match="largest must be a positive number"):
        flow_colours(np.zeros((2, 1, 1)), largest)


def test_rows_are_moved_frames_motion_predictions_and_truth(tmp_path, noise, framed_pictures):
    frames, predicted, truth = (noise(4, 1, 16, 16) for _ in range(3))
    flow = np.zeros((4, 2, 8, 8))
    flow[1, 0] = 0.1  # too short for arrows: 0.2 pixels of a frame, 2.4 drawn ones
    flow[3, 1, :4] = -0.05
    write_flow(tmp_path / "x.png", frames, predicted, flow, truth, every=2)
    page = Image.open(tmp_path / "x.png")
    shown = [0, 1, 3]
    for colour, expected in ((CONTEXT, frames), (TRUTH, truth)):
        for picture, t in zip(framed_pictures(page, colour, SCALE), shown, strict=True):
            np.testing.assert_array_equal(picture, expected[t].repeat(3, axis=0))
    *motion, first, second, third = framed_pictures(page, PREDICTION, SCALE)
    for picture, t in zip((first, second, third), shown, strict=True):
        np.testing.assert_array_equal(picture, predicted[t].repeat(3, axis=0))
    still, left, down = motion
    assert (still == 255).all()
    # What is taken from the right moves to the left. It is the fastest, so its colour is full.
    np.testing.assert_array_equal(left[:, 3, 3], colour_of(-1, 0))
    assert (left == left[:, :1, :1]).all()
    # What is taken from above moves down, half as fast.
    np.testing.assert_array_equal(down[:, 3, 3], colour_of(0, 1, largest=2))
    assert (down[:, :8] == down[:, :1, :1]).all()
    assert (down[:, 8:] == 255).all()


def arrow_pixels(path, framed_pictures):
    """Where the first moved frame, drawn on black, is orange: (rows, columns) in drawn pixels."""
    picture = framed_pictures(Image.open(path), CONTEXT, 1)[0]
    rows, columns = np.nonzero(picture[0] > 150)
    return rows, columns


@pytest.mark.parametrize(
    ("x", "y"),
    [(3, 0), (-3, 0), (0, 3), (0, -3)],
    ids=["from right", "from left", "from below", "from above"],
)
def test_an_arrow_leads_from_where_features_are_taken_to_where_they_arrive(tmp_path, framed_pictures, x, y):
    black = np.zeros((1, 1, 64, 64), np.uint8)  # drawn three times as large
    flow = np.zeros((1, 2, 32, 32))  # its pixels are two of the frame, six drawn
    arrows = (np.arange(8) * 4) + 2  # the pixel in the middle of every eighth
    row = column = arrows[4]
    flow[0, :, row, column] = x, y
    write_flow(tmp_path / "x.png", black, black, flow)
    rows, columns = arrow_pixels(tmp_path / "x.png", framed_pictures)
    along, across, shift = (columns, rows, x) if x else (rows, columns, y)
    arrives = (row + 0.5) * 6
    taken = arrives + shift * 6
    assert min(along) == pytest.approx(min(arrives, taken), abs=2)
    assert max(along) == pytest.approx(max(arrives, taken), abs=2)
    assert np.mean(across) == pytest.approx(arrives - 0.5, abs=0.6)
    near = np.abs(along - arrives) < 9
    assert np.ptp(across[near]) > 2 * np.ptp(across[~near])  # the head is where they arrive


def test_there_are_eight_by_eight_arrows_and_none_where_the_flow_is_unknown(tmp_path, framed_pictures):
    ndimage = pytest.importorskip("scipy.ndimage")
    black = np.zeros((2, 1, 64, 64), np.uint8)
    flow = np.ones((2, 2, 64, 64)) * 2
    flow[:, 0, :8, :16] = np.nan  # the places of two arrows
    flow[:, :, 56:, 56:] = 0  # and of one
    write_flow(tmp_path / "x.png", black, black, flow)
    for picture in framed_pictures(Image.open(tmp_path / "x.png"), CONTEXT, 1):
        assert ndimage.label(picture[0] > 150, np.ones((3, 3)))[1] == 64 - 3
    motion = framed_pictures(Image.open(tmp_path / "x.png"), PREDICTION, 1)[0]
    assert (motion[:, :24, :48] == 0).all()


def test_a_flow_of_nothing_or_of_few_pixels_is_drawn(tmp_path, framed_pictures):
    frames = np.zeros((3, 3, 16, 16), np.uint8)
    for flow in (np.zeros((3, 2, 16, 16)), np.full((3, 2, 5, 3), np.nan), np.ones((3, 2, 1, 1))):
        write_flow(tmp_path / "x.png", frames, frames, flow)
        assert len(framed_pictures(Image.open(tmp_path / "x.png"), CONTEXT, 1)) == 3


def test_a_picture_of_ordinary_content_is_small(tmp_path):
    generator = np.random.default_rng(0)
    smooth = np.kron(generator.integers(0, 255, (10, 1, 8, 8)), np.ones((8, 8))).astype(np.uint8)
    write_flow(tmp_path / "x.png", smooth, smooth, generator.normal(size=(10, 2, 32, 32)), smooth)
    assert (tmp_path / "x.png").stat().st_size < 300_000


def test_what_does_not_fit_is_refused(tmp_path, noise):
    frames, flow = noise(3, 1, 16, 16), np.zeros((3, 2, 8, 8))
    for args, every, message in (
        ((frames, frames[:2], flow), None, "predicted must be as many and as large"),
        ((frames, frames, flow, frames[..., 1:]), None, "truth must be as many and as large"),
        ((frames, frames, flow[:2]), None, r"flow must have the shape \(3, 2, h, w\), got \(2, 2, 8, 8\)"),
        ((frames, frames, flow[:, :, :0]), None, "flow must have the shape"),
        ((frames[:0], frames[:0], flow[:0]), None, "at least one frame"),
        ((frames, frames, flow), 0, "every must be at least 1, got 0"),
    ):
        with pytest.raises(ConfigError, match=message):
            write_flow(tmp_path / "x.png", *args, every=every)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_made_is_an_output_error(tmp_path, noise):
    (tmp_path / "file").touch()
    frames = noise(1, 1, 16, 16)
    with pytest.raises(OutputError, match="cannot write"):
        write_flow(tmp_path / "file" / "x.png", frames, frames, np.zeros((1, 2, 16, 16)))
