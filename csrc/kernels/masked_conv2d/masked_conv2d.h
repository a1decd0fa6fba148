// masked_conv2d: the convolution of a PixelCNN and its gradients (seed 001, eq. 3.11, 3.12; groups
// of colors after van den Oord et al., Pixel Recurrent Neural Networks, 2016).
//
//   x, grad_x  (batch, height, width, c_in)     y, grad_y  (batch, height, width, c_out)
//   weight, grad_weight  (c_out, c_in, size, size)
//
// all contiguous. On the CPU T is float or double, and the live weights are packed for each of the two
// passes, in the order in which the products need them; on CUDA it may be a half type too. No function here
// allocates or waits. Buffers do not overlap.
#pragma once

#include <cstdint>

#include "common/half.h"
#include "common/instruction_set.h"
#include "kernels/masked_conv2d/masked_conv2d_math.h"

namespace vidpred {

// Each function does the tasks [begin, end) of as many as are named here, which may run in any order and at
// the same time; some with scratch memory of its own, of so many numbers.
struct MaskedConvCpuWork {
  int64_t packed;          // size of the packed weights
  int64_t pack_tasks;      // packing
  int64_t tasks, scratch;  // convolving, and summing up the gradient to the weights
  // Of pixels. Sums are (groups, c_out * c_in * size * size) and (groups, c_out), in the order of the weight.
  int64_t groups;
};

template <class T>
MaskedConvCpuWork masked_conv2d_cpu_work(InstructionSet set, const MaskedPass& pass);

// weight -> packed
template <class T>
void masked_conv2d_pack_cpu(InstructionSet set, const MaskedPass& pass, const T* weight, T* packed,
                            int64_t begin, int64_t end);

// x, packed, bias -> y; or grad_y, packed, null -> grad_x. The bias may be null.
template <class T>
void masked_conv2d_cpu(InstructionSet set, const MaskedPass& pass, const T* from, const T* packed,
                       const T* bias, T* to, T* scratch, int64_t begin, int64_t end);

// x, grad_y -> weight_sums and bias_sums, a task for each group; for the forward pass. What is masked is set
// to zero. `bias_sums` may be null.
template <class T>
void masked_conv2d_sums_cpu(InstructionSet set, const MaskedPass& pass, const T* x, const T* grad_y,
                            T* weight_sums, T* bias_sums, T* scratch, int64_t begin, int64_t end);

// On CUDA: launched on `stream`, a cudaStream_t of the current device. They return null, or CUDA's words for
// what went wrong with the launch.
template <class T>
const char* masked_conv2d_cuda(const MaskedPass& pass, const T* from, const T* weight, const T* bias, T* to,
                               void* stream);

// x, grad_y -> weight_sums (groups, c_out * c_in * size * size), which comes filled with zeros.
int64_t masked_conv2d_cuda_groups(const MaskedConvShape& shape);

template <class T>
const char* masked_conv2d_sums_cuda(const MaskedPass& pass, const T* x, const T* grad_y,
                                    accumulate_t<T>* weight_sums, void* stream);

}  // namespace vidpred
