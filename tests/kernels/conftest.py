"""Builds the kernels without torch, for NumPy, loads them, and knows the places where they run."""

import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BUILD = ROOT / "build" / "cpp"

THREAD_ORDERS = {
    "emulated": ("forward", 0),
    "emulated in reverse": ("reverse", 0),
    "emulated, shuffled": ("shuffled", 1),
}
INSTRUCTION_SETS = ("baseline", "avx2", "avx512")


@pytest.fixture(params=[*THREAD_ORDERS, *INSTRUCTION_SETS])
def place(request, kernels):
    """Where kernels run: in the emulator, with its threads in several orders, and on each instruction set."""
    if request.param not in THREAD_ORDERS:
        if request.param not in kernels.places():
            pytest.skip(f"this CPU has no {request.param}")
        yield request.param
        return
    kernels.set_order(*THREAD_ORDERS[request.param])
    yield "emulated"
    kernels.set_order("forward")


@pytest.fixture(scope="session")
def kernels(build):
    """The module of csrc/tests/numpy."""
    build("vidpred_kernels")
    (path,) = BUILD.glob("vidpred_kernels*.so")
    specification = importlib.util.spec_from_file_location("vidpred_kernels", path)
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def build():
    """build(target) -> the folder in which CMake has built it."""
    cmake = shutil.which("cmake", path=f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin")
    if cmake is None or shutil.which("c++") is None:
        pytest.skip("no cmake or no C++ compiler")
    if importlib.util.find_spec("pybind11") is None:
        pytest.skip("no pybind11")
    run(cmake, "-S", ROOT, "-B", BUILD, f"-DPython_EXECUTABLE={sys.executable}")

    def build_target(target):
        run(cmake, "--build", BUILD, "--parallel", "2", "--target", target)
        return BUILD

    return build_target


def run(*command):
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
