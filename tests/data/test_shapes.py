import math

import numpy as np
import pytest

from vidpred.data import shapes


@pytest.mark.parametrize("side", [14, 28, 57])
def test_shapes_have_their_areas_and_touch_all_edges(side):
    pictures = shapes.pictures(side) == 255
    areas = dict(zip(shapes.SHAPES, pictures.mean(axis=(1, 2)), strict=True))
    assert areas["square"] == 1
    assert areas["circle"] == pytest.approx(math.pi / 4, abs=1 / side)
    assert areas["triangle"] == pytest.approx(1 / 2, abs=1 / side)
    for inside in pictures:
        assert inside.any(axis=0).sum() >= side - 1  # at an odd side the tip falls between two rows
        assert inside.any(axis=1).sum() >= side - 1


def test_shapes_are_mirror_images_of_themselves():
    pictures = shapes.pictures(28)
    np.testing.assert_array_equal(pictures, pictures[:, :, ::-1])


def test_the_triangle_stands_on_its_base():
    widths = (shapes.pictures(28)[2] > 0).sum(axis=1)
    assert (np.diff(widths) >= 0).all()
    assert widths[-1] == 28
