import numpy as np
import pytest

from vidpred.evaluation.running_mean import RunningMean


@pytest.mark.parametrize("sizes", [[12], [1] * 12, [5, 1, 6]])
def test_batches_of_any_size_give_the_statistics_of_the_whole(sizes):
    values = np.random.default_rng(0).normal(5, 2, (12, 3))
    running = RunningMean()
    for batch in np.split(values, np.cumsum(sizes)[:-1]):
        running.add(batch)
    np.testing.assert_allclose(running.mean, values.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(running.standard_error, values.std(axis=0, ddof=1) / np.sqrt(12), rtol=1e-12)


def test_a_large_mean_does_not_drown_a_small_spread():
    values = 1e9 + np.random.default_rng(0).normal(0, 1e-3, (1000, 1))
    running = RunningMean()
    for batch in np.split(values, 100):
        running.add(batch)
    expected = (values - 1e9).std(ddof=1) / np.sqrt(1000)
    np.testing.assert_allclose(running.standard_error, [expected], rtol=1e-3)


def test_one_sequence_has_no_standard_error():
    running = RunningMean()
    running.add(np.ones((1, 2)))
    assert running.standard_error is None
    running.add(np.ones((1, 2)))
    np.testing.assert_array_equal(running.standard_error, [0, 0])
