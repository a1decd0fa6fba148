from rich.console import Console

from vidpred.viz.table import Table

TABLE = Table("Errors", ["", "a | b", "c"], [["x", "1.0", "2.0"], ["y", "3.0", ""]], "Nats.")


def test_markdown_has_a_line_for_every_row():
    assert TABLE.markdown().splitlines() == [
        "## Errors",
        "",
        "|  | a \\| b | c |",
        "| --- | ---: | ---: |",
        "| x | 1.0 | 2.0 |",
        "| y | 3.0 |  |",
        "",
        "Nats.",
    ]


def test_the_terminal_shows_the_same():
    console = Console(width=60)
    with console.capture() as capture:
        console.print(TABLE.rich())
    printed = capture.get()
    for text in ("Errors", "a | b", "3.0", "Nats."):
        assert text in printed
