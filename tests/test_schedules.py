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


def after(*losses):
    return list(enumerate(losses, start=1))


def test_a_loss_has_stalled_when_it_had_no_new_minimum_for_so_long():
    assert schedules.stalled(after(3, 2, 1, 1, 1), 3) is None
    assert schedules.stalled(after(3, 2, 1, 1, 1.5, 1), 3) == 6
    assert schedules.stalled(after(3, 2, 1, 2, 0.5, 1, 1), 3) is None
    assert schedules.stalled([], 1) is None
    assert schedules.stalled([(5, 1.0), (10, 2.0), (15, 2.0)], 8) == 15  # validated every five epochs


def test_the_wait_is_counted_anew_after_each_stall():
    losses = after(1, 2, 2, 2, 2, 2)
    assert schedules.stalled(losses, 2, times=1) == 3
    assert schedules.stalled(losses, 2, times=2) == 5
    assert schedules.stalled(losses, 2, times=3) is None
    better_in_between = after(1, 2, 2, 0.5, 2, 2)
    assert schedules.stalled(better_in_between, 2, times=2) == 6


def test_a_share_falls_by_so_much_an_epoch_since_then_and_stays_at_zero():
    assert schedules.fall(100, None, 0.25) == 1
    assert [schedules.fall(epoch, 3, 0.25) for epoch in (3, 4, 6, 7, 20)] == [1, 0.75, 0.25, 0, 0]


def test_the_published_recipe():
    """No new minimum after epoch 5: from 25 on less teacher forcing, from 45 on lower learning rates."""
    losses = after(5, 4, 3, 2, 1, *[1.5] * 95)
    first, second = (schedules.stalled(losses, 20, times) for times in (1, 2))
    assert (first, second) == (25, 45)
    assert schedules.fall(75, first, 0.004) == pytest.approx(0.8)
    assert schedules.staircase(60 - second, 5, 0.98) == pytest.approx(0.98**3)
