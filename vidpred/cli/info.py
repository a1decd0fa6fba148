"""``vidpred info``: what is installed, what it found, and what it will use."""

from __future__ import annotations

from itertools import zip_longest
from typing import Any

from vidpred.cli.options import Json


def info(json: Json = None) -> None:
    """Show versions, the kernels' backend, devices, digits found and where caches lie."""
    facts = gather()
    width = max(map(len, facts)) + 2
    for name, value in facts.items():
        lines = value if isinstance(value, list) else [value]
        for title, line in zip_longest([name.replace("_", " ")], lines, fillvalue=""):
            print(f"{title:<{width}}{line}")
    if json:
        from json import dumps

        from vidpred.files import replacing

        with replacing(json) as temporary:
            temporary.write_text(dumps(facts, indent=1) + "\n")


def gather() -> dict[str, Any]:
    """Everything that is shown, by name. A part that cannot be found says why in its place."""
    facts: dict[str, Any] = {}
    for part in (_versions, _kernels, _devices, _data, _memory):
        try:
            facts |= part()
        except Exception as error:  # a broken installation is just what this command is asked about
            facts[part.__name__.strip("_")] = f"not available: {error}"
    return facts


def _versions() -> dict[str, Any]:
    import platform
    from importlib.metadata import PackageNotFoundError, version

    import vidpred

    versions = {"vidpred": vidpred.__version__, "python": platform.python_version()}
    for package in ("torch", "numpy", "h5py", "accelerate"):
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            versions[package] = "not installed"
    return versions


def _kernels() -> dict[str, Any]:
    from vidpred import ops

    built = ops.build_info()
    return {
        "backend": ops.backend() if built["native"] else f"{ops.backend()} ({built['reason']})",
        "instruction_set": built["cpu_capability"],
        "cuda_architectures": built["cuda_architectures"] or "none compiled in",
        "compiler": built["compiler"] or "none used",
    }


def _devices() -> dict[str, Any]:
    import torch

    from vidpred.benchmarking.hardware import cpu_name

    gpus = [
        f"cuda:{index}: {torch.cuda.get_device_name(index)}" for index in range(torch.cuda.device_count())
    ]
    return {"devices": [f"cpu: {cpu_name()}, {torch.get_num_threads()} threads", *gpus]}


def _data() -> dict[str, Any]:
    from vidpred.data import digits

    found = [f"{name}: {count:,} images in {where}" for name, where, count in digits.available()]
    return {"digits": found or "none found", "cache": str(digits.cache_directory())}


def _memory() -> dict[str, Any]:
    from vidpred.allocator import keep_freed_memory

    return {"allocator": keep_freed_memory()}
