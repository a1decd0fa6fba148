"""How many objects a frame shows and where: what the mean error of a long rollout does not tell.

A prediction may score well by pixels and have lost a digit, split one or put it elsewhere. Here an object
is a connected region of bright pixels; a prediction is compared with the regions that the same finder
sees in the true frame, so that a perfect prediction has no error even where true objects touch.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vidpred.errors import DataError

THRESHOLD = 0.5
"""Pixels brighter than this belong to an object. Thin strokes are darker once a digit is small: of MNIST's
test digits resized to 16 pixels, in frames of 32, 6.5 % are broken or lost at 0.5 and 0.9 % at 0.3 (of digits
of 28 pixels in frames of 64, 1.6 % and 0.9 %)."""

LEAST_AREA = 0.002
"""Smaller regions are specks, as a fraction of the frame: under 3 pixels of 32x32 or 9 of 64x64, which is
what the faintest of MNIST's test digits has above 0.5 at the size of 28."""


@dataclass(frozen=True)
class Found:
    """A connected region of bright pixels.

    Attributes:
        centroid: (x, y) in pixels, the mean of its pixels' centres; the top left pixel of a frame is (0, 0).
        area: number of its pixels.
        box: (x0, y0, x1, y1), x1 and y1 being the first column and row behind it.
    """

    centroid: tuple[float, float]
    area: int
    box: tuple[int, int, int, int]


@dataclass(frozen=True)
class CentroidErrors:
    """How the objects of predicted frames (..., C, H, W) lie against the true ones, frame by frame.

    Attributes:
        distance: (...) mean distance in pixels over the matched pairs, NaN where there is none.
        missed: (...) true objects left without a partner.
        surplus: (...) predicted objects left without a partner.
    """

    distance: NDArray[np.float64]
    missed: NDArray[np.int64]
    surplus: NDArray[np.int64]


def brightness(frames: NDArray[np.number]) -> NDArray[np.floating]:
    """The brightest channel of each pixel in [0, 1]: (..., C, H, W) uint8 or float -> (..., H, W).

    NaN counts as black.

    Raises:
        DataError: frames of another type or shape, or without channels.
    """
    frames = np.asarray(frames)
    floating = np.issubdtype(frames.dtype, np.floating)
    if frames.ndim < 3 or frames.shape[-3] == 0 or not (floating or frames.dtype == np.uint8):
        raise DataError(
            f"objects are found in frames (..., C, H, W) of uint8 or float with a channel at least, "
            f"got {frames.dtype} {frames.shape}"
        )
    if not floating:
        return frames.max(axis=-3) / np.float32(255)
    # fmax prefers a number to NaN: a broken channel does not hide the others.
    return np.nan_to_num(np.fmax.reduce(frames, axis=-3), nan=0.0)


def find_objects(
    frame: NDArray[np.number], threshold: float = THRESHOLD, least_area: float = LEAST_AREA
) -> list[Found]:
    """The connected regions of pixels brighter than `threshold`, from the top of the frame to its bottom.

    Pixels that touch at a corner are connected. Objects that touch are one region.

    Args:
        frame: (C, H, W) uint8, or float in [0, 1]; the brightest channel counts, and NaN is black.
        threshold: in [0, 1]; a blur that nowhere passes it is no object.
        least_area: smaller regions do not count; a fraction of the frame's pixels.

    Raises:
        DataError: no such frame.
    """
    frame = np.asarray(frame)
    if frame.ndim != 3:
        raise DataError(f"objects are found in one frame (C, H, W) at a time, got {frame.shape}")
    return _regions(brightness(frame), threshold, least_area)


def object_counts(
    frames: NDArray[np.number], threshold: float = THRESHOLD, least_area: float = LEAST_AREA
) -> NDArray[np.int64]:
    """The number of objects in each frame: (..., C, H, W) -> (...); arguments as in `find_objects`."""
    pictures = brightness(frames)
    counts = [len(found) for found in _all_regions(pictures, threshold, least_area)]
    return np.array(counts, np.int64).reshape(pictures.shape[:-2])


def centroid_errors(
    predicted: NDArray[np.number],
    truth: NDArray[np.number],
    threshold: float = THRESHOLD,
    least_area: float = LEAST_AREA,
) -> CentroidErrors:
    """How far the predicted objects are from the true ones, and how many are missing or too many.

    The objects of both are those that `find_objects` sees: true objects that touch count as one, at their
    common centroid, and a prediction that keeps them apart there has one too many. As many as possible are
    matched, however far apart, with the least sum of distances.

    Args:
        predicted, truth: (..., C, H, W) of one shape, each uint8 or float in [0, 1].
        threshold, least_area: as in `find_objects`.

    Raises:
        DataError: no such frames, or their shapes differ.
    """
    predicted, truth = np.asarray(predicted), np.asarray(truth)
    if predicted.shape != truth.shape:
        raise DataError(
            f"predicted and true frames (..., C, H, W) must have one shape, "
            f"got {predicted.shape} and {truth.shape}"
        )
    pictures = brightness(truth)
    shape = pictures.shape[:-2]
    true = _all_regions(pictures, threshold, least_area)
    found = _all_regions(brightness(predicted), threshold, least_area)
    surplus = np.array([len(ours) - len(theirs) for ours, theirs in zip(found, true, strict=True)], np.int64)
    distance = [_mean_distance(ours, theirs) for ours, theirs in zip(found, true, strict=True)]
    return CentroidErrors(
        np.array(distance, np.float64).reshape(shape),
        np.maximum(-surplus, 0).reshape(shape),
        np.maximum(surplus, 0).reshape(shape),
    )


def _mean_distance(found: list[Found], true: list[Found]) -> float:
    from scipy.optimize import linear_sum_assignment

    if not found or not true:
        return float("nan")
    ours = np.array([one.centroid for one in found])
    theirs = np.array([one.centroid for one in true])
    distances = np.linalg.norm(ours[:, None] - theirs[None], axis=-1)  # (found, true)
    return float(distances[linear_sum_assignment(distances)].mean())


def _all_regions(pictures: NDArray[np.floating], threshold: float, least_area: float) -> list[list[Found]]:
    """The objects of pictures (..., H, W), in one list."""
    count = int(np.prod(pictures.shape[:-2]))  # a -1 could not be told where there are no pictures
    flat = pictures.reshape(count, *pictures.shape[-2:])
    return [_regions(picture, threshold, least_area) for picture in flat]


def _regions(picture: NDArray[np.floating], threshold: float, least_area: float) -> list[Found]:
    from scipy import ndimage

    numbers, count = ndimage.label(picture > threshold, structure=np.ones((3, 3)))
    if count == 0:
        return []
    rows, columns = np.nonzero(numbers)
    at = numbers[rows, columns]
    areas = np.bincount(at, minlength=count + 1)
    x_sums = np.bincount(at, columns, count + 1)
    y_sums = np.bincount(at, rows, count + 1)
    return [
        Found(
            (float(x_sums[number] / areas[number]), float(y_sums[number] / areas[number])),
            int(areas[number]),
            (across.start, down.start, across.stop, down.stop),
        )
        for number, (down, across) in enumerate(ndimage.find_objects(numbers), start=1)
        if areas[number] >= least_area * picture.size
    ]
