"""What a person sees while training: a live line, and one line for every validation."""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType

from vidpred.progress import progress_bar

HIDDEN = ("loss", "grad_norm")
"""Left to metrics.jsonl: a terminal has room for the terms of the loss and the speed."""


class Display:
    """A progress bar that counts steps, or seconds where only a time limit is set.

    Args:
        total: steps or seconds until the end; None when training runs until it is interrupted.
        done: how many of them are behind us already (a resumed run).
        quiet: show nothing.
    """

    def __init__(self, total: float | None, done: float, *, quiet: bool) -> None:
        self._bar = progress_bar(quiet=quiet)
        self._task = self._bar.add_task("training", total=total, note="")
        self._bar.update(self._task, completed=done)

    def __enter__(self) -> Display:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def update(self, done: float, epoch: int, values: Mapping[str, float]) -> None:
        """Moves the bar to `done` and shows the latest values beside it."""
        shown = {name: value for name, value in values.items() if name not in HIDDEN}
        self._bar.update(self._task, completed=done, description=f"epoch {epoch}", note=describe(shown))

    def say(self, sentence: str) -> None:
        """Prints a line that stays, above the bar."""
        if not self._bar.disable:
            self._bar.console.print(sentence, highlight=False, soft_wrap=True)


def describe(values: Mapping[str, float]) -> str:
    """``{"bce": 101.32, "frames_per_s": 812.4}`` -> ``bce 101.3  frames/s 812``."""
    return "  ".join(f"{name.replace('_per_', '/')} {_short(value)}" for name, value in values.items())


def _short(value: float) -> str:
    return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.4g}"
