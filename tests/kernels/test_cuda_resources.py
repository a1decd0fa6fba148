"""What ptxas, the assembler of CUDA, reports of the kernels: benchmarks/cuda_resources.py and its table."""

import importlib.util
import json
import shutil
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def load(path):
    specification = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(specification)
    sys.modules[path.stem] = module
    specification.loader.exec_module(module)
    return module


cuda_resources = load(ROOT / "benchmarks" / "cuda_resources.py")


@pytest.mark.skipif(shutil.which("nvcc") is None, reason="no nvcc")
@pytest.mark.parametrize("source", sorted(ROOT.glob("csrc/kernels/*/*.cu")), ids=lambda path: path.stem)
@pytest.mark.parametrize(
    "architectures",
    [["sm_90"], pytest.param(["sm_80", "sm_100"], marks=pytest.mark.slow)],
    ids="-".join,
)
def test_no_kernel_spills_and_all_are_in_the_recorded_table(source, architectures):
    kernels = cuda_resources.compile_kernels(source, architectures)
    assert {kernel.architecture for kernel in kernels} == set(architectures)
    assert [kernel for kernel in kernels if kernel.spilled_bytes or kernel.threads is None] == []
    recorded = json.loads(cuda_resources.JSON.read_text())["kernels"]
    names = {
        (kernel["architecture"], kernel["name"]) for kernel in recorded if kernel["op"] == source.parent.name
    }
    expected = {(architecture, name) for architecture, name in names if architecture in architectures}
    assert {(kernel.architecture, kernel.name) for kernel in kernels} == expected, (
        "run python benchmarks/cuda_resources.py"
    )


@pytest.mark.parametrize(
    ("architecture", "registers", "threads", "shared", "blocks"),
    [
        # 16,384 registers in each quarter of a multiprocessor, handed out to warps by 256; 64 warps at most.
        ("sm_90", 32, 256, 0, 8),  # 1,024 a warp: 16 warps in a quarter, all 64
        ("sm_90", 33, 256, 0, 6),  # 1,280 a warp: 12 in a quarter, 48 of 64
        ("sm_90", 128, 256, 0, 2),  # 4,096 a warp: 4 in a quarter
        ("sm_90", 255, 256, 0, 1),  # 8,192 a warp: 2 in a quarter
        ("sm_90", 16, 32, 0, 32),  # 32 blocks at most: half of the warps
        ("sm_90", 32, 1024, 0, 2),
        ("sm_90", 40, 96, 0, 16),  # 1,280 a warp: 48 warps, 3 a block
        # 48 KiB and 1 KiB that every block pays: 3 times into 164 KiB, 4 times into 228 KiB.
        ("sm_80", 32, 256, 48 << 10, 3),
        ("sm_90", 32, 256, 48 << 10, 4),
        ("sm_100", 32, 256, 48 << 10, 4),
    ],
)
def test_occupancy_is_that_counted_by_hand(architecture, registers, threads, shared, blocks):
    warps = blocks * (threads // 32)
    assert cuda_resources.occupancy(architecture, registers, threads, shared) == warps / 64


PTX = """
.extern .shared .align 16 .b8 shared_[];
.visible .entry first(
	.param .u64 first_param_0
)
.maxntid 16, 8
.minnctapersm 1
{
	mov.u64 %rd1, shared_;
}
.visible .entry second(
)
{
	ret;
}
"""
REPORT = """
ptxas info    : 0 bytes gmem
ptxas info    : Compiling entry function 'first' for 'sm_80'
ptxas info    : Function properties for first
    24 bytes stack frame, 8 bytes spill stores, 12 bytes spill loads
ptxas info    : Used 40 registers, used 1 barriers, 2048 bytes smem, 400 bytes cmem[0]
ptxas info    : Compiling entry function 'second' for 'sm_80'
ptxas info    : Function properties for second
    0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
ptxas info    : Used 12 registers, used 0 barriers
"""


def test_what_ptx_and_ptxas_say_is_read():
    blocks = cuda_resources.block_sizes(PTX)
    dynamic = cuda_resources.kernels_with_dynamic_shared_memory(PTX)
    assert (blocks, dynamic) == ({"first": 128}, {"first"})
    first, second = cuda_resources.kernels_in(REPORT, "an_op", blocks, dynamic)
    assert (first.registers, first.threads, first.static_shared_bytes) == (40, 128, 2048)
    assert (first.stack_bytes, first.spilled_bytes, first.dynamic_shared) == (24, 20, True)
    assert first.occupancy == 48 / 64  # by registers: 12 warps in a quarter
    assert (second.registers, second.threads, second.occupancy, second.dynamic_shared) == (
        12,
        None,
        None,
        False,
    )
    table = cuda_resources.markdown([first, second], "nvcc 1.2")
    assert "| an_op | `first` | 128 | 2048 + | 40, 75% |  |  |" in table
    assert "| an_op | `second` |  | 0 | 12 |  |  |" in table


@pytest.mark.parametrize(
    ("signature", "name"),
    [
        ("void a::(anonymous namespace)::k<a::half, 4, true>(a::Shape<int>, int*)", "k<half, 4, true>"),
        ("void vidpred::k<float, (int)4, (bool)1>(float*)", "k<float, 4, 1>"),
        ("vidpred::plain(int)", "plain"),
    ],
)  # fmt: skip
def test_kernels_are_named_without_namespaces_and_parameters(signature, name):
    assert cuda_resources.short_name(signature) == name
