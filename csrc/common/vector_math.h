// sigmoid and tanh for float and double.
//
// On the CPU they are written without branches, so that the compiler vectorises loops over them; g++ does
// so only with -fno-trapping-math. csrc/tests/test_vector_math.cpp asserts how exact they are. In CUDA
// kernels they stand on CUDA's own functions. NaN stays NaN, infinities saturate.
#pragma once

#include <cmath>
#include <cstdint>

#include "common/host_device.h"

namespace vidpred {

#ifdef __CUDA_ARCH__

// A handful of instructions each: at the bandwidth of a large GPU there is time for about a hundred a cell.
__device__ __forceinline__ float sigmoid(float x) { return __fdividef(1, 1 + __expf(-x)); }
__device__ __forceinline__ double sigmoid(double x) { return 1 / (1 + ::exp(-x)); }
__device__ __forceinline__ float tanh(float x) { return ::tanhf(x); }
__device__ __forceinline__ double tanh(double x) { return ::tanh(x); }

#else

template <class T>
struct FloatFormat;

template <>
struct FloatFormat<float> {
  using Bits = uint32_t;
  static constexpr int mantissa_bits = 23;
  static constexpr int exponent_bias = 127;
  static constexpr int series_degree = 6;  // of 2^f, |f| <= 1/2: the next term is about a rounding error
};

template <>
struct FloatFormat<double> {
  using Bits = uint64_t;
  static constexpr int mantissa_bits = 52;
  static constexpr int exponent_bias = 1023;
  static constexpr int series_degree = 13;
};

// Where 2^x and its inverse are both normal numbers. The values are defined elsewhere on purpose: if g++
// knew them it would treat the limits as cases of their own and give up vectorising.
template <class T>
struct Exp2Range {
  static const T least, most;
};

constexpr double ln_2 = 0.693147180559945309;
constexpr double log2_e = 1.442695040888963407;

// ln(2)^k / k!, the coefficients of the series of 2^f.
constexpr double exp2_coefficient(int k) { return k == 0 ? 1 : ln_2 / k * exp2_coefficient(k - 1); }

// The series of 2^f from the term of f^k on, divided by f^k.
template <int k, class T>
VP_HOST_DEVICE T exp2_series(T f) {
  constexpr T coefficient = T(exp2_coefficient(k));
  if constexpr (k == FloatFormat<T>::series_degree) {
    return coefficient;
  } else {
    return coefficient + f * exp2_series<k + 1>(f);
  }
}

// 2^x = power * (1 + excess), where `power` is a power of two and -0.3 < excess < 0.5.
template <class T>
struct SplitExp2 {
  T power, excess;
};

template <class T>
VP_HOST_DEVICE SplitExp2<T> split_exp2(T x) {
  using Format = FloatFormat<T>;
  using Bits = typename Format::Bits;
  x = x < Exp2Range<T>::least ? Exp2Range<T>::least : x;  // written so that NaN passes through
  x = x > Exp2Range<T>::most ? Exp2Range<T>::most : x;
  // Adding a number whose last mantissa bit counts one rounds x to a whole number n, and leaves
  // n + exponent_bias, which is the exponent of 2^n, in the last bits.
  constexpr T push = T((Bits(3) << (Format::mantissa_bits - 1)) + Format::exponent_bias);
  const T pushed = x + push;
  const T f = x - (pushed - push);
  return {bit_cast<T>(bit_cast<Bits>(pushed) << Format::mantissa_bits), f * exp2_series<1>(f)};
}

template <class T>
VP_HOST_DEVICE T sigmoid(T x) {
  const auto [power, excess] = split_exp2(x * T(-log2_e));
  return 1 / (1 + (power + power * excess));
}

template <class T>
VP_HOST_DEVICE T tanh(T x) {
  const auto [power, excess] = split_exp2(x * T(2 * log2_e));
  const T expm1 = power * excess + (power - 1);  // exp(2x) - 1, without cancellation near zero
  return expm1 / (expm1 + 2);
}

#endif

}  // namespace vidpred
