"""Builds the kernels into ``vidpred/_C.so``; all other metadata is in pyproject.toml.

Without torch in the build environment, or without a C++ compiler, the package is built without them and
runs on plain torch. The CUDA kernels are compiled wherever nvcc is, whatever torch is installed.

Environment: ``CXX`` and ``NVCC`` name the compilers; ``VIDPRED_CUDA=0`` leaves CUDA out; in
``VIDPRED_CUDA_ARCH`` are its architectures (default ``80;90``), the last also as PTX for newer GPUs.
"""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

from setuptools import setup

try:
    from torch.utils.cpp_extension import BuildExtension, CppExtension, get_cxx_compiler
except ImportError:
    BuildExtension = None

ROOT = Path(__file__).parent.resolve()
SHELVES = ("common", "kernels", "binding")
SOURCES = [str(path) for shelf in SHELVES for path in sorted(Path("csrc", shelf).glob("**/*.cpp"))]
CUDA_SOURCES = sorted(Path("csrc/kernels").glob("*/*.cu"))
HEADERS = [str(path) for path in sorted(Path("csrc").glob("**/*.h"))]
ARCHITECTURES = os.environ.get("VIDPRED_CUDA_ARCH", "80;90").replace(",", ";").split(";")
# Without -fno-trapping-math g++ does not vectorise the loops; -fopenmp-simd is for their sums.
CXX_FLAGS = ["-O3", "-g0", "-fno-math-errno", "-fno-trapping-math", "-fopenmp-simd", "-fvisibility=hidden"]
NVCC_FLAGS = ["-std=c++17", "-O3", "-lineinfo", "-Xcompiler=-fPIC,-fvisibility=hidden", "-Icsrc"]


def find_nvcc():
    wanted = os.environ.get("VIDPRED_CUDA") != "0"
    return (os.environ.get("NVCC") or shutil.which("nvcc")) if wanted else None


def what_says(*command):
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return done.stdout + done.stderr


def add_cuda(nvcc, extension, build_folder):
    """Compiles the CUDA sources that changed and hands the objects to the linker."""
    targets = [(f"compute_{arch}", f"sm_{arch}") for arch in ARCHITECTURES]
    targets.append((f"compute_{ARCHITECTURES[-1]}", f"compute_{ARCHITECTURES[-1]}"))
    flags = [*NVCC_FLAGS, *(f"-gencode=arch={virtual},code={code}" for virtual, code in targets)]
    for source in CUDA_SOURCES:
        target = build_folder / f"{source.stem}-{'-'.join(ARCHITECTURES)}.o"
        newest = max(Path(path).stat().st_mtime for path in [source, __file__, *HEADERS])
        if not target.exists() or target.stat().st_mtime < newest:
            subprocess.run([nvcc, *flags, "-c", str(source), "-o", str(target)], check=True)
        extension.extra_objects.append(str(target))
    # nvcc may be a wrapper script, so it is asked where its libraries lie.
    dry_run = what_says(nvcc, "--dryrun", "-x", "cu", "-c", os.devnull, "-o", os.devnull)
    extension.library_dirs += re.findall(r'"-L([^"]+)"', dry_run)
    extension.libraries += ["cudart_static", "dl", "rt", "pthread"]
    version = re.search(r"release ([^,]+)", what_says(nvcc, "--version"))[1]
    extension.define_macros += [
        ("VP_CUDA", "1"),
        ("VP_CUDA_ARCHITECTURES", json.dumps(json.dumps([code for _, code in targets]))),
        ("VP_NVCC_VERSION", json.dumps(f", nvcc {version}")),
    ]


def why_not():
    if BuildExtension is None:
        return "no torch in the build environment"
    return None if shutil.which(get_cxx_compiler()) else f"no C++ compiler ({get_cxx_compiler()})"


def native_options():
    class Build(BuildExtension):
        def finalize_options(self):
            super().finalize_options()
            self.build_temp = str(ROOT / "build" / "extension")  # kept, so that only changes are compiled

        def build_extensions(self):
            if nvcc := find_nvcc():
                Path(self.build_temp).mkdir(parents=True, exist_ok=True)
                add_cuda(nvcc, self.extensions[0], Path(self.build_temp))
            super().build_extensions()

    extension = CppExtension(
        "vidpred._C", SOURCES, depends=HEADERS, include_dirs=[str(ROOT / "csrc")], py_limited_api=True,
        define_macros=[("TORCH_TARGET_VERSION", "0x020b000000000000")],  # the stable ABI of torch 2.11
        extra_compile_args=CXX_FLAGS,
    )  # fmt: skip
    return {
        "ext_modules": [extension],
        "cmdclass": {"build_ext": Build.with_options(no_python_abi_suffix=True)},
        "options": {"bdist_wheel": {"py_limited_api": "cp310"}},
    }


if reason := why_not():
    print(f"vidpred: {reason}, so the kernels are left out")
setup(**({} if reason else native_options()))
