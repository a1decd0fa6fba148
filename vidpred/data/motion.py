"""How the objects move: the rules of the published bouncing-digit generators.

A rule works in the pixels of its publication, where the top left corner of an object moves in a square
of `Motion.range` pixels (36 for 28-pixel digits in 64-pixel frames). For other sizes the track is scaled
to the free range ``size - digit_size``, so that an object crosses the frame in the published number of
frames whatever the resolution.

All tracks are (n, T, 2) with n objects; the last axis is (x, y), x to the right and y down.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Motion:
    """One published rule.

    Attributes:
        rule: (uniforms (n, draws), accelerations (n, 2), frames) -> track (n, T, 2), published pixels.
        draws: number of frames -> how many uniform numbers the rule uses per object.
        to_pixel: how a position becomes the pixel the object is drawn at.
        range: published free range in pixels.
        digit_size: published side of an object in pixels.
        overhang: how far an object may leave the frame, in published pixels.
    """

    rule: Callable[[Floats, Floats, int], Floats]
    draws: Callable[[int], int]
    to_pixel: Callable[[Floats], Floats]
    range: int
    digit_size: int
    overhang: int = 0


def track(motion: str, uniforms: Floats, frames: int, free: int, acceleration: float) -> NDArray[np.int64]:
    """The pixels at which the top left corners of n objects are drawn.

    Args:
        motion: a name in `MOTIONS`.
        uniforms: (n, draws(motion, frames)) in [0, 1).
        free: size - digit_size of the frames to draw, in pixels, > 0.
        acceleration: size of the constant acceleration of every object, pixels of these frames / frame^2;
            each object has its own direction, uniform on the circle.

    Returns:
        (n, frames, 2) whole pixels (x, y), from -overhang(motion, free) to free + overhang(motion, free).
    """
    published = MOTIONS[motion]
    scale = free / published.range
    accelerations = acceleration / scale * _unit_vectors(uniforms[:, 0])
    positions = published.rule(uniforms[:, 1:], accelerations, frames)
    return published.to_pixel(scale * positions).astype(np.int64)


def draws(motion: str, frames: int) -> int:
    """How many uniform numbers `track` needs per object."""
    return 1 + MOTIONS[motion].draws(frames)


def overhang(motion: str, free: int) -> int:
    """How many pixels an object may leave the frame, for a free range of `free` pixels."""
    published = MOTIONS[motion]
    return math.ceil(published.overhang * free / published.range)


def _razali(uniforms: Floats, accelerations: Floats, frames: int) -> Floats:
    """Seed 000, section 4.2, and the generator published with it.

    The start is uniform over the free range and is the first frame. The direction is uniform on the circle,
    the speed 2, 3, 4, 5 or 6 pixels a frame. Where the next step would leave the free range by more than
    2 pixels, that component of the velocity is reversed before the step is made, so an object may overhang
    the edge by up to 2 pixels.
    """
    free, margin = 36.0, 2.0
    position = free * uniforms[:, 0:2]
    speed = 2 + np.floor(5 * uniforms[:, 3:4])
    velocity = speed * _unit_vectors(uniforms[:, 2])
    positions = np.empty((len(uniforms), frames, 2))
    for t in range(frames):
        positions[:, t] = position
        velocity = velocity + accelerations
        ahead = position + velocity
        velocity = np.where((ahead < -margin) | (ahead > free + margin), -velocity, velocity)
        # The published speeds never need the clip; a large acceleration may.
        position = np.clip(position + velocity, -margin, free + margin)
    return positions


def _srivastava(uniforms: Floats, accelerations: Floats, frames: int) -> Floats:
    """Srivastava, Mansimov, Salakhutdinov, "Unsupervised learning of video representations", 2015.

    The start is uniform over the free range, the direction uniform on the circle, the speed a tenth of the
    range a frame (3.6 pixels). The first frame comes after one step. An object that reaches an edge is put
    on the edge and that component of its velocity is reversed. OpenSTL's generator follows the same rule.
    """
    free = 36.0
    position = free * uniforms[:, 0:2]
    velocity = 0.1 * free * _unit_vectors(uniforms[:, 2])
    positions = np.empty((len(uniforms), frames, 2))
    for t in range(frames):
        velocity = velocity + accelerations
        position = position + velocity
        velocity = np.where((position <= 0) | (position >= free), -velocity, velocity)
        position = np.clip(position, 0, free)
        positions[:, t] = position
    return positions


_SVG_DRAWS_PER_FRAME = 4


def _svg(uniforms: Floats, accelerations: Floats, frames: int) -> Floats:
    """Denton and Fergus, "Stochastic video generation with a learned prior", 2018: stochastic bounces.

    Start and velocity are whole pixels, 0..31 and -4..4 per axis; the start is the first frame. An object
    beyond an edge (below 0, or at 32 and above) is put on 0 or 31, leaves the edge with a new speed of 1..4
    and gets a new velocity of -4..4 along the edge. y is looked at before x, so in a corner the new y
    velocity is drawn over by the bounce in x.
    """
    free = 32
    position = np.floor(free * uniforms[:, 0:2])
    velocity = np.floor(9 * uniforms[:, 2:4]) - 4
    fresh = uniforms[:, 4:].reshape(len(uniforms), frames, _SVG_DRAWS_PER_FRAME)
    positions = np.empty((len(uniforms), frames, 2))
    for t in range(frames):
        for axis, along, first in ((1, 0, 0), (0, 1, 2)):  # y before x
            below = position[:, axis] < 0
            beyond = position[:, axis] >= free
            away = 1 + np.floor(4 * fresh[:, t, first])
            sideways = np.floor(9 * fresh[:, t, first + 1]) - 4
            position[below, axis] = 0
            position[beyond, axis] = free - 1
            velocity[:, axis] = np.select([below, beyond], [away, -away], velocity[:, axis])
            velocity[:, along] = np.where(below | beyond, sideways, velocity[:, along])
        positions[:, t] = position
        velocity = velocity + accelerations
        position = position + velocity
    return positions


def _unit_vectors(uniforms: Floats) -> Floats:
    """(n,) in [0, 1) -> (n, 2) uniform on the unit circle."""
    angle = 2 * np.pi * uniforms
    return np.stack([np.cos(angle), np.sin(angle)], axis=-1)


_BY_SRIVASTAVA = Motion(_srivastava, lambda frames: 3, np.floor, range=36, digit_size=28)

MOTIONS = {
    "razali": Motion(_razali, lambda frames: 4, np.rint, range=36, digit_size=28, overhang=2),
    "srivastava": _BY_SRIVASTAVA,
    "openstl": _BY_SRIVASTAVA,
    "svg": Motion(_svg, lambda frames: 4 + _SVG_DRAWS_PER_FRAME * frames, np.rint, range=32, digit_size=32),
}
