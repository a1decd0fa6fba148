// Marks functions that run on the CPU and in CUDA kernels alike.
//
// They are always inlined: on the CPU that lets one function be compiled for each instruction set it is
// called from (per_instruction_set.h), and lets the loop around it be vectorised.
#pragma once

#include <cstring>

#ifdef __CUDACC__
#define VP_HOST_DEVICE __host__ __device__ __forceinline__
#else
#define VP_HOST_DEVICE inline __attribute__((always_inline))
#endif

namespace vidpred {

// The bits of `from` as a `To`.
template <class To, class From>
VP_HOST_DEVICE To bit_cast(From from) {
  static_assert(sizeof(To) == sizeof(From));
  To to;
  memcpy(&to, &from, sizeof(To));
  return to;
}

}  // namespace vidpred
