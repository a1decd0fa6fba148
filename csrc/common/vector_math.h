// sigmoid and tanh for float and double. On the CPU they are written without branches, so that the
// compiler vectorises loops over them (g++ does so only with -fno-trapping-math), and are exact to 4 units
// in the last place within the range of exp, as csrc/tests/test_vector_math.cpp asserts. In CUDA kernels
// they stand on CUDA's own functions. NaN stays NaN, infinities saturate.
#pragma once

#include <cmath>
#include <cstdint>

#include "common/host_device.h"

namespace vidpred {

template <class T>
struct FloatFormat;

template <>
struct FloatFormat<float> {
  using Bits = uint32_t;
  static constexpr int mantissa_bits = 23;
  static constexpr Bits exponent_bias = 127;
  static constexpr float exp_range = 87;      // both exp(87) and exp(-87) are normal numbers
  static constexpr int series_degree = 7;     // |r|^8 / 8! is below the rounding error
  static constexpr float ln2_high = 0x1.62ep-1f;  // few bits, so that n * ln2_high is exact
  static constexpr float ln2_low = 0x1.0bfbe8p-15f;
};

template <>
struct FloatFormat<double> {
  using Bits = uint64_t;
  static constexpr int mantissa_bits = 52;
  static constexpr Bits exponent_bias = 1023;
  static constexpr double exp_range = 708;
  static constexpr int series_degree = 13;
  static constexpr double ln2_high = 0x1.62e42fefap-1;
  static constexpr double ln2_low = 0x1.cf79abc9e3b3ap-40;
};

constexpr double factorial(int n) { return n < 2 ? 1 : n * factorial(n - 1); }

// 1/k! + r/(k+1)! + ... up to the term of 1/degree!.
template <int k, int degree, class T>
VP_HOST_DEVICE T exp_series(T r) {
  constexpr T coefficient = T(1 / factorial(k));
  if constexpr (k == degree) {
    return coefficient;
  } else {
    return coefficient + r * exp_series<k + 1, degree>(r);
  }
}

// exp(x) as power * (1 + excess), where `power` is one of two and |excess| <= sqrt(2) - 1.
template <class T>
struct SplitExp {
  T power, excess;
};

template <class T>
VP_HOST_DEVICE SplitExp<T> split_exp(T x) {
  using Format = FloatFormat<T>;
  using Bits = typename Format::Bits;
  // Written so that NaN passes through.
  x = x < -Format::exp_range ? -Format::exp_range : x;
  x = x > Format::exp_range ? Format::exp_range : x;
  // x = n ln(2) + r. Adding 1.5 * 2^mantissa_bits pushes the fraction out: the sum's last bits are n.
  constexpr T log2_e = T(1.442695040888963407);
  constexpr T push = T(3 * (Bits(1) << (Format::mantissa_bits - 1)));
  const T pushed = x * log2_e + push;
  const T n = pushed - push;
  const T r = (x - n * Format::ln2_high) - n * Format::ln2_low;
  const Bits exponent = bit_cast<Bits>(pushed) + Format::exponent_bias;
  return {bit_cast<T>(exponent << Format::mantissa_bits), r * exp_series<1, Format::series_degree>(r)};
}

#ifdef __CUDA_ARCH__

// A handful of instructions: at the bandwidth of a large GPU there is time for about a hundred a cell.
__device__ __forceinline__ float sigmoid(float x) { return __fdividef(1, 1 + __expf(-x)); }
__device__ __forceinline__ double sigmoid(double x) { return 1 / (1 + ::exp(-x)); }
__device__ __forceinline__ float tanh(float x) { return ::tanhf(x); }
__device__ __forceinline__ double tanh(double x) { return ::tanh(x); }

#else

template <class T>
VP_HOST_DEVICE T sigmoid(T x) {
  const auto [power, excess] = split_exp(-x);
  return 1 / (1 + (power + power * excess));
}

template <class T>
VP_HOST_DEVICE T tanh(T x) {
  const auto [power, excess] = split_exp(2 * x);
  const T expm1 = power * excess + (power - 1);  // exp(2x) - 1, without cancellation near zero
  return expm1 / (expm1 + 2);
}

#endif

}  // namespace vidpred
