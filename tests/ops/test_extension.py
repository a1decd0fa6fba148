"""How the kernels are found, and what happens where they are not."""

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from vidpred import ops
from vidpred.errors import ConfigError
from vidpred.ops import _extension

needs_native = pytest.mark.skipif(not ops.build_info()["native"], reason="the kernels are not built")


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


@needs_native
def test_the_environment_chooses_the_instruction_set():
    code = "import json; from vidpred import ops; print(json.dumps(ops.build_info()))"
    environment = os.environ | {"VIDPRED_CPU": "baseline"}
    command = [sys.executable, "-c", code]
    root = Path(__file__).parents[2]
    done = subprocess.run(command, env=environment, cwd=root, capture_output=True, text=True, check=True)
    info = json.loads(done.stdout)
    assert info["native"]
    assert info["cpu_capability"] == "baseline"
    assert info["compiler"].startswith("C++ ")
