"""How near a measured time is to the least time that the machine's memory and arithmetic allow."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Work:
    """The least that a computation can do: bytes read and written, and floating-point operations."""

    bytes: int = 0
    flops: int = 0
    """Multiplications and additions of matrix products; 0 where memory is what counts."""

    def __add__(self, other: Work) -> Work:
        return Work(self.bytes + other.bytes, self.flops + other.flops)


@dataclass(frozen=True)
class Peaks:
    """The measured rates of the machine, in 10^9 a second."""

    gb_per_s: float
    """Of a large copy, counting the bytes read and the bytes written."""
    gflop_per_s: float
    """Of a large matrix product."""


def gb_per_s(work: Work, seconds: float) -> float | None:
    """Bytes moved per second in 10^9; None for work that counts none."""
    return work.bytes / seconds / 1e9 if work.bytes else None


def gflop_per_s(work: Work, seconds: float) -> float | None:
    """Floating-point operations per second in 10^9; None for work that counts none."""
    return work.flops / seconds / 1e9 if work.flops else None


def fraction(work: Work, seconds: float, peaks: Peaks) -> float | None:
    """The least possible time over the measured `seconds`; 1 is as fast as the machine can.

    The least time is that of the slower of the two, memory or arithmetic. It can pass 1 where the data
    fits the caches, which are faster than the memory that the copy was measured on. None for no work.
    """
    least = max(work.bytes / peaks.gb_per_s, work.flops / peaks.gflop_per_s) / 1e9
    return least / seconds if least else None
