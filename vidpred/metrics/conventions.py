"""The named conventions under which the same predictions are scored.

Published projects disagree on the data range, the window and the rounding of SSIM and PSNR, so a score
means something only together with the convention it was made by.
"""

from __future__ import annotations

from vidpred.errors import unknown_name

CONVENTIONS = ("strict",)
"""``strict``: the definitions of the papers that introduced the metrics, on floating point in [0, 1]."""


def check_convention(name: str) -> None:
    """Raises `ConfigError` with the choices unless `name` is one of `CONVENTIONS`."""
    if name not in CONVENTIONS:
        raise unknown_name("convention", name, CONVENTIONS)
