import numpy as np
import pytest
from matplotlib import colormaps
from PIL import Image

from vidpred.errors import ConfigError
from vidpred.viz.confusion import write_confusion


def colour(value):
    return np.round(np.array(colormaps["magma"](value)[:3]) * 255)


def has(page, wanted, tolerance=3):
    """The share of the picture that has the colour."""
    return (np.abs(page - wanted).max(axis=2) <= tolerance).mean()


@pytest.fixture
def page(tmp_path):
    def drawn(confusion, names, **options):
        write_confusion(tmp_path / "x.png", np.array(confusion), names, **options)
        with Image.open(tmp_path / "x.png") as picture:
            return np.asarray(picture.convert("RGB")).astype(float)

    return drawn


def test_cells_are_shares_of_their_rows(page):
    drawn = page([[30, 10], [0, 8]], ["one", "two"])
    cells = {value: has(drawn, colour(value)) for value in (0.75, 0.25, 0.0, 1.0)}
    assert min(cells.values()) > 0.01  # each of the four has its patch
    assert has(drawn, colour(0.5)) < 0.01


def test_a_class_without_sequences_is_grey(page):
    assert has(page([[5, 0], [0, 0]], ["one", "two"]), np.array([153.0, 153, 153])) > 0.02
    assert has(page([[5, 0], [0, 1]], ["one", "two"]), np.array([153.0, 153, 153])) < 0.005


def test_classes_are_sorted_by_group(page):
    confusion = np.array([[1, 0, 0], [0, 1, 1], [0, 0, 1]])
    mixed = page(confusion, ["x", "y", "z"], groups=["a", "b", "a"])
    order = [0, 2, 1]
    sorted_ = page(confusion[np.ix_(order, order)], ["x", "z", "y"], groups=["a", "a", "b"])
    np.testing.assert_array_equal(mixed, sorted_)
    assert not np.array_equal(mixed, page(confusion, ["x", "y", "z"]))


def test_many_classes_make_a_picture_of_bounded_size(page):
    height, width, _ = page(np.eye(174, dtype=int), [f"class {n}" * 9 for n in range(174)]).shape
    assert max(height, width) < 130 * 18


@pytest.mark.parametrize(
    ("confusion", "names", "groups"),
    [([[1]], [], ()), ([[1, 0]], ["a"], ()), ([[1]], ["a"], ("b", "c"))],
)
def test_names_and_groups_must_fit(page, confusion, names, groups):
    with pytest.raises(ConfigError, match="a name, and a group or none, for each class"):
        page(confusion, names, groups=groups)
