"""What the commands do about glibc's malloc, whose defaults make large temporaries expensive.

By default glibc takes every block over a threshold (at most 32 MiB) from the kernel and gives it back as
soon as it is freed, so each temporary of a training step is paid for again in page faults, which can cost
more than the arithmetic. Backward passes run in threads with heaps of their own, which shrink in the
same way.
"""

from __future__ import annotations

import ctypes
import os

from vidpred.errors import unknown_name

# Parameter numbers of mallopt, from glibc's malloc.h.
_M_TRIM_THRESHOLD = -1
_M_MMAP_MAX = -4
_M_ARENA_MAX = -8

_SETTINGS = (
    (_M_MMAP_MAX, 0),  # large blocks come from the heap too, not from mmap
    (_M_TRIM_THRESHOLD, -1),  # the top of the heap never goes back to the kernel
    (_M_ARENA_MAX, 1),  # new threads share this heap, so that one thread reuses what another freed
)


def keep_freed_memory() -> str:
    """Makes this process keep the memory it frees, for reuse, until it ends.

    The price is that the process stays at its peak size. Call it before the first large allocation and
    before threads start. It does nothing where the C library is not glibc, nor with
    ``VIDPRED_MALLOC=system`` (the other value is ``keep``, the default).

    Measured (benchmarks/results/allocator-amd-epyc-2-cores.json): a small convolutional training step takes
    181 ms instead of 396; plain-torch LSTM gates, in blocks that stay under the threshold, are as fast.

    Returns:
        One phrase for a log or a table that says what was done.

    Raises:
        ConfigError: ``VIDPRED_MALLOC`` is neither of the two.
    """
    choice = os.environ.get("VIDPRED_MALLOC", "keep")
    if choice not in ("keep", "system"):
        raise unknown_name("VIDPRED_MALLOC", choice, ("keep", "system"))
    if choice == "system":
        return "system default (VIDPRED_MALLOC=system)"
    version = _glibc_version()
    if version is None:
        return "system default (not glibc)"
    mallopt = ctypes.CDLL(None).mallopt
    if not all(mallopt(parameter, value) for parameter, value in _SETTINGS):
        return f"system default ({version} refused mallopt)"
    return f"{version}, freed memory kept"


def _glibc_version() -> str | None:
    try:
        return os.confstr("CS_GNU_LIBC_VERSION")
    except (AttributeError, ValueError):  # Windows has no confstr; other C libraries lack the name
        return None
