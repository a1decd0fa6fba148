"""Numbers as the kernels take them without torch: half types travel as uint16."""

import numpy as np


def to_bits(values, dtype):
    """What the kernels take: for bfloat16 the upper halves of float32, which here hold no more."""
    if dtype == "bfloat16":
        return (values.astype(np.float32).view(np.uint32) >> 16).astype(np.uint16)
    bits = values.astype(dtype)
    return bits.view(np.uint16) if dtype == "float16" else bits


def from_bits(bits, dtype):
    if bits.dtype != np.uint16:
        return bits.astype(np.float64)
    if dtype == "bfloat16":
        return (bits.astype(np.uint32) << 16).view(np.float32).astype(np.float64)
    return bits.view(np.float16).astype(np.float64)
