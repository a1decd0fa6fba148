import numpy as np
import pytest
from scipy import stats

from vidpred.data.randomness import uniforms


def test_a_row_does_not_depend_on_what_else_is_drawn():
    together = uniforms(3, "train", np.arange(10), 7)
    alone = uniforms(3, "train", np.array([6, 2]), 7)
    np.testing.assert_array_equal(alone, together[[6, 2]])


def test_seeds_splits_and_sequences_have_different_numbers():
    drawn = [uniforms(seed, split, np.arange(20), 6) for seed in (0, 1) for split in ("train", "val", "test")]
    assert len(np.unique(drawn)) == np.size(drawn)


@pytest.mark.parametrize("width", [1, 4, 5])
def test_neighbouring_sequences_share_no_number(width):
    drawn = uniforms(0, "train", np.arange(50), width)
    assert len(np.unique(drawn)) == drawn.size


def test_numbers_are_uniform_in_the_unit_interval():
    drawn = uniforms(11, "val", np.arange(2000), 8)
    assert drawn.min() >= 0
    assert drawn.max() < 1
    assert stats.kstest(drawn.ravel(), "uniform").pvalue > 1e-3
    # Neighbours within a sequence and from one sequence to the next are not correlated.
    assert abs(np.corrcoef(drawn[:, 0], drawn[:, 1])[0, 1]) < 0.08
    assert abs(np.corrcoef(drawn[:-1, 0], drawn[1:, 0])[0, 1]) < 0.08


def test_every_seed_of_64_bits_is_taken():
    largest = uniforms(2**64 - 1, "train", np.array([0]), 3)
    assert not np.array_equal(largest, uniforms(0, "train", np.array([0]), 3))
