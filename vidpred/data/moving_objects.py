"""Sequences of bouncing objects: moving MNIST and moving shapes, made from nothing but numbers.

Sequence i of a split depends only on the specification, the seed, the split and i. It is the same whether
it is written to a file by any number of workers or made on the fly in training.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from vidpred.data import digits, drawing, motion, shapes
from vidpred.data.randomness import SPLITS, check_seed, uniforms
from vidpred.errors import ConfigError, unknown_name


class MovingSpec(BaseModel):
    """What the sequences look like; frozen. A wrong value raises `ConfigError`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["mmnist", "shapes"] = "mmnist"
    """Grey digits, or squares, circles and triangles in colour."""
    size: int = Field(64, gt=0)
    """Side of a frame in pixels."""
    digit_size: int = Field(28, gt=0)
    """Side of an object in pixels; digits of another size are resized. Left out, it is as published with
    the motion: 28, and 32 for svg."""
    frames: int = Field(20, gt=0)
    objects: int = Field(2, ge=1, le=4)
    motion: Literal["razali", "srivastava", "openstl", "svg"] = "razali"
    """The published rule to follow, see `vidpred.data.motion`."""
    acceleration: float = Field(0.0, ge=0, allow_inf_nan=False)
    """Pixels per frame^2; every object has its own constant direction (seed 001, section 5.3, asks for data
    with changing velocity)."""
    digits: str = "auto"
    """Where the digits come from, see `vidpred.data.digits`; not used by shapes."""
    overlap: Literal["max", "add"] = "max"
    """Where digits overlap, the brighter or the sum clipped to white; a shape always hides earlier ones."""

    def __init__(self, **values: Any) -> None:
        try:
            super().__init__(**values)
        except ValidationError as error:
            first = error.errors()[0]
            name = ".".join(str(part) for part in first["loc"])
            message = first["msg"].removeprefix("Value error, ")
            found = f", got {first['input']!r}" if name else ""
            raise ConfigError(
                f"{name}: {message[:1].lower()}{message[1:]}{found}".removeprefix(": ")
            ) from None

    @model_validator(mode="before")
    @classmethod
    def _take_the_published_digit_size(cls, values: dict[str, Any]) -> dict[str, Any]:
        published = motion.MOTIONS.get(values.get("motion", ""))
        return values if published is None else {"digit_size": published.digit_size} | values

    @model_validator(mode="after")
    def _leave_room_to_move(self) -> MovingSpec:
        if self.digit_size >= self.size:
            raise ValueError(f"digit_size must be smaller than size {self.size}, got {self.digit_size}")
        return self

    @property
    def channels(self) -> int:
        """Channels of a frame."""
        return 3 if self.kind == "shapes" else 1

    @property
    def frame_shape(self) -> tuple[int, int, int, int]:
        """(T, C, H, W) of a sequence."""
        return (self.frames, self.channels, self.size, self.size)


@dataclass(frozen=True)
class Sequences:
    """n sequences and the truth about them.

    Attributes:
        frames: (n, T, C, H, W) uint8.
        labels: (n, objects) uint8 class of each object, or None if the digit source has no classes.
        positions: (n, T, objects, 2) int16 pixel (x, y) of the top left corner of each object.
        object_ids: (n, objects) int32 number of each digit in its source file; None for shapes.
    """

    frames: NDArray[np.uint8]
    labels: NDArray[np.uint8] | None
    positions: NDArray[np.int16]
    object_ids: NDArray[np.int32] | None


_CHOICE, _COLOUR, _MOTION = 0, slice(1, 4), slice(4, None)
"""Which of an object's uniform numbers choose its picture, its colour and its motion."""


class MovingObjects:
    """The sequences of one split.

    Attributes:
        files: name -> sha256 of the files the objects' pictures came from.
    """

    files: Mapping[str, str]

    def __init__(self, spec: MovingSpec, split: str, seed: int) -> None:
        """Reads the pictures of the objects.

        Raises:
            ConfigError: an unknown split or a seed out of range.
            DataError: no digits.
        """
        if split not in SPLITS:
            raise unknown_name("split", split, SPLITS)
        check_seed(seed)
        self.spec = spec
        self._split = split
        self._seed = seed
        self._labels: NDArray[np.uint8] | None
        self._ids: NDArray[np.int32] | None
        if spec.kind == "shapes":
            self._pictures = shapes.pictures(spec.digit_size)
            self._labels = np.arange(len(self._pictures), dtype=np.uint8)
            self._ids = None
            self._blend: drawing.Blend = drawing.painter
            self.files = {}
        else:
            source = digits.load(spec.digits)
            glyphs = source.split(split)
            self._pictures = _digit_pictures(spec.digits, split == "test", spec.digit_size)
            self._labels = glyphs.labels
            self._ids = glyphs.ids
            self._blend = drawing.brighter if spec.overlap == "max" else drawing.clipped_sum
            self.files = source.files

    @property
    def has_labels(self) -> bool:
        """Whether the classes of the objects are known."""
        return self._labels is not None

    def sequences(self, indices: NDArray[np.int64]) -> Sequences:
        """The sequences with these numbers, (n,) with any n."""
        spec = self.spec
        free = spec.size - spec.digit_size
        per_object = _MOTION.start + motion.draws(spec.motion, spec.frames)
        chance = uniforms(self._seed, self._split, indices, spec.objects * per_object)
        chance = chance.reshape(len(indices) * spec.objects, per_object)

        choice = np.floor(len(self._pictures) * chance[:, _CHOICE]).astype(np.int64)
        choice = choice.reshape(len(indices), spec.objects)
        if spec.kind == "shapes":
            colours = np.floor(256 * chance[:, _COLOUR]).astype(np.uint8)
        else:
            colours = np.full((len(chance), 1), 255, np.uint8)
        tracks = motion.track(spec.motion, chance[:, _MOTION], spec.frames, free, spec.acceleration)
        positions = tracks.reshape(len(indices), spec.objects, spec.frames, 2).swapaxes(1, 2)
        frames = drawing.draw(
            self._pictures[choice],
            colours.reshape(len(indices), spec.objects, spec.channels),
            positions,
            spec.size,
            motion.overhang(spec.motion, free),
            self._blend,
        )
        return Sequences(
            frames,
            None if self._labels is None else self._labels[choice],
            positions.astype(np.int16),
            None if self._ids is None else self._ids[choice],
        )


@functools.lru_cache(maxsize=4)
def _digit_pictures(source: str, test: bool, side: int) -> NDArray[np.uint8]:
    """The digits (M, side, side): resized bilinearly as in Denton and Fergus, antialiased if they shrink."""
    images = digits.load(source).split("test" if test else "train").images
    if images.shape[1:] == (side, side):
        return images
    pictures = (Image.fromarray(image) for image in images)
    return np.stack([np.asarray(one.resize((side, side), Image.Resampling.BILINEAR)) for one in pictures])
