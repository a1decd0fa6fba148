// tensor_train_conv: the chain of small convolutions of a convolutional tensor-train (seed 002, eq. 8-9).
//
//   V_1 = S_1,   V_{l+1} = S_{l+1} + core_l * V_l + bias_l        l = 1 .. order - 1
//
// Convolutions have odd square kernels and zeros around the image. T is float, double, float16 or bfloat16;
// A = accumulate_t<T>. No function here allocates or waits. Buffers do not overlap.
#pragma once

#include <cstdint>

#include "common/half.h"
#include "common/instruction_set.h"
#include "kernels/tensor_train_conv/tensor_train_conv_math.h"

namespace vidpred {

// A tensor (N, C, H, W) whose images are dense: pixel (y, x) lies at (y * W + x) * pixel_stride. Thus
// contiguous and channels-last tensors, and slices of their channels.
template <class T>
struct Planes {
  T* data;
  int64_t batch_stride, channel_stride, pixel_stride;

  VP_HOST_DEVICE T* row(int64_t n, int64_t channel, int64_t first_pixel) const {
    return data + n * batch_stride + channel * channel_stride + first_pixel * pixel_stride;
  }
};

struct ImageSize {
  int64_t batch, height, width;
};

// --- On the CPU, link by link ---------------------------------------------------------------------------
//
// The work of a function comes in tasks that may run in any order and at the same time; a call does those
// numbered [begin, end), and uses `scratch`, of as many elements as asked for, for itself alone. It is
// aligned to 64 bytes.

// One link, either forward or of the gradient.
template <class T>
struct Link {
  Planes<const T> in;              // (N, in, H, W)
  const accumulate_t<T>* weights;  // from pack_core
  const T* bias;                   // (out,), or null
  Planes<const T> addend;          // (N, out, H, W), or its data is null
  Planes<T> out;                   // (N, out, H, W)
};

// The core with the weights in the order in which a link needs them.
int64_t packed_core_size(const LinkTaps& taps);
template <class T>
void pack_core(const LinkTaps& taps, const T* core, accumulate_t<T>* packed);

int64_t link_cpu_tasks(const ImageSize& size);
int64_t link_cpu_scratch(const ImageSize& size, const LinkTaps& taps);
template <class T>
void link_cpu(InstructionSet set, const ImageSize& size, const LinkTaps& taps, const Link<T>& link,
              accumulate_t<T>* scratch, int64_t begin, int64_t end);

// The gradients to a link's core and bias are sums over all images. What is computed are partial sums, one
// for each group of rows; the groups depend on the shape alone, so that the result does not depend on
// threads.
template <class T>
struct CoreGradient {
  Planes<const T> in;          // V_l, (N, in, H, W)
  Planes<const T> grad_out;    // the gradient to V_{l+1}, (N, out, H, W)
  accumulate_t<T>* core_sums;  // (groups, out, in, kernel, kernel)
  accumulate_t<T>* bias_sums;  // (groups, out), or null
};

int64_t core_gradient_cpu_groups(const ImageSize& size);  // each is a task
int64_t core_gradient_cpu_scratch(const ImageSize& size, const LinkTaps& taps);
template <class T>
void core_gradient_cpu(InstructionSet set, const ImageSize& size, const LinkTaps& taps,
                       const CoreGradient<T>& gradient, accumulate_t<T>* scratch, int64_t begin, int64_t end);

}  // namespace vidpred
