from dataclasses import replace
from types import ModuleType

import pytest
import torch

from vidpred.benchmarking import graphs
from vidpred.benchmarking.kernels import lstm_gates, suite
from vidpred.benchmarking.kernels.case import Case
from vidpred.benchmarking.roofline import Peaks, Work
from vidpred.benchmarking.rows import Row, Skipped
from vidpred.benchmarking.timer import Timing
from vidpred.errors import ConfigError

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


def test_the_spread_lies_around_the_median_and_the_case_is_named():
    for row in _run(replace(_case(), layer="a model, a layer")):
        assert row.ms_low <= row.ms <= row.ms_high
        assert (row.layer, row.memory_format) == ("a model, a layer", "contiguous_format")


def test_inputs_with_four_dimensions_are_laid_out_as_the_case_says():
    seen = []

    def native(values):
        seen.append([value.is_contiguous(memory_format=torch.channels_last) for value in values[:1]])
        seen.append([value.is_contiguous() for value in values[1:]])
        return (values[0] * values[1],)

    inputs = {"x": (2, 3, 4, 5), "y": (3, 1, 1)}
    case = replace(_case(native=native), inputs=inputs, memory_format=torch.channels_last)
    case.variants["eager"] = lambda values: (values[0] * values[1],)
    rows = _run(case)
    assert all(all(flags) for flags in seen)
    assert {row.memory_format for row in rows} == {"channels_last"}


@pytest.fixture
def _two_ops(monkeypatch):
    """Ops ``square`` and ``cube`` in place of the real ones, the first in two dtypes."""
    square, cube = ModuleType("kernels.square"), ModuleType("kernels.cube")
    square.cases = lambda quick: [_case(), replace(_case(), dtype=torch.bfloat16)]
    cube.cases = lambda quick: [replace(_case(), name="cube", forward=Work(bytes=8, flops=3))]
    monkeypatch.setattr(suite, "OPS", (square, cube))


@pytest.mark.usefixtures("_two_ops")
def test_ops_are_chosen_by_name():
    assert [case.name for case in suite.cases(True)] == ["square", "square", "cube"]
    assert [case.name for case in suite.cases(True, ["cube", "cube"])] == ["cube"]
    with pytest.raises(
        ConfigError, match=r"unknown op 'cub'; did you mean 'cube'\? \(choices: cube, square\)"
    ):
        suite.cases(True, ["cub"])


@pytest.mark.usefixtures("_two_ops")
def test_a_dtype_takes_the_place_of_the_cases_own_and_changes_the_bytes():
    cases = suite.cases(True, dtypes=["bfloat16", "float64"])
    assert [(case.name, case.dtype) for case in cases] == [
        ("square", torch.bfloat16),
        ("square", torch.float64),
        ("cube", torch.bfloat16),
        ("cube", torch.float64),
    ]
    assert [case.forward for case in cases[2:]] == [Work(bytes=4, flops=3), Work(bytes=16, flops=3)]
    assert cases[1].backward == Work(bytes=24_000)
    with pytest.raises(ConfigError, match="unknown dtype 'float23'"):
        suite.cases(True, dtypes=["float23"])


def test_the_number_of_results_is_known_beforehand():
    case = _case(naive=lambda values: (values[0] * values[0],))
    assert suite.expected_results(case) == len(_run(case)) == 8


def test_a_variant_without_room_is_skipped_and_an_error_is_not():
    def no_room(_):
        raise torch.OutOfMemoryError("CUDA out of memory.\nmore")

    def wrong(_):
        raise ValueError("a bug")

    assert Skipped("square forward", "naive", "CUDA out of memory.") in _run(_case(naive=no_room))
    with pytest.raises(ValueError, match="a bug"):
        _run(_case(native=wrong))


def test_a_replay_is_divided_by_the_calls_in_the_graph(monkeypatch):
    inputs = [object()] * 4

    def capture(run, given):
        assert given == inputs
        if run == "native":
            raise RuntimeError("operation not permitted when stream is capturing\nmore")
        return f"replay of {run}"

    def timings(variants, given, *_, **__):
        assert given == [None]
        return {name: Timing(8.0, 4.0, 12.0) for name in variants}

    monkeypatch.setattr(graphs, "capture", capture)
    monkeypatch.setattr(suite, "interleaved_timings", timings)
    passes = {"native": "native", "eager": "eager"}
    found, skipped = suite._replays(_case(), "forward", passes, inputs, CPU, 0.0)
    assert found == {"eager": Timing(2.0, 1.0, 3.0)}
    reason = "not captured in a graph: operation not permitted when stream is capturing"
    assert skipped == [Skipped("square forward, graph replay", "native", reason)]


@pytest.mark.needs_cuda
def test_small_launches_are_timed_in_a_graph_too():
    peaks = Peaks(gb_per_s=4000.0, gflop_per_s=60000.0)
    rows = list(suite.run_case(_case(), torch.device("cuda"), peaks, cold=True, budget=0.05))
    stages = {row.stage for row in rows if isinstance(row, Row)}
    assert stages >= {f"{stage}, graph replay" for stage in ("forward", "forward+backward")}
    assert all(row.max_error < 1e-5 and row.ms > 0 for row in rows if isinstance(row, Row))


@pytest.mark.needs_cuda
def test_a_captured_call_is_made_on_each_of_the_inputs():
    values = [torch.full((3,), float(n), device="cuda") for n in range(3)]
    replay = graphs.capture(lambda value: value.add_(1), values)
    replay()
    torch.cuda.synchronize()
    # The first is also warmed up with; what is captured is not run.
    assert [value[0].item() for value in values] == [2.0, 2.0, 3.0]


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
