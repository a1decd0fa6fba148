"""PyAV, which reads and writes video files and is not among the required packages."""

from __future__ import annotations

from typing import Any

from vidpred.errors import ConfigError


def load_av() -> Any:
    """The module ``av``. Raises `ConfigError` where it is not installed."""
    try:
        import av
    except ImportError as error:
        raise ConfigError(
            "video files are read and written with PyAV, which is missing: pip install 'vidpred[video]'"
        ) from error
    return av
