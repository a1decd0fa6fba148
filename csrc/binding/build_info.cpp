// What was compiled in, as JSON: read by vidpred/ops/_extension.py through ctypes.
#include <string>

#include "common/instruction_set.h"

// setup.py defines these when it compiles the CUDA kernels.
#ifndef VP_CUDA
#define VP_CUDA_ARCHITECTURES "[]"
#define VP_NVCC_VERSION ""
#endif

extern "C" __attribute__((visibility("default"))) const char* vidpred_build_info() {
  static const std::string info = std::string("{\"cpu_capability\": \"") +
                                  vidpred::name(vidpred::instruction_set()) +
                                  "\", \"cuda_architectures\": " VP_CUDA_ARCHITECTURES
                                  ", \"compiler\": \"C++ " __VERSION__ VP_NVCC_VERSION "\"}";
  return info.c_str();
}
