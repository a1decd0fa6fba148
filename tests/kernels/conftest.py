"""Builds the kernels without torch, for NumPy, and loads them."""

import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BUILD = ROOT / "build" / "cpp"


@pytest.fixture(scope="session")
def kernels():
    """The module of csrc/tests/numpy."""
    cmake = shutil.which("cmake", path=f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin")
    if cmake is None or shutil.which("c++") is None:
        pytest.skip("no cmake or no C++ compiler")
    if importlib.util.find_spec("pybind11") is None:
        pytest.skip("no pybind11")
    run(cmake, "-S", ROOT, "-B", BUILD, f"-DPython_EXECUTABLE={sys.executable}")
    run(cmake, "--build", BUILD, "--parallel", "2", "--target", "vidpred_kernels")
    (path,) = BUILD.glob("vidpred_kernels*.so")
    specification = importlib.util.spec_from_file_location("vidpred_kernels", path)
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def run(*command):
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
