"""One look for every progress bar: what, how far, how much longer, and a note."""

from __future__ import annotations

from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Column


class _Bar(Progress):
    """A display that disappears where the work ends in an error, whose sentence then stands alone."""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if error is None:
            self.stop()
        else:
            self.live.transient = True
            self.live.stop()


def progress_bar(*, quiet: bool = False, steady_over: float = 30.0) -> Progress:
    """A rich progress display on stderr with an estimate of the time left; nothing when `quiet`.

    Every task has the field ``note``, which gives way where the terminal is narrow. On something that is
    not a terminal (a log file, CI) only the final state is printed, and none after an error. The time left
    is estimated from the last `steady_over` seconds.
    """
    return _Bar(
        TextColumn("{task.description}", table_column=Column(no_wrap=True)),
        BarColumn(bar_width=10, table_column=Column(min_width=10)),
        MofNCompleteColumn(table_column=Column(no_wrap=True, min_width=9, justify="right")),
        TimeRemainingColumn(compact=True, table_column=Column(no_wrap=True, min_width=5)),
        TextColumn("{task.fields[note]}", table_column=Column(no_wrap=True, overflow="ellipsis", ratio=1)),
        console=Console(stderr=True),
        expand=True,
        disable=quiet,
        speed_estimate_period=steady_over,
    )
