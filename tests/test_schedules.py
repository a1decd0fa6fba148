"""Schedules at the points where their value is known."""

import pytest

from vidpred import schedules


def test_warmup_reaches_one_and_stays() -> None:
    assert [schedules.warmup(step, 4) for step in range(6)] == [0.25, 0.5, 0.75, 1, 1, 1]
    assert schedules.warmup(0, 0) == 1


def test_cosine_falls_from_one_through_the_middle_to_the_floor() -> None:
    assert schedules.cosine(0, 100, 0.2) == 1
    assert schedules.cosine(50, 100, 0.2) == pytest.approx(0.6)
    assert schedules.cosine(100, 100, 0.2) == pytest.approx(0.2)
    assert schedules.cosine(500, 100, 0.2) == pytest.approx(0.2)


def test_the_staircase_drops_after_every_so_many_steps() -> None:
    assert [schedules.staircase(step, 2, 0.5) for step in range(5)] == [1, 1, 0.5, 0.5, 0.25]


def test_a_ramp_rises_to_one_and_stays():
    assert [schedules.ramp(step, 4) for step in (0, 1, 2, 4, 9)] == [0, 0.25, 0.5, 1, 1]
