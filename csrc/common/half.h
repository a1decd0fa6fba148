// The half types, and the types that sums and formulas are computed in.
//
// On the CPU the conversions are written without branches, so that loops over them are vectorised
// whatever the instruction set.
#pragma once

#include <cstdint>

#include "common/host_device.h"

#ifdef __CUDACC__
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#endif

namespace vidpred {

struct float16 {  // 1 sign, 5 exponent, 10 mantissa bits
  uint16_t bits;
};

struct bfloat16 {  // the upper half of a float
  uint16_t bits;
};

// float for the half types; float and double for themselves.
template <class T>
struct Accumulate {
  using type = float;
};
template <>
struct Accumulate<double> {
  using type = double;
};
template <class T>
using accumulate_t = typename Accumulate<T>::type;

VP_HOST_DEVICE float widen(float value) { return value; }
VP_HOST_DEVICE double widen(double value) { return value; }

VP_HOST_DEVICE float widen(bfloat16 value) { return bit_cast<float>(uint32_t(value.bits) << 16); }

VP_HOST_DEVICE float widen(float16 value) {
#ifdef __CUDA_ARCH__
  return __half2float(__ushort_as_half(value.bits));
#else
  const uint32_t sign = uint32_t(value.bits & 0x8000) << 16;
  const uint32_t magnitude = uint32_t(value.bits & 0x7fff) << 13;
  // The exponent's bias is 15 in the half and 127 in the float; the product also normalises subnormals.
  const float scaled = bit_cast<float>(magnitude) * 0x1p112f;
  const uint32_t special = magnitude >= 0x0f800000 ? 0x7f800000 : 0;  // infinity or not a number
  return bit_cast<float>(bit_cast<uint32_t>(scaled) | special | sign);
#endif
}

// Rounds to nearest, ties to even.
template <class T>
VP_HOST_DEVICE T narrow(accumulate_t<T> value) {
  return value;
}

template <>
VP_HOST_DEVICE bfloat16 narrow<bfloat16>(float value) {
#ifdef __CUDA_ARCH__
  return {__bfloat16_as_ushort(__float2bfloat16_rn(value))};
#else
  const uint32_t bits = bit_cast<uint32_t>(value);
  const uint32_t rounded = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
  return {uint16_t(value == value ? rounded : 0x7fc0)};
#endif
}

template <>
VP_HOST_DEVICE float16 narrow<float16>(float value) {
#ifdef __CUDA_ARCH__
  return {__half_as_ushort(__float2half_rn(value))};
#else
  const uint32_t bits = bit_cast<uint32_t>(value);
  const uint32_t sign = (bits >> 16) & 0x8000;
  const uint32_t magnitude = bits & 0x7fffffff;
  const uint32_t normal = ((magnitude + 0xfff + ((magnitude >> 13) & 1)) >> 13) - (112 << 10);
  // Near one half the floats lie as far apart as the subnormal halves: the sum rounds to one of them.
  const uint32_t subnormal = bit_cast<uint32_t>(bit_cast<float>(magnitude) + 0.5f) - 0x3f000000;
  uint32_t half = magnitude < 0x38800000 ? subnormal : normal;  // 2^-14, the smallest normal half
  half = magnitude >= 0x477ff000 ? 0x7c00 : half;               // 65520 and above round to infinity
  half = magnitude > 0x7f800000 ? 0x7e00 : half;                // not a number
  return {uint16_t(half | sign)};
#endif
}

}  // namespace vidpred
