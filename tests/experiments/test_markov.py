"""Chains of values against counts by hand and sums over all paths."""

from itertools import pairwise, product

import numpy as np
import pytest

from vidpred.experiments.denoise import NoisyChannel, filtered
from vidpred.experiments.markov import MarkovChains


@pytest.fixture
def chains():
    random = np.random.default_rng(0)
    return MarkovChains(*random.uniform(0.1, 0.9, (3, 1, 1, 4)))


def path_probability(chains, path, key, start=None):
    """Of a path of one key; `start` is the probability that it begins with 1."""
    first = chains.marginal[0, 0, key] if start is None else start
    probability = first if path[0] else 1 - first
    for before, after in pairwise(path):
        on = (chains.after_on if before else chains.after_off)[0, 0, key]
        probability *= on if after else 1 - on
    return probability


def test_counts_by_hand():
    one, two = [0, 1, 1, 0, 1], [1, 1, 0]
    found = MarkovChains.of(np.array(x, np.float32)[:, None, None, None] for x in (one, two))
    assert found.marginal.item() == pytest.approx((5 + 0.5) / (8 + 1))
    assert found.after_on.item() == pytest.approx((2 + 0.5) / (4 + 1))  # 11 10, 11 10
    assert found.after_off.item() == pytest.approx((2 + 0.5) / (2 + 1))  # 01 01


def test_grey_values_count_in_part():
    found = MarkovChains.of([np.array([0.25, 0.5])[:, None, None, None]])
    assert found.marginal.item() == pytest.approx((0.75 + 0.5) / 3)
    assert found.after_on.item() == pytest.approx((0.125 + 0.5) / 1.25)
    assert found.after_off.item() == pytest.approx((0.375 + 0.5) / 1.75)


def test_ahead_is_a_power_of_the_matrix(chains):
    now = np.array([0.0, 1.0, 0.3, 0.8])[None, None]
    found = chains.ahead(now, 5)
    for key in range(4):
        on, off = chains.after_on[0, 0, key], chains.after_off[0, 0, key]
        matrix = np.linalg.matrix_power([[1 - off, off], [1 - on, on]], 5)
        assert found[0, 0, key] == pytest.approx(([1 - now[0, 0, key], now[0, 0, key]] @ matrix)[1])


def test_between_two_steps_is_a_sum_over_all_paths(chains):
    ends = [(0.0, 0.0), (0.0, 1.0), (1.0, 0.0), (1.0, 1.0)]
    first, last = (np.array(values)[None, None] for values in zip(*ends, strict=True))
    found = chains.between(first, last, 3)
    for key, (a, c) in enumerate(ends):
        weights = {
            path: path_probability(chains, (a, *path, c), key, start=a) for path in product((0, 1), repeat=3)
        }
        total = sum(weights.values())
        for step in range(3):
            on = sum(weight for path, weight in weights.items() if path[step]) / total
            assert found[step, 0, 0, key] == pytest.approx(on)


def test_likelihood_of_a_sequence_is_that_of_its_paths(chains):
    x = np.random.default_rng(1).integers(0, 2, (6, 1, 1, 4))
    marginal, chained = chains.log_likelihoods(x)
    assert chained == pytest.approx(
        sum(np.log(path_probability(chains, x[:, 0, 0, key], key)) for key in range(4))
    )
    assert marginal == pytest.approx(np.log(np.where(x, chains.marginal, 1 - chains.marginal)).sum())


@pytest.mark.parametrize("noise", ["flip", "on"])
def test_the_filter_is_a_sum_over_all_clean_paths(chains, noise):
    channel = NoisyChannel(noise, 0.2)
    seen_if = {"flip": ((0.8, 0.2), (0.2, 0.8)), "on": ((0.8, 0.2), (0.0, 1.0))}[noise]  # [x][noisy]
    noisy = np.random.default_rng(2).integers(0, 2, (5, 1, 1, 4))
    found = filtered(chains, channel, noisy)
    for key, steps in product(range(4), range(1, 6)):
        on = total = 0.0
        for path in product((0, 1), repeat=steps):
            weight = path_probability(chains, path, key)
            for x, seen in zip(path, noisy[:, 0, 0, key], strict=False):
                weight *= seen_if[x][seen]
            total, on = total + weight, on + weight * path[-1]
        assert found[steps - 1, 0, 0, key] == pytest.approx(on / total)


@pytest.mark.parametrize(
    ("noise", "rate", "noisy", "expected"),
    [
        ("flip", 0.05, 1, 0.1 * 0.95 / (0.1 * 0.95 + 0.9 * 0.05)),
        ("flip", 0.05, 0, 0.1 * 0.05 / (0.1 * 0.05 + 0.9 * 0.95)),
        ("on", 0.05, 1, 0.1 / (0.1 + 0.9 * 0.05)),
        ("on", 0.05, 0, 0.0),
        ("flip", 0.0, 1, 1.0),
        ("flip", 0.0, 0, 0.0),
        ("flip", 1.0, 1, 0.0),
        ("on", 1.0, 1, 0.1),
        ("on", 1.0, 0, 0.1),
    ],
)
def test_what_a_noisy_value_tells(noise, rate, noisy, expected):
    assert NoisyChannel(noise, rate).posterior(0.1, np.array(noisy)) == pytest.approx(expected)


def test_noise_comes_at_its_rate_and_the_same_again():
    clean = np.random.default_rng(0).integers(0, 2, (400, 1, 1, 88)).astype(np.float32)
    flip, on = NoisyChannel("flip", 0.05), NoisyChannel("on", 0.05)
    noisy = flip.corrupt(clean, 1, 2)
    assert (noisy != clean).mean() == pytest.approx(0.05, abs=0.005)
    assert (noisy == flip.corrupt(clean, 1, 2)).all()
    assert (noisy != flip.corrupt(clean, 1, 3)).any()
    louder = on.corrupt(clean, 1, 2)
    assert (louder >= clean).all()
    assert (louder != clean)[clean == 0].mean() == pytest.approx(0.05, abs=0.005)
