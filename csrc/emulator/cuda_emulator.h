// CUDA's names for code that runs in the emulator. Included by common/launch.h alone.
#pragma once

#include <atomic>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include "emulator/grid.h"

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __shared__ static thread_local  // one block at a time runs on an operating-system thread

#define threadIdx (::vidpred::emulator::here().thread)
#define blockIdx (::vidpred::emulator::here().block)
#define blockDim (::vidpred::emulator::here().block_size)
#define gridDim (::vidpred::emulator::here().grid_size)

struct alignas(8) uint2 {
  unsigned x, y;
};
struct alignas(16) uint4 {
  unsigned x, y, z, w;
};
struct alignas(8) float2 {
  float x, y;
};
struct alignas(16) float4 {
  float x, y, z, w;
};

using cudaError_t = const char*;
constexpr cudaError_t cudaSuccess = nullptr;
inline cudaError_t cudaGetLastError() { return ::vidpred::emulator::last_error(); }
inline const char* cudaGetErrorString(cudaError_t error) { return error; }

enum cudaFuncAttribute { cudaFuncAttributeMaxDynamicSharedMemorySize };
template <class... Parameters>
cudaError_t cudaFuncSetAttribute(void (*kernel)(Parameters...), cudaFuncAttribute, int bytes) {
  return ::vidpred::emulator::grant_shared_bytes(reinterpret_cast<const void*>(kernel), bytes);
}

inline void __syncthreads() { ::vidpred::emulator::wait_for_block(); }
inline void __syncwarp(unsigned = ~0u) { ::vidpred::emulator::wait_for_warp(); }

namespace vidpred::emulator {

template <class... Parameters, class... Arguments>
void launch_kernel(unsigned cluster, void (*kernel)(Parameters...), dim3 grid, dim3 block,
                   size_t shared_bytes, void* /*stream: a launch waits*/, Arguments... arguments) {
  launch(reinterpret_cast<const void*>(kernel), grid, block, shared_bytes, cluster,
         [=] { kernel(arguments...); });
}

template <class T>
T exchange_value(T value, unsigned source) {
  static_assert(sizeof(T) <= sizeof(uint64_t));
  uint64_t bits = 0;
  std::memcpy(&bits, &value, sizeof(T));
  bits = exchange(bits, source);
  std::memcpy(&value, &bits, sizeof(T));
  return value;
}

}  // namespace vidpred::emulator

template <class T>
T __shfl_sync(unsigned, T value, unsigned source) {
  return ::vidpred::emulator::exchange_value(value, source);
}

template <class T>
T __shfl_xor_sync(unsigned, T value, unsigned mask) {
  return ::vidpred::emulator::exchange_value(value, ::vidpred::emulator::lane() ^ mask);
}

template <class T>
T __shfl_up_sync(unsigned, T value, unsigned delta) {
  const unsigned lane = ::vidpred::emulator::lane();
  return ::vidpred::emulator::exchange_value(value, lane >= delta ? lane - delta : lane);
}

template <class T>
T __shfl_down_sync(unsigned, T value, unsigned delta) {
  const unsigned lane = ::vidpred::emulator::lane();
  return ::vidpred::emulator::exchange_value(value, lane + delta < 32 ? lane + delta : lane);
}

template <class T>
T atomicAdd(T* address, T value) {
  return std::atomic_ref<T>(*address).fetch_add(value);
}

template <class T>
T __ldg(const T* address) {
  return *address;
}

inline float __fdividef(float a, float b) { return a / b; }
inline float rsqrtf(float x) { return 1 / sqrtf(x); }

// As CUDA's: of a NaN and a number the number.
template <class A, class B>
std::common_type_t<A, B> min(A a, B b) {
  using Common = std::common_type_t<A, B>;
  if constexpr (std::is_floating_point_v<Common>) {
    return std::fmin(Common(a), Common(b));
  } else {
    return Common(b) < Common(a) ? Common(b) : Common(a);
  }
}

template <class A, class B>
std::common_type_t<A, B> max(A a, B b) {
  using Common = std::common_type_t<A, B>;
  if constexpr (std::is_floating_point_v<Common>) {
    return std::fmax(Common(a), Common(b));
  } else {
    return Common(a) < Common(b) ? Common(b) : Common(a);
  }
}
