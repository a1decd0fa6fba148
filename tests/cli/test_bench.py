import json

import pytest
import torch
from PIL import Image

from vidpred.benchmarking import data, machine, models
from vidpred.benchmarking.kernels import lstm_gates, suite
from vidpred.benchmarking.roofline import Peaks
from vidpred.benchmarking.rows import Row, Skipped
from vidpred.cli.main import run

FIELDS = {
    "name", "pass", "shape", "dtype", "device", "variant", "ms", "gb_per_s", "gflop_per_s",
    "fraction_of_roofline", "speedup_vs_eager", "speedup_vs_naive", "max_error", "frames_per_s",
    "ms_low", "ms_high", "peak_mb", "layer", "memory_format",
}  # fmt: skip


@pytest.fixture(autouse=True)
def _small_and_quick(monkeypatch):
    """A machine of known speed and, in place of every suite's cases, tiny ones."""
    monkeypatch.setenv("VIDPRED_MALLOC", "system")
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setattr(machine, "measure_peaks", lambda _: Peaks(gb_per_s=12.3, gflop_per_s=150.0))
    monkeypatch.setattr(torch, "compile", lambda function, **_: function)
    monkeypatch.setattr(lstm_gates, "_MAP", (1, 2, 3, 4))
    monkeypatch.setattr(suite, "OPS", (lstm_gates,))


def _row(name):
    return Row(name, "a pass", (1, 2), "float32", "cpu", "eager", ms=1.0)


def test_kernels_prints_the_machine_and_a_table_and_writes_the_documented_file(tmp_path, capsys):
    assert run(["bench", "kernels", "--quick", "--device", "cpu", "--json", str(tmp_path / "k.json")]) == 0
    printed = capsys.readouterr().out
    for expected in (
        "copy 12.3 GB/s, matrix product 150 GFLOP/s",
        "allocator: system default (VIDPRED_MALLOC=system)",
        "lstm_gates  float32  1x2x3x4",
        "forward+backward",
        "vs eager",
        "max error",
    ):
        assert expected in printed
    content = json.loads((tmp_path / "k.json").read_text())
    assert content["machine"]["copy_gb_per_s"] == 12.3
    assert content["machine"]["inputs"] == "warm"
    assert content["machine"]["matrix_product_gflop_per_s_by_dtype"] == {"float32": 150.0}
    assert content["complete"] is True
    assert {"eager", "compile"} <= {row["variant"] for row in content["rows"]}
    assert all(row.keys() == FIELDS for row in content["rows"])
    assert all(row["max_error"] < 1e-5 for row in content["rows"])


def test_cold_and_threads_reach_the_suite(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(suite, "_CACHE_BYTES", 1000)
    monkeypatch.setattr(torch, "set_num_threads", asked.append)
    options = ["--quick", "--device", "cpu", "--cold", "--threads", "1"]
    assert run(["bench", "kernels", *options, "--json", str(tmp_path / "k.json")]) == 0
    assert json.loads((tmp_path / "k.json").read_text())["machine"]["inputs"] == "cold"
    assert asked == [1]


def test_op_and_dtype_choose_the_cases(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(machine, "measure_matrix_product", lambda *_: 300.0)
    options = [
        "--quick",
        "--device",
        "cpu",
        "--op",
        "lstm_gates",
        "--dtype",
        "bfloat16",
        "--dtype",
        "float32",
    ]
    assert run(["bench", "kernels", *options, "--json", str(tmp_path / "k.json")]) == 0
    content = json.loads((tmp_path / "k.json").read_text())
    assert {row["dtype"] for row in content["rows"]} == {"bfloat16", "float32"}
    assert content["machine"]["matrix_product_gflop_per_s_by_dtype"] == {"bfloat16": 300.0, "float32": 150.0}
    eager = {row["dtype"]: row for row in content["rows"] if row["variant"] == "eager"}
    for row in eager.values():  # against the copy: half the bytes, the same bandwidth
        assert row["fraction_of_roofline"] == pytest.approx(row["gb_per_s"] / 12.3)


def test_the_plot_is_drawn_of_what_was_measured(tmp_path):
    with_plot = ["bench", "kernels", "--quick", "--device", "cpu", "--plot", str(tmp_path / "k.png")]
    assert run(with_plot) == 0
    with Image.open(tmp_path / "k.png") as picture:
        assert picture.format == "PNG"
        assert min(picture.size) > 300


def test_what_was_measured_before_an_interruption_is_kept(tmp_path, monkeypatch, capsys):
    def interrupted(*_, **__):
        yield _row("an op")
        raise KeyboardInterrupt

    monkeypatch.setattr(suite, "run_case", interrupted)
    outputs = ["--json", str(tmp_path / "k.json"), "--plot", str(tmp_path / "k.png")]
    assert run(["bench", "kernels", "--quick", "--device", "cpu", *outputs]) == 130
    content = json.loads((tmp_path / "k.json").read_text())
    assert [row["name"] for row in content["rows"]] == ["an op"]
    assert content["complete"] is False
    assert (tmp_path / "k.png").exists()
    assert "a pass" in capsys.readouterr().out


def test_outputs_are_refused_before_anything_is_measured(monkeypatch, capsys):
    monkeypatch.setattr(suite, "run_case", lambda *_, **__: pytest.fail("it was measured"))
    for option in ("--json", "--plot"):
        assert run(["bench", "kernels", "--quick", option, "/proc/nowhere/k"]) == 1
        assert "cannot write /proc/nowhere/k" in capsys.readouterr().err


def test_what_was_skipped_is_said_with_its_reason(monkeypatch, capsys):
    monkeypatch.setattr(suite, "run_case", lambda *_, **__: [Skipped("an op", "compile", "no compiler")])
    assert run(["bench", "kernels", "--quick", "--device", "cpu"]) == 0
    assert "skipped an op compile: no compiler" in capsys.readouterr().out


@pytest.mark.parametrize(("quick", "presets"), [(["--quick"], {"tiny"}), ([], {"tiny", "small", "paper"})])
def test_models_runs_every_case(quick, presets, monkeypatch, capsys):
    seen = []
    monkeypatch.setattr(models, "run_case", lambda case, *_, **__: [seen.append(case) or _row(case.model)])
    assert run(["bench", "models", "--device", "cpu", *quick]) == 0
    assert {case.preset for case in seen} == presets
    assert "a pass" in capsys.readouterr().out


def test_models_can_be_chosen(monkeypatch):
    seen = []
    monkeypatch.setattr(models, "run_case", lambda case, *_, **__: [seen.append(case) or _row(case.model)])
    assert run(["bench", "models", "--device", "cpu", "--quick", "--model", "rnn", "--model", "vpn"]) == 0
    assert [case.model for case in seen] == ["rnn", "vpn"]


def test_data_runs_its_suite(monkeypatch, capsys):
    monkeypatch.setattr(data, "run", lambda **_: [_row("moving MNIST")])
    assert run(["bench", "data", "--quick"]) == 0
    assert "moving MNIST" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["kernels", "--device", "cuda:99"], 2, "no device 'cuda:99'"),
        (["kernels", "--threads", "-1"], 2, "--threads"),
        (["kernels", "--op", "lstm_gate"], 2, "unknown op 'lstm_gate'; did you mean 'lstm_gates'?"),
        (["models", "--model", "convtlstm"], 2, "unknown model 'convtlstm'; did you mean 'convttlstm'?"),
        (["kernels", "--dtype", "float"], 2, "(choices: bfloat16, float16, float32, float64)"),
        (["training"], 2, "training"),
        (["data", "--json", "/proc/nowhere/data.json"], 1, "cannot write /proc/nowhere/data.json"),
    ],
)
def test_a_mistake_is_told_in_one_sentence(arguments, code, said, monkeypatch, capsys):
    monkeypatch.setattr(data, "run", lambda **_: [_row("moving MNIST")])
    assert run(["bench", *arguments]) == code
    error = capsys.readouterr().err.strip()
    assert said in error.splitlines()[-1]
    assert "Traceback" not in error
