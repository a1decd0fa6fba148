"""Tables of numbers that are printed in a terminal and written to Markdown files alike."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Group


@dataclass(frozen=True)
class Table:
    """A title, named columns and rows of texts; the first column is to the left, the others to the right."""

    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    note: str = ""

    def rich(self) -> Group:
        """For a terminal: title, table and note one below the other."""
        from rich.box import SIMPLE_HEAD
        from rich.console import Group
        from rich.table import Table as RichTable
        from rich.text import Text

        table = RichTable(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
        for number, name in enumerate(self.header):
            table.add_column(name, justify="right" if number else "left")
        for row in self.rows:
            table.add_row(*row)
        return Group(Text(self.title, style="bold"), table, Text(self.note + "\n", style="dim"))

    def markdown(self) -> str:
        """As a section of a Markdown file."""
        lines = [
            f"## {self.title}",
            "",
            _line(self.header),
            _line(["---", *["---:"] * (len(self.header) - 1)]),
            *map(_line, self.rows),
        ]
        return "\n".join([*lines, *(["", self.note] if self.note else []), ""])


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
