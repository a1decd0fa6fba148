"""benchmarks/record_kernels.py, behind `make bench`."""

import importlib.util
import json
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "record_kernels.py"
CPU = {
    "gpu": None, "cpu": "Intel(R) Xeon(R) CPU @ 2.20GHz", "cores": 2, "threads": 1, "torch": "2.13.0+cpu",
    "inputs": "warm", "copy_gb_per_s": 12.34, "matrix_product_gflop_per_s": 150.2,
}  # fmt: skip


@pytest.fixture
def script(tmp_path, monkeypatch):
    """The script, working on a README and results of its own."""
    specification = importlib.util.spec_from_file_location("record_kernels", SCRIPT)
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    (tmp_path / "benchmarks" / "results").mkdir(parents=True)
    monkeypatch.setattr(module, "ROOT", tmp_path)
    monkeypatch.setattr(module, "RESULTS", tmp_path / "benchmarks" / "results")
    monkeypatch.setattr(module, "README", tmp_path / "README.md")
    return module


def _row(variant, ms, stage="forward", layer="a model, a layer", **fields):
    row = {"name": "an_op", "pass": stage, "shape": [4, 8], "dtype": "float32", "variant": variant, "ms": ms}
    return row | {"memory_format": "contiguous_format", "layer": layer} | fields


ROWS = [
    _row("native", 2.0),
    _row("eager", 5.0),
    _row("compile", 3.0),
    _row("native", 4.0, "forward+backward"),
    _row("eager", 8.0, "forward+backward"),
]


def test_the_readmes_table_is_made_anew_and_the_rest_left_alone(script, tmp_path, capsys):
    recorded = tmp_path / "benchmarks" / "results" / "kernels-x.json"
    no_layer = [_row("native", 1.0, layer=None), _row("native", 1.0, "forward+backward", layer=None)]
    half = {"dtype": "bfloat16", "memory_format": "channels_last"}
    other = [_row("native", 0.123456, **half), _row("native", 0.5, "forward+backward", **half)]
    only_forward = [_row("native", 1.0, layer="another")]
    recorded.write_text(json.dumps({"machine": CPU, "rows": [*ROWS, *no_layer, *other, *only_forward]}))
    script.README.write_text(f"before\n{script.START}\nold\n{script.END}\nafter\n")
    for _ in range(2):  # doing it again changes nothing
        script.main(["--table", str(recorded)])
        readme = script.README.read_text()
        assert readme.startswith(f"before\n{script.START}\n\n")
        assert readme.endswith(f"\n\n{script.END}\nafter\n")
        assert "old" not in readme
        assert "12 GB/s of copying, 150 GFLOP/s" in readme
        assert [line for line in readme.splitlines() if line.startswith("| `")] == [
            "| `an_op` | 4x8 | a model, a layer | 2 ms (2.5, 1.5) | 4 ms (2.0, -) |",
            "| `an_op` | 4x8, bfloat16, channels last | a model, a layer | 0.123 ms (-, -) | 0.5 ms (-, -) |",
        ]
        assert "(benchmarks/results/kernels-x.json)" in readme
        assert "(benchmarks/results/kernels-x.png)" in readme


def test_a_readme_without_markers_is_refused_and_kept(script, tmp_path):
    recorded = tmp_path / "k.json"
    recorded.write_text(json.dumps({"machine": CPU, "rows": ROWS}))
    script.README.write_text("no place\n")
    with pytest.raises(SystemExit, match="no place for the table"):
        script.main(["--table", str(recorded)])
    assert script.README.read_text() == "no place\n"


def test_the_readme_of_the_project_has_the_place():
    readme = (SCRIPT.parents[1] / "README.md").read_text()
    assert readme.count("<!-- kernels: the table is made by") == readme.count("<!-- kernels: end -->") == 1


def test_machines_are_named_by_processor_and_cores_or_by_gpu(script):
    assert script.machine_name(CPU) == "intel-xeon-cpu-2-20ghz-2-cores"
    assert script.machine_name(CPU | {"cpu": "AMD EPYC"}) == "amd-epyc-2-cores"
    assert script.machine_name(CPU | {"gpu": {"name": "NVIDIA H200"}}) == "nvidia-h200"


def test_a_replay_of_a_graph_stands_for_its_pass(script):
    (case,) = script.cases([*ROWS, _row("native", 0.25, "forward, graph replay")])
    assert case["forward", "native"]["ms"] == 0.25


def test_it_runs_the_benchmark_and_names_the_files_after_the_machine(script, tmp_path, monkeypatch):
    def run(command, *, check, cwd):
        assert command[:5] == [sys.executable, "-m", "vidpred", "bench", "kernels"]
        assert command[5] == "--quick"
        Path(command[command.index("--json") + 1]).write_text(json.dumps({"machine": CPU, "rows": ROWS}))
        Path(command[command.index("--plot") + 1]).write_bytes(b"a picture")

    monkeypatch.setattr(script.subprocess, "run", run)
    script.README.write_text(f"{script.START}\n{script.END}\n")
    script.main(["--quick"])
    results = tmp_path / "benchmarks" / "results"
    names = sorted(path.name for path in results.iterdir())
    assert names == [
        "kernels-intel-xeon-cpu-2-20ghz-2-cores.json",
        "kernels-intel-xeon-cpu-2-20ghz-2-cores.png",
    ]
    assert "2 ms (2.5, 1.5)" in script.README.read_text()
