import pytest

from vidpred.benchmarking import roofline_plot
from vidpred.benchmarking.rows import Report, Row
from vidpred.viz.roofline import Dot, Line, Roofs

MACHINE = {
    "gpu": None,
    "cpu": "a cpu",
    "threads": 2,
    "torch": "2.13.0",
    "inputs": "warm",
    "copy_gb_per_s": 40.0,
    "matrix_product_gflop_per_s_by_dtype": {"float32": 190.0},
}


def _row(stage, variant, fraction, gflop_per_s=None):
    return Row(
        "an op", stage, (2, 3), "float32", "cpu", variant,
        ms=1.0, gb_per_s=5.0, gflop_per_s=gflop_per_s, fraction_of_roofline=fraction, layer="a layer",
    )  # fmt: skip


@pytest.fixture
def drawn(monkeypatch):
    calls = []
    monkeypatch.setattr(roofline_plot, "write_roofline", lambda *given: calls.append(given))

    def draw(rows):
        roofline_plot.write_plot("x.png", Report(MACHINE, rows))
        return calls[-1]

    return draw


def test_a_case_is_a_line_with_its_passes(drawn):
    rows = [
        _row("forward", "native", 0.75, gflop_per_s=100.0),
        _row("forward", "eager", 0.5, gflop_per_s=60.0),
        _row("forward", "compile", 0.6, gflop_per_s=70.0),
        _row("forward+backward", "native", 0.25),
    ]
    path, lines, roofs, passes, title = drawn(rows)
    assert (path, passes) == ("x.png", ("forward", "forward+backward"))
    native = {"forward": Dot(0.75, intensity=20.0, gflop_per_s=100.0), "forward+backward": Dot(0.25)}
    eager = {"forward": Dot(0.5, intensity=12.0, gflop_per_s=60.0)}
    assert lines == [Line("an op  2x3  a layer", native, eager)]
    assert roofs == Roofs(40.0, {"float32": 190.0})
    assert title == "vidpred bench kernels: a cpu, 2 threads, torch 2.13.0, warm inputs"


def test_a_replay_counts_more_than_a_call_and_a_row_without_work_not_at_all(drawn):
    rows = [_row("forward", "native", 0.2), _row("forward, graph replay", "native", 0.8)]
    assert drawn([*rows, _row("forward", "eager", None)])[1] == [
        Line("an op  2x3  a layer", {"forward": Dot(0.8)}, {})
    ]
