import numpy as np
import pytest

from vidpred.errors import DataError
from vidpred.metrics.objects import CentroidErrors, Found, centroid_errors, find_objects, object_counts


def frame(*squares, side=32, channels=1, brightness=1.0):
    """Black, with a bright rectangle for each (x0, y0, x1, y1), the ends not included."""
    picture = np.zeros((channels, side, side))
    for x0, y0, x1, y1 in squares:
        picture[:, y0:y1, x0:x1] = brightness
    return picture


def errors_of(predicted, truth, **settings) -> CentroidErrors:
    """The errors of one frame."""
    return centroid_errors(predicted[None], truth[None], **settings)


def test_a_rectangle_is_found_where_it_is():
    # 6 x 4 pixels: columns 3..8 have their mean at 5.5, rows 10..13 at 11.5.
    assert find_objects(frame((3, 10, 9, 14))) == [Found((5.5, 11.5), 24, (3, 10, 9, 14))]


def test_objects_are_listed_from_top_to_bottom_with_their_own_places():
    boxes = [(20, 1, 25, 6), (2, 8, 6, 12), (12, 20, 19, 30)]
    found = find_objects(frame(*reversed(boxes)))
    assert [one.box for one in found] == boxes
    assert [one.centroid for one in found] == [(22.0, 3.0), (3.5, 9.5), (15.0, 24.5)]
    assert [one.area for one in found] == [25, 16, 70]


def test_the_centroid_of_a_bent_object_is_the_mean_of_its_pixels():
    bent = frame((0, 0, 2, 10), (2, 8, 12, 10))
    pixels = [(x, y) for y in range(10) for x in range(2)] + [(x, y) for y in (8, 9) for x in range(2, 12)]
    (one,) = find_objects(bent)
    assert one.area == len(pixels)
    np.testing.assert_allclose(one.centroid, np.mean(pixels, axis=0))


def test_pixels_that_touch_at_a_corner_are_one_object():
    assert object_counts(frame((2, 2, 6, 6), (6, 6, 10, 10))) == 1
    assert object_counts(frame((2, 2, 6, 6), (7, 6, 11, 10))) == 2


def test_counts_agree_with_a_flood_fill():
    frames = np.random.default_rng(5).random((2, 3, 1, 12, 12)) > 0.75
    counts = object_counts(frames.astype(np.float32), least_area=0)
    assert counts.shape == (2, 3)
    assert counts.dtype == np.int64
    for index in np.ndindex(2, 3):
        left = set(zip(*np.nonzero(frames[index][0]), strict=True))
        islands = 0
        while left:
            islands += 1
            edge = [left.pop()]
            while edge:
                row, column = edge.pop()
                near = {(row + i, column + j) for i in (-1, 0, 1) for j in (-1, 0, 1)} & left
                left -= near
                edge.extend(near)
        assert counts[index] == islands > 1


def test_a_blur_that_does_not_pass_the_threshold_is_no_object():
    square = (4, 4, 12, 12)
    assert object_counts(frame(square, brightness=0.5)) == 0
    assert object_counts(frame(square, brightness=0.51)) == 1
    assert object_counts(frame(square, brightness=0.5), threshold=0.3) == 1


def test_bytes_and_floats_are_the_same_frames():
    frames = np.random.default_rng(1).integers(0, 256, (4, 3, 16, 16), np.uint8)
    for threshold in (0.5, 128 / 255):  # a brightness of 128 passes the first and not the second
        as_bytes = object_counts(frames, threshold, 0)
        np.testing.assert_array_equal(as_bytes, object_counts(frames / np.float32(255), threshold, 0))
    assert object_counts(np.full((1, 4, 4), 128, np.uint8)) == 1
    assert object_counts(np.full((1, 4, 4), 127, np.uint8)) == 0


def test_the_brightest_channel_counts():
    colours = np.concatenate([frame((2, 2, 8, 8)), frame((8, 2, 12, 8)), frame((20, 20, 26, 26))])
    assert [one.box for one in find_objects(colours)] == [(2, 2, 12, 8), (20, 20, 26, 26)]


def test_specks_are_smaller_than_a_share_of_the_frame():
    # Of 32 x 32 pixels 0.002 are 2.048, of 64 x 64 they are 8.192.
    assert object_counts(frame((5, 5, 7, 6))) == 0
    assert object_counts(frame((5, 5, 8, 6))) == 1
    assert object_counts(frame((5, 5, 7, 9), side=64)) == 0
    assert object_counts(frame((5, 5, 8, 8), side=64)) == 1
    assert object_counts(frame((5, 5, 8, 8), side=64), least_area=0.01) == 0


def test_nan_is_black_and_hides_no_other_channel():
    broken = frame((2, 2, 8, 8), channels=3)
    broken[0] = np.nan
    broken[:, 20:, :] = np.nan
    assert [one.box for one in find_objects(broken)] == [(2, 2, 8, 8)]
    assert object_counts(np.full((5, 1, 8, 8), np.nan)).tolist() == [0] * 5
    errors = errors_of(np.full((1, 32, 32), np.nan), frame((2, 2, 8, 8)))
    assert np.isnan(errors.distance[0])
    assert errors.missed.tolist() == [1]


def test_infinite_brightness_is_bright():
    assert object_counts(frame((2, 2, 8, 8), brightness=np.inf)) == 1


def test_a_perfect_prediction_has_no_error_even_where_objects_touch():
    apart, touching = ((2, 2, 8, 8), (20, 20, 26, 26)), ((2, 2, 8, 8), (6, 6, 12, 12))
    truth = np.stack([frame(*apart), frame(*touching)])
    errors = centroid_errors(truth, truth)
    assert errors.distance.tolist() == [0.0, 0.0]
    assert errors.missed.tolist() == errors.surplus.tolist() == [0, 0]


def test_distances_are_in_pixels_and_their_mean_is_taken():
    truth = frame((2, 2, 8, 8), (20, 20, 26, 26))
    moved = frame((5, 6, 11, 12), (20, 21, 26, 27))  # by (3, 4) and by (0, 1)
    assert errors_of(moved, truth).distance[0] == pytest.approx((5 + 1) / 2)


def test_the_matching_is_the_best_one_and_not_the_nearest_first():
    # True at 10 and 16, found at 15 and 24. The nearest pair (15, 16) would leave (24, 10): 1 + 14;
    # the best is (15, 10) and (24, 16): 5 + 8.
    def at(*places):
        return frame(*[(x - 1, 10, x + 2, 13) for x in places])

    assert errors_of(at(15, 24), at(10, 16)).distance[0] == pytest.approx((5 + 8) / 2)


def test_missed_and_surplus_objects_are_counted_frame_by_frame():
    one, two = ((2, 2, 8, 8),), ((2, 2, 8, 8), (20, 20, 26, 26))
    predicted = np.stack([frame(*one), frame(*two), frame(), frame(*one), frame()])
    truth = np.stack([frame(*two), frame(*one), frame(*two), frame(), frame()])
    errors = centroid_errors(predicted, truth)
    assert errors.missed.tolist() == [1, 0, 2, 0, 0]
    assert errors.surplus.tolist() == [0, 1, 0, 1, 0]
    # The partner of the one that is there lies exactly on it.
    np.testing.assert_array_equal(errors.distance, [0, 0, np.nan, np.nan, np.nan])


def test_a_merged_true_object_is_at_the_common_centroid():
    truth = frame((4, 4, 10, 10), (10, 4, 16, 10))  # touching: one object, columns 4..15, centre (9.5, 6.5)
    split = frame((2, 4, 8, 10), (12, 4, 18, 10))  # centres at x = 4.5 and 14.5
    errors = errors_of(split, truth)
    assert errors.distance.tolist() == [5.0]
    assert errors.surplus.tolist() == [1]
    assert errors.missed.tolist() == [0]


def test_leading_dimensions_are_kept_and_may_be_empty():
    frames = np.zeros((3, 4, 1, 8, 8), np.uint8)
    frames[1, 2, :, 2:5, 2:5] = 255
    counts = object_counts(frames)
    assert counts.shape == (3, 4)
    assert counts[1, 2] == counts.sum() == 1
    errors = centroid_errors(frames, frames / 255)
    assert errors.distance.shape == errors.missed.shape == errors.surplus.shape == (3, 4)
    assert errors.distance[1, 2] == 0
    assert object_counts(frames[:0]).shape == (0, 4)
    assert centroid_errors(frames[:0], frames[:0]).distance.shape == (0, 4)
    assert object_counts(np.zeros((2, 1, 0, 0))).tolist() == [0, 0]


@pytest.mark.parametrize(
    "frames",
    [np.zeros((8, 8)), np.zeros((0, 8, 8)), np.zeros((1, 8, 8), np.int64), np.zeros((1, 8, 8), bool)],
)
def test_what_is_no_frame_is_told(frames):
    with pytest.raises(DataError, match=r"got"):
        object_counts(frames)


def test_frames_that_do_not_fit_are_told():
    with pytest.raises(DataError, match=r"\(2, 1, 8, 8\) and \(1, 8, 8\)"):
        centroid_errors(np.zeros((2, 1, 8, 8)), np.zeros((1, 8, 8)))
    with pytest.raises(DataError, match=r"one frame"):
        find_objects(np.zeros((2, 1, 8, 8)))
