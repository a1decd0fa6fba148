import itertools
import math

import numpy as np
import pytest

from vidpred.metrics.binary import Hits, best_guess, log_likelihood


def test_hits_and_what_follows_by_hand():
    said = np.array([[1, 1, 0], [1, 0, 0]], bool)
    true = np.array([[1, 0, 1], [1, 0, 1]], bool)
    hits = Hits.of(said, true)
    assert hits == (2, 1, 2)
    assert hits.precision == pytest.approx(2 / 3)
    assert hits.recall == pytest.approx(1 / 2)
    assert hits.f1 == pytest.approx(2 * (2 / 3) * (1 / 2) / (2 / 3 + 1 / 2))


def test_where_nothing_is_on_there_is_no_share():
    nothing = Hits.of(np.zeros(3, bool), np.zeros(3, bool))
    assert math.isnan(nothing.f1)
    assert math.isnan(nothing.precision)
    assert math.isnan(nothing.recall)
    assert Hits.of(np.zeros(3, bool), np.ones(3, bool)).f1 == 0


@pytest.mark.parametrize("seed", range(5))
def test_the_best_guess_is_the_best_of_all(seed):
    """By the F1 of every possible guess, of expected counts; also with equal values among them."""
    probability = np.random.default_rng(seed).choice([0.02, 0.1, 0.3, 0.45, 0.6], (2, 4))
    expected = {
        said: 2 * probability.ravel()[list(said)].sum() / (len(said) + probability.sum())
        for count in range(1, 9)
        for said in itertools.combinations(range(8), count)
    }
    guess = best_guess(probability)
    assert guess.shape == (2, 4)
    assert expected[tuple(np.flatnonzero(guess))] == pytest.approx(max(expected.values()))


def test_what_is_sure_is_said_and_what_cannot_be_is_not():
    assert best_guess(np.array([1.0, 0.0, 1.0])).tolist() == [True, False, True]
    assert not best_guess(np.zeros((2, 3))).any()
    assert best_guess(np.zeros((0, 3))).shape == (0, 3)


def test_log_likelihood_of_one_value_after_the_other():
    probability, values = [0.2, 0.9, 0.3, 1.0, 0.0], [1.0, 0.0, 0.25, 1.0, 0.0]
    expected = [
        x * math.log(p) + (1 - x) * math.log(1 - p) for p, x in zip(probability[:3], values[:3], strict=True)
    ]
    found = log_likelihood(np.array(probability), np.array(values))
    assert found == pytest.approx([*expected, 0.0, 0.0])


def test_what_was_impossible_costs_everything():
    assert log_likelihood(np.array([0.0, 1.0, 1.0]), np.array([1.0, 0.0, 0.5])).tolist() == [-math.inf] * 3
