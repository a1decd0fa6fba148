import pytest
import torch

from vidpred.benchmarking.kernels import lstm_gates, suite
from vidpred.benchmarking.kernels.case import Case
from vidpred.benchmarking.roofline import Peaks, Work
from vidpred.benchmarking.rows import Row, Skipped

PEAKS = Peaks(gb_per_s=20.0, gflop_per_s=100.0)
CPU = torch.device("cpu")


def _case(**variants):
    """y = x^2 over 1,000 numbers: its gradient is 2 x dy."""
    square = {"native": lambda values: (values[0] ** 2,), "eager": lambda values: (values[0] ** 2,)}
    return Case(
        name="square",
        shape=(1000,),
        dtype=torch.float32,
        inputs={"x": (1000,)},
        variants=square | variants,
        forward=Work(bytes=8_000),
        backward=Work(bytes=12_000),
    )


def _run(case, **options):
    return list(suite.run_case(case, CPU, PEAKS, **{"cold": False, "budget": 0.0} | options))


@pytest.fixture(autouse=True)
def _no_compiler(monkeypatch):
    """Compiles nothing, in no time, and pretends that the extension is there."""
    monkeypatch.setattr(torch, "compile", lambda function, **_: function)
    monkeypatch.setattr(suite, "why_no_kernels", lambda _: None)


def test_every_variant_is_timed_forward_and_with_backward():
    rows = _run(_case())
    assert [(row.stage, row.variant) for row in rows] == [
        (stage, variant)
        for stage in ("forward", "forward+backward")
        for variant in ("native", "eager", "compile")
    ]
    assert all(row.speedup_vs_eager == 1.0 for row in rows if row.variant == "eager")
    assert all(row.ms > 0 and row.speedup_vs_naive is None for row in rows)


def test_rates_count_the_bytes_of_the_pass():
    for row in _run(_case()):
        moved = 8_000 if row.stage == "forward" else 20_000
        assert row.gb_per_s == pytest.approx(moved / (row.ms * 1e-3) / 1e9)
        assert row.fraction_of_roofline == pytest.approx(row.gb_per_s / PEAKS.gb_per_s)


def test_the_error_is_that_of_the_variant_against_float64():
    rows = _run(_case(native=lambda values: (values[0] ** 2 + 0.5,)))
    errors = {row.variant: row.max_error for row in rows if row.stage == "forward"}
    assert errors["native"] == pytest.approx(0.5, abs=1e-5)
    assert errors["eager"] < 1e-5


def test_a_wrong_gradient_shows_in_the_error():
    def wrong(values):
        return (values[0] * values[0].detach(),)  # gradient x dy instead of 2 x dy

    rows = _run(_case(naive=wrong))
    errors = {row.variant: row.max_error for row in rows if row.stage == "forward+backward"}
    assert errors["naive"] > 0.1
    assert errors["native"] < 1e-5


def test_speedup_is_measured_against_a_naive_variant_where_there_is_one():
    rows = _run(_case(naive=lambda values: (values[0] * values[0],)))
    assert {row.speedup_vs_naive for row in rows if row.variant == "naive"} == {1.0}
    assert all(row.speedup_vs_naive for row in rows)


def test_without_a_working_compiler_the_variant_is_skipped_with_a_reason(monkeypatch):
    def broken(_):
        raise RuntimeError("no C++ compiler found\nmany more lines")

    monkeypatch.setattr(torch, "compile", lambda *_, **__: broken)
    results = _run(_case())
    assert Skipped("square forward", "compile", "torch.compile failed: no C++ compiler found") in results
    assert {row.variant for row in results if isinstance(row, Row)} == {"native", "eager"}


def test_without_the_extension_native_is_skipped_with_a_reason(monkeypatch):
    monkeypatch.setattr(suite, "why_no_kernels", lambda _: "not built")
    results = _run(_case())
    assert {row.variant for row in results if isinstance(row, Row)} == {"eager", "compile"}
    assert [result for result in results if isinstance(result, Skipped)] == [
        Skipped("square forward", "native", "not built"),
        Skipped("square forward+backward", "native", "not built"),
    ]


def test_cold_runs_read_more_memory_than_any_cache_holds(monkeypatch):
    monkeypatch.setattr(suite, "_CACHE_BYTES", 16_000)
    seen = set()

    def native(values):
        seen.add(values[0].data_ptr())
        return (values[0] ** 2,)

    _run(_case(native=native), cold=True)
    assert len(seen) * 4_000 > 16_000


@pytest.mark.parametrize("quick", [True, False])
def test_the_cases_of_lstm_gates_name_what_the_op_takes(quick):
    for case in lstm_gates.cases(quick):
        channels = case.shape[1]
        assert case.inputs["cell"] == case.shape
        assert case.inputs["gates"] == (case.shape[0], 4 * channels, *case.shape[2:])
        values = [torch.randn((1, *shape[1:]) if len(shape) > 1 else shape) for shape in case.inputs.values()]
        expected = case.variants["eager"](values)
        for result, truth in zip(case.variants["native"](values), expected, strict=True):
            torch.testing.assert_close(result, truth)


def test_bytes_of_lstm_gates_are_those_counted_by_hand():
    plain, added = lstm_gates.cases(quick=True)
    cells = 4 * 64 * 64 * 64
    # Forward: four gates and the cell read, hidden and cell written. Backward: gates, two cells and two
    # gradients read, gradients of gates and cell written. The second summand is read in each.
    assert (plain.forward.bytes, plain.backward.bytes) == (28 * cells, 52 * cells)
    assert (added.forward.bytes, added.backward.bytes) == (44 * cells, 68 * cells)
