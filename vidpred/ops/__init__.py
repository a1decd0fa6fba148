"""The ops: fused kernels for the CPU and CUDA, each with a twin in plain torch (`vidpred.ops.reference`).

Public names: the ops themselves, `backend` and `use_backend`, and `build_info` and `cpu_capability` for
those who want to know what was compiled.
"""

from vidpred.ops import reference
from vidpred.ops._extension import backend, build_info, cpu_capability, use_backend
from vidpred.ops.checks import DeviceError, DtypeError, ShapeError
from vidpred.ops.flow_warp import flow_warp
from vidpred.ops.lstm_gates import lstm_gates
from vidpred.ops.masked_conv2d import masked_conv2d
from vidpred.ops.sample_pixels import sample_pixels
from vidpred.ops.tensor_train_conv import tensor_train_conv

__all__ = [
    "DeviceError",
    "DtypeError",
    "ShapeError",
    "backend",
    "build_info",
    "cpu_capability",
    "flow_warp",
    "lstm_gates",
    "masked_conv2d",
    "reference",
    "sample_pixels",
    "tensor_train_conv",
    "use_backend",
]
