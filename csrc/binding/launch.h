// Runs kernels where a tensor lives: on torch's threads, or on torch's current CUDA stream.
#pragma once

#include <torch/csrc/stable/accelerator.h>
#include <torch/csrc/stable/ops.h>

#include "binding/cuda_stream.h"
#include "binding/tensors.h"

namespace vidpred {

// Calls work(begin, end) on several threads, which together do the tasks [0, tasks).
template <class Work>
void run_on_cpu(int64_t tasks, Work work) {
  torch::stable::parallel_for(0, tasks, 1, work);
}

// Calls launch(stream) with the device of `tensor` being the current one. It returns null or an error text.
template <class Launch>
void launch_on_cuda(const Tensor& tensor, Launch launch) {
  const torch::stable::accelerator::DeviceGuard guard(tensor.get_device_index());
  const char* error = launch(current_cuda_stream(tensor.get_device_index()));
  STD_TORCH_CHECK(!error, "CUDA: ", error);
}

}  // namespace vidpred
