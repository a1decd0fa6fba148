"""Finds and loads the compiled kernels, `vidpred/_C.so`, and decides which backend the ops use.

The environment variable ``VIDPRED_BACKEND`` picks it: ``native`` (the kernels) or ``reference`` (plain
torch). Unset, it is native where the kernels are built, else the reference, with one line that says why.
"""

from __future__ import annotations

import ctypes
import json
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from vidpred.errors import ConfigError, unknown_name

_LIBRARY = Path(__file__).parents[1] / "_C.so"
_BACKENDS = ("native", "reference")
_INSTRUCTION_SETS = ("baseline", "avx2", "avx512")


def _load() -> tuple[dict[str, Any], str | None]:
    """Loads the library; returns what it says of itself, and why there is none (None if there is)."""
    if not _LIBRARY.exists():
        return {}, "the kernels are not built; 'make setup' builds them where there is a C++ compiler"
    try:
        torch.ops.load_library(str(_LIBRARY))
    except OSError as error:
        return {}, f"the kernels do not load with torch {torch.__version__}: {str(error).splitlines()[0]}"
    describe = ctypes.CDLL(str(_LIBRARY)).vidpred_build_info
    describe.restype = ctypes.c_char_p
    return json.loads(describe()), None


def _choose() -> str:
    """The backend that the environment asks for, or the best there is."""
    asked = os.environ.get("VIDPRED_BACKEND")
    if asked is None:
        if _reason:
            logging.getLogger("vidpred").warning("vidpred runs on plain torch: %s", _reason)
        return "reference" if _reason else "native"
    if asked not in _BACKENDS:
        raise unknown_name("VIDPRED_BACKEND", asked, _BACKENDS)
    if asked == "native" and _reason:
        raise ConfigError(f"VIDPRED_BACKEND=native cannot be had: {_reason}")
    return asked


def _check_instruction_set() -> None:
    """Raises `ConfigError` if ``VIDPRED_CPU`` asks for what this build or this CPU does not have."""
    asked = os.environ.get("VIDPRED_CPU")
    if asked is None or _reason:
        return
    if asked not in _INSTRUCTION_SETS:
        raise unknown_name("VIDPRED_CPU", asked, _INSTRUCTION_SETS)
    if asked != _facts["cpu_capability"]:
        raise ConfigError(f"VIDPRED_CPU={asked} cannot be had: the best here is {_facts['cpu_capability']}")


_facts, _reason = _load()
_check_instruction_set()
_backend = _choose()
_native_devices = () if _reason else ("cpu", "cuda") if _facts["cuda_architectures"] else ("cpu",)


def loaded() -> bool:
    """Whether the kernels are there, in use or not: only then do the operators `torch.ops.vidpred` exist."""
    return _reason is None


def backend() -> str:
    """``"native"`` or ``"reference"``: what the ops run on."""
    return _backend


@contextmanager
def use_backend(name: str) -> Iterator[None]:
    """Runs the ops on the backend `name` within a ``with`` block, in all threads.

    Raises:
        ConfigError: `name` is unknown, or is ``"native"`` and the kernels are not built.
    """
    global _backend
    if name not in _BACKENDS:
        raise unknown_name("backend", name, _BACKENDS)
    if name == "native" and _reason:
        raise ConfigError(f"the native backend cannot be had: {_reason}")
    before, _backend = _backend, name
    try:
        yield
    finally:
        _backend = before


def serves(device_type: str) -> bool:
    """Whether the ops run on compiled kernels for tensors on ``device_type`` (``"cpu"``, ``"cuda"``, ...)."""
    return _backend == "native" and device_type in _native_devices


def cpu_capability() -> str:
    """The instruction set of the CPU kernels: ``baseline``, ``avx2`` or ``avx512``; ``none`` without them."""
    return str(_facts.get("cpu_capability", "none"))


def build_info() -> dict[str, Any]:
    """What was compiled in.

    Returns:
        ``native``: whether the kernels are built and load; ``reason``: why not, or None;
        ``cuda_architectures``: such as ``["sm_90", "compute_90"]``, empty without CUDA kernels;
        ``cpu_capability``: see `cpu_capability`; ``compiler``: name and version of the compilers, or None.
    """
    return {
        "native": _reason is None,
        "reason": _reason,
        "cuda_architectures": _facts.get("cuda_architectures", []),
        "cpu_capability": cpu_capability(),
        "compiler": _facts.get("compiler"),
    }
