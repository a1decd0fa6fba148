import numpy as np
import pytest

from vidpred.data import drawing

SIDE, SIZE, OVERHANG = 5, 12, 2


def scene(channels, seed=0, n=3, frames=4, count=3):
    random = np.random.default_rng(seed)
    objects = random.integers(0, 256, (n, count, SIDE, SIDE), np.uint8)
    objects[random.random(objects.shape) < 0.3] = 0
    colours = random.integers(0, 256, (n, count, channels), np.uint8)
    pixels = random.integers(-OVERHANG, SIZE - SIDE + OVERHANG + 1, (n, frames, count, 2))
    return objects, colours, pixels


def drawn_pixel_by_pixel(objects, colours, pixels, combine):
    n, frames, count, _ = pixels.shape
    result = np.zeros((n, frames, colours.shape[2], SIZE, SIZE), int)
    for i in range(n):
        for t in range(frames):
            for k in range(count):
                left, top = pixels[i, t, k]
                for row in range(SIDE):
                    for column in range(SIDE):
                        y, x = top + row, left + column
                        if 0 <= y < SIZE and 0 <= x < SIZE:
                            for c in range(colours.shape[2]):
                                brightness = int(objects[i, k, row, column])
                                over = round(brightness * int(colours[i, k, c]) / 255)
                                result[i, t, c, y, x] = combine(result[i, t, c, y, x], over, brightness > 0)
    return result


@pytest.mark.parametrize(
    ("blend", "combine"),
    [
        (drawing.brighter, lambda under, over, cover: max(under, over)),
        (drawing.clipped_sum, lambda under, over, cover: min(under + over, 255)),
        (drawing.painter, lambda under, over, cover: over if cover else under),
    ],
)
@pytest.mark.parametrize("channels", [1, 3])
def test_overlaps_and_edges_agree_with_drawing_pixel_by_pixel(blend, combine, channels):
    objects, colours, pixels = scene(channels)
    frames = drawing.draw(objects, colours, pixels, SIZE, OVERHANG, blend)
    assert frames.dtype == np.uint8
    np.testing.assert_array_equal(frames, drawn_pixel_by_pixel(objects, colours, pixels, combine))


def test_bright_overlaps_do_not_wrap_around_to_dark():
    white = np.full((1, 2, SIDE, SIDE), 255, np.uint8)
    frames = drawing.draw(
        white, np.full((1, 2, 1), 255, np.uint8), np.zeros((1, 1, 2, 2), int), SIZE, 0, drawing.clipped_sum
    )
    assert (frames[0, 0, 0, :SIDE, :SIDE] == 255).all()


def test_nothing_is_drawn_for_no_sequences():
    frames = drawing.draw(
        np.zeros((0, 2, SIDE, SIDE), np.uint8),
        np.zeros((0, 2, 1), np.uint8),
        np.zeros((0, 4, 2, 2), int),
        SIZE,
        OVERHANG,
        drawing.brighter,
    )
    assert frames.shape == (0, 4, 1, SIZE, SIZE)
