import pytest

from vidpred.benchmarking.timer import Timing, clock_seconds, interleaved_medians, interleaved_timings


class Clock:
    """A clock that only moves when told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_clock_seconds_is_the_time_between_before_and_after():
    clock = Clock()

    def call() -> None:
        clock.now += 0.25

    assert clock_seconds(call, clock) == 0.25


def _timed(variants, inputs, *, budget, **limits):
    """Runs `interleaved_medians` with variants that return how long they pretend to have taken."""
    return interleaved_medians(variants, inputs, lambda call: call(), budget=budget, **limits)


def test_the_median_ignores_warm_up_and_a_disturbed_round():
    seconds = iter([50.0, 50.0, 1.0, 2.0, 900.0, 3.0, 2.5])
    assert _timed({"a": lambda _: next(seconds)}, [None], budget=0.0) == {"a": 2.5}


def test_variants_take_turns_and_each_round_has_one_of_the_inputs():
    calls = []

    def variant(name):
        return lambda value: calls.append((name, value)) or 1.0

    _timed({"a": variant("a"), "b": variant("b")}, [10, 20, 30], budget=0.0, least=2)
    assert calls == [("a", 10), ("b", 10), ("a", 20), ("b", 20), ("a", 30), ("b", 30), ("a", 10), ("b", 10)]


@pytest.mark.parametrize(
    ("budget", "rounds"),
    [(0.0, 3), (9.5, 5), (1e9, 7)],
    ids=["at least", "until the budget is spent", "at most"],
)
def test_rounds_end_with_the_budget_but_never_below_least_nor_above_most(budget, rounds):
    calls = []
    # Two variants of one second each: a round spends two.
    variants = {name: lambda _: calls.append(1) or 1.0 for name in "ab"}
    _timed(variants, [None], budget=budget, least=3, most=7)
    warm_up = 2
    assert len(calls) == 2 * (warm_up + rounds)


def test_the_spread_is_that_of_the_middle_half_of_the_rounds():
    seconds = iter([50.0, 50.0, 1.0, 2.0, 900.0, 3.0, 4.0])
    timings = interleaved_timings({"a": lambda _: next(seconds)}, [None], lambda call: call(), budget=0.0)
    assert timings == {"a": Timing(median=3.0, low=2.0, high=4.0)}


def test_a_single_round_has_no_spread():
    timings = interleaved_timings({"a": lambda _: 1.5}, [None], lambda call: call(), budget=0.0, least=1)
    assert timings == {"a": Timing(1.5, 1.5, 1.5)}
