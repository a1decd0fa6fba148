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

  VP_HOST_DEVICE bool empty() const { return batch == 0 || height == 0 || width == 0; }
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

// --- On CUDA, the whole chain at once -------------------------------------------------------------------
//
// For at most `most_links` links between tensors of at most `most_rank` channels with kernels of at most
// `widest_kernel`. The functions launch on `stream`, a cudaStream_t of the current device, and return null,
// or CUDA's words for what went wrong with a launch.

constexpr int most_links = 4;
constexpr int most_rank = 16;
constexpr int widest_kernel = 7;

template <class T>
struct ChainLink {
  LinkTaps taps;
  const T* core;  // as it is stored: (out, in, kernel, kernel), or (in, out, kernel, kernel) transposed
  const T* bias;  // (out,), or null
  Planes<const T> addend;  // (N, out, H, W), or its data is null
  Planes<T> out;           // (N, out, H, W)
};

// Every link takes what the one before gives; the first takes `in`.
template <class T>
struct Chain {
  Planes<const T> in;
  int links;
  ChainLink<T> link[most_links];
};

template <class T>
const char* chain_cuda(const ImageSize& size, const Chain<T>& chain, void* stream);

// The gradients to all cores and biases: partial sums of groups of pixels, which are then added up.
template <class T>
struct CoreGradientLink {
  LinkTaps taps;
  Planes<const T> in;        // V_l, (N, in, H, W)
  Planes<const T> grad_out;  // the gradient to V_{l+1}, (N, out, H, W)
  accumulate_t<T>* sums;     // as many as core_gradient_cuda_sums says
  T* core;                   // (out, in, kernel, kernel)
  T* bias;                   // (out,), or null
};

template <class T>
struct CoreGradients {
  int links;
  CoreGradientLink<T> link[most_links];
};

int64_t core_gradient_cuda_sums(const ImageSize& size, const LinkTaps& taps);
template <class T>
const char* core_gradient_cuda(const ImageSize& size, const CoreGradients<T>& gradients, void* stream);

}  // namespace vidpred
