"""What ptxas, the assembler of CUDA, reports of the kernels."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

CSRC = Path(__file__).parents[2] / "csrc"


@pytest.mark.skipif(shutil.which("nvcc") is None, reason="no nvcc")
@pytest.mark.parametrize("source", sorted(CSRC.glob("kernels/*/*.cu")), ids=lambda path: path.stem)
def test_no_kernel_spills_registers_to_memory(source, tmp_path):
    command = ["nvcc", "-std=c++17", "-O3", f"-I{CSRC}", "-arch=sm_90", "-Xptxas=-v", "-cubin", str(source)]
    done = subprocess.run(
        [*command, "-o", str(tmp_path / "kernels.cubin")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    spills = re.findall(
        r"Compiling entry function '(\w+)'.*?(\d+) bytes spill stores", done.stderr, re.DOTALL
    )
    assert spills
    assert [kernel for kernel, spilled in spills if int(spilled)] == []
