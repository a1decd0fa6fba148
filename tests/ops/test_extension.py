"""How the kernels are found, and what happens where they are not."""

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from vidpred import ops
from vidpred.errors import ConfigError
from vidpred.ops import _extension

needs_native = pytest.mark.skipif(not ops.build_info()["native"], reason="the kernels are not built")
ROOT = Path(__file__).parents[2]


@pytest.fixture
def load_without(tmp_path, monkeypatch):
    """Loads a copy of the module beside which lies no library, or one with the content given."""

    def load(content=None):
        folder = tmp_path / "vidpred" / "ops"
        folder.mkdir(parents=True)
        copy = shutil.copy(_extension.__file__, folder)
        if content is not None:
            (tmp_path / "vidpred" / "_C.so").write_bytes(content)
        specification = importlib.util.spec_from_file_location("copy_of_extension", copy)
        module = importlib.util.module_from_spec(specification)
        specification.loader.exec_module(module)
        return module

    monkeypatch.delenv("VIDPRED_BACKEND", raising=False)
    monkeypatch.delenv("VIDPRED_CPU", raising=False)
    return load


def test_without_a_library_runs_on_plain_torch_and_says_so_in_one_line(load_without, caplog):
    module = load_without()
    assert module.backend() == "reference"
    assert not module.serves("cpu")
    assert [record.message.count("\n") for record in caplog.records] == [0]
    assert "vidpred runs on plain torch: the kernels are not built" in caplog.text
    info = module.build_info()
    assert (info["native"], info["cuda_architectures"], info["cpu_capability"]) == (False, [], "none")
    assert info["reason"] in caplog.text


def test_a_library_that_does_not_load_is_no_error(load_without, caplog):
    assert load_without(b"not a library").backend() == "reference"
    assert "the kernels do not load with torch" in caplog.text


def test_asking_for_the_reference_is_not_worth_a_line(load_without, monkeypatch, caplog):
    monkeypatch.setenv("VIDPRED_BACKEND", "reference")
    assert load_without().backend() == "reference"
    assert caplog.text == ""


def test_asking_for_kernels_that_are_not_there_is_an_error(load_without, monkeypatch):
    monkeypatch.setenv("VIDPRED_BACKEND", "native")
    with pytest.raises(ConfigError, match="VIDPRED_BACKEND=native cannot be had: the kernels are not built"):
        load_without()


def test_an_unknown_backend_is_an_error_that_names_the_nearest(load_without, monkeypatch):
    monkeypatch.setenv("VIDPRED_BACKEND", "nativ")
    with pytest.raises(ConfigError, match="did you mean 'native'"):
        load_without()


def test_the_backend_can_be_chosen_for_a_block():
    before = ops.backend()
    with ops.use_backend("reference"):
        assert ops.backend() == "reference"
    assert ops.backend() == before
    with pytest.raises(ConfigError, match="unknown backend 'fast'"), ops.use_backend("fast"):
        pass


@needs_native
def test_an_instruction_set_that_cannot_be_had_is_an_error(monkeypatch):
    monkeypatch.setenv("VIDPRED_CPU", "avx1024")
    with pytest.raises(ConfigError, match="unknown VIDPRED_CPU 'avx1024'"):
        _extension._check_instruction_set()
    monkeypatch.setenv("VIDPRED_CPU", "avx512" if ops.cpu_capability() != "avx512" else "avx2")
    with pytest.raises(ConfigError, match=f"the best here is {ops.cpu_capability()}"):
        _extension._check_instruction_set()


def run_in(folder, code, **variables):
    """Runs code in a process of its own that imports vidpred from `folder`, with no settings but these."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("VIDPRED_")}
    environment |= {"PYTHONPATH": f"{folder}{os.pathsep}{Path(__file__).parent}"} | variables
    command = [sys.executable, "-c", code]
    return subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True, check=False)


@needs_native
@pytest.mark.parametrize(
    ("name", "of_torch"), [("baseline", ""), ("avx2", "AVX2 AVX512"), ("avx512", "AVX512")]
)
def test_every_instruction_set_is_as_exact_as_the_others(name, of_torch):
    if of_torch and torch.backends.cpu.get_cpu_capability() not in of_torch.split():
        pytest.skip(f"this CPU does not have {name}")
    code = """
from lstm_gates_cases import OPTIONS, TOLERANCES, assert_exact, random_inputs
from vidpred import ops
for dtype, tolerance in TOLERANCES.items():
    for options in OPTIONS:
        for shape in ((3, 5, 7, 9), (2, 3, 40, 40), (1, 37)):
            assert_exact(random_inputs(shape, dtype, *options), tolerance)
info = ops.build_info()
print(ops.backend(), ops.cpu_capability(), info["cpu_capability"], info["compiler"].split()[0])
"""
    done = run_in(ROOT, code, VIDPRED_CPU=name)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["native", name, name, "C++"]


REPORT = """
from vidpred import ops
import torch
hidden, new_cell = ops.lstm_gates(torch.zeros(1, 4), torch.ones(1, 1))
print(ops.backend(), ops.build_info()["native"], new_cell.item(), ops.__file__)
"""


@needs_native
@pytest.mark.parametrize("asked", ["native", "reference"])
def test_the_environment_chooses_the_backend_of_a_process(asked):
    done = run_in(ROOT, REPORT, VIDPRED_BACKEND=asked)
    assert done.stdout.split()[:3] == [asked, "True", "0.5"]
    assert done.stderr == ""


@pytest.mark.parametrize("asked", ["nonsense", ""])
def test_a_process_that_asks_for_nonsense_is_told_in_a_sentence(asked):
    code = "from vidpred.cli.main import run; raise SystemExit(run(['bench', 'kernels']))"
    done = run_in(ROOT, code, VIDPRED_BACKEND=asked)
    assert done.returncode == 2
    (sentence,) = done.stderr.splitlines()
    for part in ("VIDPRED_BACKEND", f"'{asked}'", "native", "reference"):
        assert part in sentence


def test_a_package_without_kernels_works_after_one_line(tmp_path):
    shutil.copytree(
        ROOT / "vidpred", tmp_path / "vidpred", ignore=shutil.ignore_patterns("*.so", "__pycache__")
    )
    done = run_in(tmp_path, REPORT)
    assert done.stdout.split() == ["reference", "False", "0.5", str(tmp_path / "vidpred/ops/__init__.py")]
    (line,) = done.stderr.splitlines()
    assert "vidpred runs on plain torch: the kernels are not built" in line
    asked = run_in(tmp_path, REPORT, VIDPRED_BACKEND="native")
    assert asked.returncode == 1
    assert "ConfigError: VIDPRED_BACKEND=native cannot be had" in asked.stderr.splitlines()[-1]


def test_build_info_has_what_it_promises():
    info = ops.build_info()
    assert set(info) == {"native", "reason", "cuda_architectures", "cpu_capability", "compiler"}
    assert info["native"] == (info["reason"] is None)
    assert info["cpu_capability"] == ops.cpu_capability()
    assert info["cpu_capability"] in (("baseline", "avx2", "avx512") if info["native"] else ("none",))
    assert all(name.startswith(("sm_", "compute_")) for name in info["cuda_architectures"])
    json.dumps(info)  # `vidpred info --json` writes it
