// The stream that torch would launch on.
#pragma once

#include <cstdint>

namespace vidpred {

// torch's current stream of a CUDA device, a cudaStream_t. Throws where torch was built without CUDA.
void* current_cuda_stream(int32_t device_index);

}  // namespace vidpred
