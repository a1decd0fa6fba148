// flow_warp: features moved along a flow, and the gradients to both (seed 001, eq. 3.3 and 3.5).
//
// T is float, double, float16 or bfloat16; A = accumulate_t<T>. Features, outputs and their gradients are
// (N, C, H, W), contiguous or channels-last, all alike; flow and its gradient are (N, 2, H, W), contiguous: x
// to the right, then y down, in pixels. Buffers do not overlap. No function here allocates or waits.
#pragma once

#include <cstdint>

#include "common/half.h"
#include "common/instruction_set.h"

namespace vidpred {

enum class FlowPadding { zeros, border };

struct FlowWarpShape {
  int64_t batch, channels, height, width;
  bool channels_last;
  FlowPadding padding;

  VP_HOST_DEVICE int64_t pixels() const { return height * width; }
};

template <class T>
struct FlowWarpGradients {
  T* features;
  // (groups, N, 2, H, W): a sum for each group of channels; what remains is to add up the groups. They
  // depend on the shape alone, so that the result does not depend on threads or timing.
  accumulate_t<T>* flow;
};

// On the CPU the work comes in tasks that may run in any order and at the same time; each function does
// those numbered [begin, end), with so many numbers of scratch memory of its own.
int64_t flow_warp_cpu_groups(const FlowWarpShape& shape);
int64_t flow_warp_cpu_tasks(const FlowWarpShape& shape);
template <class T>
int64_t flow_warp_cpu_scratch(const FlowWarpShape& shape);

template <class T>
void flow_warp_forward_cpu(InstructionSet set, const FlowWarpShape& shape, const T* features, const T* flow,
                           T* warped, accumulate_t<T>* scratch, int64_t begin, int64_t end);

template <class T>
void flow_warp_backward_cpu(InstructionSet set, const FlowWarpShape& shape, const T* features, const T* flow,
                            const T* grad_warped, const FlowWarpGradients<T>& wanted,
                            accumulate_t<T>* scratch, int64_t begin, int64_t end);

// On CUDA: launched on `stream`, a cudaStream_t of the current device. They return null, or CUDA's words for
// what went wrong with the launch.
int64_t flow_warp_cuda_groups(const FlowWarpShape& shape);

template <class T>
const char* flow_warp_forward_cuda(const FlowWarpShape& shape, const T* features, const T* flow, T* warped,
                                   void* stream);

// The gradient to the features is added up by atomic additions, in whatever order they come, to `features`,
// which lies like the features and comes filled with zeros.
template <class T>
struct FlowWarpCudaGradients {
  accumulate_t<T>* features;
  accumulate_t<T>* flow;  // as in FlowWarpGradients
};

template <class T>
const char* flow_warp_backward_cuda(const FlowWarpShape& shape, const T* features, const T* flow,
                                    const T* grad_warped, const FlowWarpCudaGradients<T>& wanted,
                                    void* stream);

}  // namespace vidpred
