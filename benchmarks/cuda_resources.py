"""What the CUDA kernels take of a GPU, as their compiler reports it: registers, shared memory, occupancy.

python benchmarks/cuda_resources.py

Compiles every kernel for each architecture, needs nvcc but no GPU, writes results/cuda-resources.json and
cuda-resources.md beside this file, and fails if a kernel spills registers to memory.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from itertools import groupby
from pathlib import Path

ROOT = Path(__file__).parents[1]
CSRC = ROOT / "csrc"
JSON = ROOT / "benchmarks" / "results" / "cuda-resources.json"
MARKDOWN = ROOT / "benchmarks" / "cuda-resources.md"

ARCHITECTURES = ("sm_80", "sm_90", "sm_100")

# CUDA C++ Programming Guide, "Technical Specifications per Compute Capability", and the headers of NVIDIA's
# occupancy calculator: the same for the three architectures but for the shared memory.
SHARED_BYTES = {"sm_80": 164 << 10, "sm_90": 228 << 10, "sm_100": 228 << 10}  # of a multiprocessor
SHARED_BYTES_RESERVED = 1 << 10  # of every block, for the system
SHARED_BYTES_UNIT = 128
WARP = 32
WARPS = 64  # of a multiprocessor
BLOCKS = 32
PARTITIONS = 4  # of a multiprocessor, each with registers of its own
REGISTERS = 65536
REGISTERS_UNIT = 256  # of a warp


@dataclass(frozen=True)
class Kernel:
    """One compiled kernel on one architecture."""

    op: str
    name: str
    """With its template arguments."""
    architecture: str
    registers: int
    """Of a thread."""
    threads: int | None
    """Of a block, at most, from its launch bounds."""
    static_shared_bytes: int
    dynamic_shared: bool
    """Whether it takes shared memory besides, as much as it is launched with."""
    stack_bytes: int
    spilled_bytes: int
    occupancy: float | None
    """The warps that a multiprocessor holds at once over those that it could hold at most, in blocks of
    `threads` and without dynamic shared memory."""


def occupancy(architecture: str, registers: int, threads: int, shared_bytes: int) -> float:
    """The fraction of a multiprocessor's warps that blocks of this kind can fill.

    Args:
        architecture: one of `ARCHITECTURES`.
        registers: of a thread.
        threads: of a block.
        shared_bytes: of a block, static and dynamic.
    """
    warps = -(-threads // WARP)
    registers_of_warp = rounded_up(registers * WARP, REGISTERS_UNIT)
    by_registers = REGISTERS // PARTITIONS // registers_of_warp * PARTITIONS // warps
    shared = rounded_up(shared_bytes + SHARED_BYTES_RESERVED, SHARED_BYTES_UNIT)
    blocks = min(BLOCKS, WARPS // warps, by_registers, SHARED_BYTES[architecture] // shared)
    return blocks * warps / WARPS


def rounded_up(value: int, unit: int) -> int:
    """The smallest multiple of `unit` that is not less than `value`."""
    return -(-value // unit) * unit


def compile_kernels(
    source: Path, architectures: Sequence[str], nvcc: str = "nvcc", csrc: Path = CSRC
) -> list[Kernel]:
    """Compiles one .cu file and returns its kernels, those of the first architecture first."""
    with tempfile.TemporaryDirectory() as folder:
        codes = [f"-gencode=arch={arch.replace('sm', 'compute')},code={arch}" for arch in architectures]
        flags = ["-std=c++17", "-O3", f"-I{csrc}", *codes, "-Xptxas=-v", "-fatbin", "--keep"]
        files = ["--keep-dir", folder, str(source), "-o", f"{folder}/kernels.fatbin"]
        done = subprocess.run([nvcc, *flags, *files], capture_output=True, text=True, check=False)
        if done.returncode:
            sys.exit(f"nvcc failed on {source}:\n{done.stderr}")
        blocks, dynamic = {}, set()
        for intermediate in Path(folder).glob("*.ptx"):
            text = intermediate.read_text()
            blocks |= block_sizes(text)
            dynamic |= kernels_with_dynamic_shared_memory(text)
    return list(kernels_in(done.stderr, source.parent.name, blocks, dynamic))


def kernels_in(report: str, op: str, blocks: Mapping[str, int], dynamic: set[str]) -> Iterator[Kernel]:
    """The kernels in what ``ptxas -v`` says.

    Args:
        report: of ptxas.
        op: which op they belong to.
        blocks: most threads of a block, by mangled name.
        dynamic: mangled names of those that take dynamic shared memory.
    """
    names = re.findall(r"Compiling entry function '(\w+)'", report)
    readable = dict(zip(names, demangled(names), strict=True))
    for part in report.split("Compiling entry function ")[1:]:
        mangled, architecture = re.match(r"'(\w+)' for '(\w+)'", part).groups()
        registers = int(re.search(r"Used (\d+) registers", part)[1])
        shared = sum(map(int, re.findall(r"(\d+) bytes smem", part)))
        threads = blocks.get(mangled)
        yield Kernel(
            op=op,
            name=readable[mangled],
            architecture=architecture,
            registers=registers,
            threads=threads,
            static_shared_bytes=shared,
            dynamic_shared=mangled in dynamic,
            stack_bytes=sum(map(int, re.findall(r"(\d+) bytes stack frame", part))),
            spilled_bytes=sum(map(int, re.findall(r"(\d+) bytes spill (?:stores|loads)", part))),
            occupancy=occupancy(architecture, registers, threads, shared) if threads else None,
        )


def block_sizes(ptx: str) -> dict[str, int]:
    """The most threads of a block, by mangled name, of the kernels with launch bounds in PTX."""
    sizes = {}
    for mangled, head in re.findall(r"\.entry (\w+)\(([^{]*)\{", ptx):
        if bounds := re.search(r"\.maxntid\s+([\d, ]+)", head):
            threads = 1
            for extent in bounds[1].split(","):
                threads *= int(extent)
            sizes[mangled] = threads
    return sizes


def kernels_with_dynamic_shared_memory(ptx: str) -> set[str]:
    """The mangled names of the kernels in PTX that refer to an array of shared memory declared elsewhere."""
    arrays = re.findall(r"\.extern \.shared .*?(\w+)\[\]", ptx)
    bodies = re.split(r"(?=\.entry )", ptx)[1:]
    return {
        re.match(r"\.entry (\w+)", body)[1]
        for body in bodies
        if any(re.search(rf"\b{array}\b", body) for array in arrays)
    }


def demangled(names: Sequence[str]) -> list[str]:
    """``kernel<float, 4, true>`` for each mangled name."""
    done = subprocess.run(["c++filt"], input="\n".join(names), capture_output=True, text=True, check=True)
    return [short_name(line) for line in done.stdout.splitlines()]


def short_name(signature: str) -> str:
    """A kernel's name with its template arguments, from a signature with namespaces and parameters."""
    plain = signature.replace("(anonymous namespace)::", "")
    plain = re.sub(r"\w+::", "", plain).removeprefix("void ")
    plain = re.sub(r"\((?:int|bool|unsigned int)\)", "", plain)  # in front of template arguments
    depth = 0
    for position, letter in enumerate(plain):
        depth += {"<": 1, ">": -1}.get(letter, 0)
        if letter == "(" and depth == 0:
            return plain[:position]
    return plain


def markdown(kernels: Iterable[Kernel], compiler: str) -> str:
    """The table, with the architectures side by side."""
    lines = [
        "# What the CUDA kernels take of a GPU",
        "",
        f"Made by `python benchmarks/cuda_resources.py` with {compiler}. For each architecture: registers of",
        "a thread, and occupancy in blocks of the kernel's launch bounds. With shared memory that comes with",
        "the launch (`+`) it is an upper bound. No kernel spills registers to memory.",
        "",
        f"| op | kernel | threads | shared bytes | {' | '.join(ARCHITECTURES)} |",
        f"|---|---|---|---|{'---|' * len(ARCHITECTURES)}",
    ]
    ordered = sorted(kernels, key=lambda kernel: (kernel.op, kernel.name))
    for (op, name), same in groupby(ordered, lambda kernel: (kernel.op, kernel.name)):
        on = {kernel.architecture: kernel for kernel in same}
        first = next(iter(on.values()))
        shared = f"{first.static_shared_bytes}{' +' if first.dynamic_shared else ''}"
        cells = [cell(on.get(architecture)) for architecture in ARCHITECTURES]
        lines.append(f"| {op} | `{name}` | {first.threads or ''} | {shared} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def cell(kernel: Kernel | None) -> str:
    """Registers and occupancy on one architecture."""
    if kernel is None:
        return ""
    return f"{kernel.registers}" + (f", {kernel.occupancy:.0%}" if kernel.occupancy is not None else "")


def main() -> None:
    """Compiles everything and writes both files."""
    nvcc = os.environ.get("NVCC", "nvcc")
    sources = sorted(CSRC.glob("kernels/*/*.cu"))
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        compiled = pool.map(lambda source: compile_kernels(source, ARCHITECTURES, nvcc), sources)
        kernels = [kernel for of_source in compiled for kernel in of_source]
    version = subprocess.run([nvcc, "--version"], capture_output=True, text=True, check=True).stdout
    compiler = f"nvcc {re.search(r'release ([^,]+)', version)[1]}"
    if spilling := [kernel for kernel in kernels if kernel.spilled_bytes]:
        sys.exit("\n".join(f"{k.name} spills {k.spilled_bytes} bytes on {k.architecture}" for k in spilling))
    content = {"compiler": compiler, "kernels": [asdict(kernel) for kernel in kernels]}
    JSON.write_text(json.dumps(content, indent=1) + "\n")
    MARKDOWN.write_text(markdown(kernels, compiler))
    print(f"{len(kernels)} kernels, none of which spills: {MARKDOWN.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
