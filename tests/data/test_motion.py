"""The published rules, spelt out one object and one coordinate at a time, against the vectorised ones."""

import math

import numpy as np
import pytest

from vidpred.data import motion

FREE = {"razali": 36, "srivastava": 36, "openstl": 36, "svg": 32}


def razali(numbers, frames):
    x, y = 36 * numbers[0], 36 * numbers[1]
    angle = 2 * math.pi * numbers[2]
    speed = [2, 3, 4, 5, 6][int(5 * numbers[3])]
    velocity_x, velocity_y = speed * math.cos(angle), speed * math.sin(angle)
    track = []
    for _ in range(frames):
        track.append((round(x), round(y)))
        if x + velocity_x < -2 or x + velocity_x > 38:
            velocity_x = -velocity_x
        if y + velocity_y < -2 or y + velocity_y > 38:
            velocity_y = -velocity_y
        x, y = x + velocity_x, y + velocity_y
    return track


def srivastava(numbers, frames):
    x, y = numbers[0], numbers[1]  # in units of the free range
    angle = 2 * math.pi * numbers[2]
    velocity_x, velocity_y = math.cos(angle), math.sin(angle)
    track = []
    for _ in range(frames):
        x, y = x + 0.1 * velocity_x, y + 0.1 * velocity_y
        if x <= 0:
            x, velocity_x = 0.0, -velocity_x
        if x >= 1:
            x, velocity_x = 1.0, -velocity_x
        if y <= 0:
            y, velocity_y = 0.0, -velocity_y
        if y >= 1:
            y, velocity_y = 1.0, -velocity_y
        track.append((int(36 * x), int(36 * y)))
    return track


def svg(numbers, frames):
    x, y = int(32 * numbers[0]), int(32 * numbers[1])
    speeds = list(range(-4, 5))
    dx, dy = speeds[int(9 * numbers[2])], speeds[int(9 * numbers[3])]
    track = []
    for t in range(frames):
        fresh = numbers[4 + 4 * t : 8 + 4 * t]
        if y < 0:
            y, dy, dx = 0, 1 + int(4 * fresh[0]), speeds[int(9 * fresh[1])]
        elif y >= 32:
            y, dy, dx = 31, -1 - int(4 * fresh[0]), speeds[int(9 * fresh[1])]
        if x < 0:
            x, dx, dy = 0, 1 + int(4 * fresh[2]), speeds[int(9 * fresh[3])]
        elif x >= 32:
            x, dx, dy = 31, -1 - int(4 * fresh[2]), speeds[int(9 * fresh[3])]
        track.append((x, y))
        x, y = x + dx, y + dy
    return track


RULES = {"razali": razali, "srivastava": srivastava, "openstl": srivastava, "svg": svg}


def numbers_for(name, objects, frames, seed=0):
    return np.random.default_rng(seed).random((objects, motion.draws(name, frames)))


@pytest.mark.parametrize("name", RULES)
def test_objects_follow_the_published_rule(name):
    frames = 60
    numbers = numbers_for(name, 300, frames)
    tracks = motion.track(name, numbers, frames, FREE[name], acceleration=0.0)
    for drawn, row in zip(tracks.tolist(), numbers.tolist(), strict=True):
        # The first number is the direction of the acceleration, which the publications do not have.
        assert [tuple(pixel) for pixel in drawn] == RULES[name](row[1:], frames)


@pytest.mark.parametrize("name", RULES)
def test_objects_bounce_and_stay_within_the_overhang(name):
    frames = 100
    tracks = motion.track(name, numbers_for(name, 500, frames), frames, FREE[name], 0.0)
    assert tracks.min() >= -motion.overhang(name, FREE[name])
    assert tracks.max() <= FREE[name] + motion.overhang(name, FREE[name])
    steps = np.sign(np.diff(tracks[..., 0]))
    assert ((steps > 0).any(axis=1) & (steps < 0).any(axis=1)).mean() > 0.8


def test_razali_objects_overhang_the_edge_by_two_pixels_and_no_more():
    tracks = motion.track("razali", numbers_for("razali", 500, 50), 50, 36, 0.0)
    assert tracks.min() == -2
    assert tracks.max() == 38


@pytest.mark.parametrize("name", ["razali", "srivastava"])
@pytest.mark.parametrize("free", [16, 72, 100])
def test_other_sizes_move_the_same_way_relative_to_the_free_range(name, free):
    numbers = numbers_for(name, 200, 40)
    published = motion.track(name, numbers, 40, FREE[name], 0.0)
    scaled = motion.track(name, numbers, 40, free, 0.0)
    # Both are whole pixels, so they agree to one pixel of the coarser of the two.
    assert np.abs(scaled / free - published / FREE[name]).max() <= 1 / free + 1 / FREE[name]


@pytest.mark.parametrize("name", ["razali", "srivastava", "svg"])
def test_acceleration_changes_the_velocity_by_a_constant(name):
    # A large free range lets whole pixels resolve the acceleration.
    free, acceleration, frames = 100_000, 40.0, 6
    numbers = numbers_for(name, 1000, frames)
    tracks = motion.track(name, numbers, frames, free, acceleration)
    velocities = np.diff(tracks, axis=1)
    changes = np.diff(velocities, axis=1)  # (n, frames - 2, 2)
    direction = 2 * np.pi * numbers[:, 0]
    expected = acceleration * np.stack([np.cos(direction), np.sin(direction)], axis=1)
    # Objects that stay away from the edges do not bounce.
    inside = (tracks.min(axis=(1, 2)) > 0.2 * free) & (tracks.max(axis=(1, 2)) < 0.8 * free)
    assert inside.sum() > 20
    assert np.abs(changes - expected[:, None])[inside].max() <= 2.0  # rounding to whole pixels


def test_a_large_acceleration_keeps_objects_in_the_frame():
    for name, free in FREE.items():
        tracks = motion.track(name, numbers_for(name, 100, 50), 50, free, acceleration=20.0)
        assert tracks.min() >= -motion.overhang(name, free)
        assert tracks.max() <= free + motion.overhang(name, free)
