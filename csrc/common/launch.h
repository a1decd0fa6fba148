// What CUDA kernels are written with besides CUDA itself. A .cu file includes this and no CUDA header;
// compiled by nvcc it runs on a GPU, by a C++ compiler in the emulator of csrc/emulator.
//
//   VP_LAUNCH(kernel, grid, block, shared_bytes, stream, arguments...)    in place of <<<>>>
//   VP_DYNAMIC_SHARED(T, name);    in place of extern __shared__ T name[]
//   allow_shared_memory(kernel, bytes);    before a launch that may need more than 48 KiB of it
#pragma once

#include <cstdint>

#ifdef __CUDACC__

#include <cuda_runtime.h>

#define VP_LAUNCH(kernel, grid, block, shared_bytes, stream, ...) \
  kernel<<<grid, block, shared_bytes, static_cast<cudaStream_t>(stream)>>>(__VA_ARGS__)

#define VP_DYNAMIC_SHARED(T, name)                            \
  extern __shared__ __align__(16) unsigned char vp_shared_[]; \
  T* const name = reinterpret_cast<T*>(vp_shared_)

#else

#include "emulator/cuda_emulator.h"

#define VP_LAUNCH(kernel, grid, block, shared_bytes, stream, ...) \
  ::vidpred::emulator::launch_kernel(1, kernel, grid, block, shared_bytes, stream __VA_OPT__(, ) __VA_ARGS__)

#define VP_DYNAMIC_SHARED(T, name) \
  T* const name = static_cast<T*>(::vidpred::emulator::dynamic_shared_memory())

#endif

namespace vidpred {

// An error, such as more than the GPU has, stays for launch_error().
template <class Kernel>
void allow_shared_memory(Kernel kernel, size_t bytes) {
  if (bytes > 48 << 10) {
    cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, int(bytes));
  }
}

// Null, or CUDA's words for what went wrong with the last launch.
inline const char* launch_error() {
  const cudaError_t error = cudaGetLastError();
  return error == cudaSuccess ? nullptr : cudaGetErrorString(error);
}

}  // namespace vidpred
