import numpy as np
import pytest


@pytest.fixture
def noise():
    """noise(*shape) -> uint8 frames in shades of grey that no border and no background has."""
    generator = np.random.default_rng(0)
    return lambda *shape: (generator.integers(1, 50, shape) * 5).astype(np.uint8)


@pytest.fixture
def framed_pictures():
    """framed_pictures(page, colour, scale) -> pictures with borders of this colour, in reading order."""
    ndimage = pytest.importorskip("scipy.ndimage")

    def find(page, colour, scale):
        is_border = (np.asarray(page.convert("RGB")) == colour).all(axis=-1)
        boxes = ndimage.find_objects(ndimage.label(is_border)[0])
        # Letters are of this colour too, but smaller than any picture.
        boxes = [box for box in boxes if min(side.stop - side.start for side in box) > 20]
        boxes.sort(key=lambda box: (box[0].start, box[1].start))
        pictures = [np.asarray(page.convert("RGB"))[box][2:-2, 2:-2] for box in boxes]
        for picture in pictures:
            enlarged = picture[::scale, ::scale].repeat(scale, 0).repeat(scale, 1)
            np.testing.assert_array_equal(picture, enlarged)
        return [picture[::scale, ::scale].transpose(2, 0, 1) for picture in pictures]

    return find
