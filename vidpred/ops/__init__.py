"""The ops: fused kernels for the CPU and CUDA, each with a twin in plain torch (`vidpred.ops.reference`).

Public names: the ops themselves, `backend` and `use_backend`, and `build_info` and `cpu_capability` for
those who want to know what was compiled.
"""

from vidpred.ops import reference
from vidpred.ops._extension import backend, build_info, cpu_capability, use_backend
from vidpred.ops.checks import DeviceError, DtypeError, ShapeError
from vidpred.ops.lstm_gates import lstm_gates
from vidpred.ops.tensor_train_conv import tensor_train_conv

__all__ = [
    "DeviceError",
    "DtypeError",
    "ShapeError",
    "backend",
    "build_info",
    "cpu_capability",
    "lstm_gates",
    "reference",
    "tensor_train_conv",
    "use_backend",
]
