// vidpred::tensor_train_conv and its backward: check, allocate, launch. vidpred/ops/tensor_train_conv.py
// documents the arguments and has checked them with errors that name them; the checks here guard the memory.
#include "kernels/tensor_train_conv/tensor_train_conv.h"

#include <torch/csrc/stable/library.h>

#include <algorithm>
#include <tuple>
#include <vector>

#include "binding/launch.h"
#include "binding/scratch.h"
#include "binding/tensors.h"

namespace vidpred {
namespace {

using Tensors = std::vector<Tensor>;

// The distance in memory from a pixel to the next one.
int64_t pixel_stride(const Tensor& tensor) {
  return tensor.size(3) > 1 ? tensor.stride(3) : tensor.stride(2);
}

// `tensor`, copied if its images are not dense (see Planes), after checking that it is (N, channels, H, W)
// and has the dtype and device of `model`.
Tensor with_dense_images(const Tensor& tensor, const ImageSize& size, int64_t channels, const Tensor& model) {
  STD_TORCH_CHECK(tensor.dim() == 4 && tensor.size(0) == size.batch && tensor.size(1) == channels &&
                      tensor.size(2) == size.height && tensor.size(3) == size.width,
                  "tensor_train_conv: expected shape (", size.batch, ", ", channels, ", ", size.height, ", ",
                  size.width, ")");
  STD_TORCH_CHECK(tensor.scalar_type() == model.scalar_type() && tensor.is_cuda() == model.is_cuda() &&
                      tensor.get_device_index() == model.get_device_index(),
                  "expected all tensors to have one dtype and one device");
  const bool dense = size.height <= 1 || size.width <= 1 || tensor.stride(2) == size.width * tensor.stride(3);
  return dense ? tensor : torch::stable::contiguous(tensor);
}

// An uninitialised (N, channels, H, W), with the channels of a pixel side by side if `model` has them so.
Tensor empty_images(const Tensor& model, const ImageSize& size, int64_t channels) {
  const bool channels_last = model.size(1) > 1 && model.stride(1) == 1 && pixel_stride(model) > 1;
  if (!channels_last) {
    return torch::stable::new_empty(model, {size.batch, channels, size.height, size.width});
  }
  const Tensor rows = torch::stable::new_empty(model, {size.batch, size.height, size.width, channels});
  return torch::stable::transpose(torch::stable::transpose(rows, 1, 3), 2, 3);
}

template <class T>
Planes<const T> planes(const Tensor& tensor) {
  return {data<T>(tensor), tensor.stride(0), tensor.stride(1), pixel_stride(tensor)};
}

template <class T>
Planes<T> mutable_planes(const Tensor& tensor) {
  return {mutable_data<T>(tensor), tensor.stride(0), tensor.stride(1), pixel_stride(tensor)};
}

ImageSize image_size(const Tensor& state) {
  STD_TORCH_CHECK(state.dim() == 4, "tensor_train_conv: states must have shape (N, R, H, W)");
  return {state.size(0), state.size(2), state.size(3)};
}

// The cores, contiguous and checked, of which each takes what the one before gives.
struct Chain {
  Chain(const Tensor& oldest, const Tensors& given) : size(image_size(oldest)) {
    STD_TORCH_CHECK(!given.empty(), "tensor_train_conv: expected at least one core");
    int64_t rank = oldest.size(1);
    for (const Tensor& core : given) {
      STD_TORCH_CHECK(
          core.dim() == 4 && core.size(1) == rank && core.size(2) == core.size(3) && core.size(2) % 2 == 1,
          "tensor_train_conv: expected a core of shape (R, ", rank, ", K, K) with odd K");
      taps.push_back({rank, core.size(0), core.size(2), false});
      cores.push_back(contiguous_like(core, oldest, taps.back().count()));
      rank = core.size(0);
    }
  }

  size_t links() const { return cores.size(); }
  bool empty() const { return size.batch == 0 || size.height == 0 || size.width == 0; }

  // How many channels V_2, ..., V_{order-1} have together.
  int64_t inner_channels() const {
    int64_t channels = 0;
    for (size_t l = 0; l + 1 < links(); ++l) {
      channels += taps[l].out_channels;
    }
    return channels;
  }

  ImageSize size;
  std::vector<LinkTaps> taps;
  Tensors cores;
};

// V_1, ..., V_{order-1}: what the links take.
Tensors link_inputs(const Chain& chain, const Tensor& oldest, const Tensor& inner) {
  Tensors inputs{oldest};
  int64_t channel = 0;
  for (size_t l = 0; l + 1 < chain.links(); ++l) {
    Tensor whole = inner;
    inputs.push_back(torch::stable::narrow(whole, 1, channel, chain.taps[l].out_channels));
    channel += chain.taps[l].out_channels;
  }
  return inputs;
}

// Runs one link. `bias` and `addend` may be absent.
template <class T>
void run_link(const ImageSize& size, const LinkTaps& taps, const Tensor& in, const Tensor& core,
              const OptionalTensor& bias, const OptionalTensor& addend, const Tensor& out) {
  using A = accumulate_t<T>;
  const Tensor packed =
      torch::stable::new_empty(core, {packed_core_size(taps)}, accumulate_dtype(core.scalar_type()));
  pack_core(taps, data<T>(core), mutable_data<A>(packed));
  const Link<T> link{planes<T>(in), data<A>(packed), data<T>(bias),
                     addend ? planes<T>(*addend) : Planes<const T>{}, mutable_planes<T>(out)};
  run_on_cpu(link_cpu_tasks(size), [&](int64_t begin, int64_t end) {
    link_cpu(instruction_set(), size, taps, link, scratch<A>(link_cpu_scratch(size, taps)), begin, end);
  });
}

// Returns V_N and, side by side as channels, V_2, ..., V_{N-1}, which the backward needs.
std::tuple<Tensor, Tensor> forward_cpu(Tensors states, Tensors given_cores, Tensors biases) {
  STD_TORCH_CHECK(
      states.size() == given_cores.size() + 1 && (biases.empty() || biases.size() == given_cores.size()),
      "tensor_train_conv: expected one state more than cores, and as many biases or none");
  const Chain chain(states[0], given_cores);
  const ImageSize& size = chain.size;
  for (size_t l = 0; l < states.size(); ++l) {
    const int64_t rank = l ? chain.taps[l - 1].out_channels : states[0].size(1);
    states[l] = with_dense_images(states[l], size, rank, states[0]);
  }
  for (size_t l = 0; l < biases.size(); ++l) {
    biases[l] = contiguous_like(biases[l], states[0], chain.taps[l].out_channels);
  }
  const Tensor inner =
      torch::stable::new_empty(states[0], {size.batch, chain.inner_channels(), size.height, size.width});
  const Tensor value = empty_images(states.back(), size, states.back().size(1));
  Tensors values = link_inputs(chain, states[0], inner);
  values.push_back(value);
  if (!chain.empty()) {
    for_dtype(states[0].scalar_type(), [&](auto zero) {
      for (size_t l = 0; l < chain.links(); ++l) {
        run_link<decltype(zero)>(size, chain.taps[l], values[l], chain.cores[l],
                                 biases.empty() ? OptionalTensor() : biases[l], states[l + 1], values[l + 1]);
      }
    });
  }
  return {value, inner};
}

// Returns the gradients to S_1, ..., S_{N-1} (that to S_N is `grad` itself), to the cores, and to the biases
// if there are any.
std::tuple<Tensors, Tensors, Tensors> backward_cpu(Tensor grad, Tensor oldest, Tensor inner,
                                                   Tensors given_cores, bool has_biases) {
  const Chain chain(oldest, given_cores);
  const ImageSize& size = chain.size;
  oldest = with_dense_images(oldest, size, oldest.size(1), oldest);
  inner = contiguous_like(inner, oldest, size.batch * chain.inner_channels() * size.height * size.width);
  grad = with_dense_images(grad, size, chain.taps.back().out_channels, oldest);
  const Tensors values = link_inputs(chain, oldest, inner);
  const ScalarType dtype = oldest.scalar_type();

  Tensors grad_states(chain.links()), grad_cores(chain.links()), grad_biases(has_biases ? chain.links() : 0);
  for_dtype(dtype, [&](auto zero) {
    using T = decltype(zero);
    using A = accumulate_t<T>;
    const int64_t groups = core_gradient_cpu_groups(size);
    for (size_t l = chain.links(); l-- > 0;) {
      const LinkTaps& taps = chain.taps[l];
      const Tensor& grad_out = l + 1 < chain.links() ? grad_states[l + 1] : grad;
      const Tensor core_sums = torch::stable::new_empty(
          oldest, {groups, taps.out_channels, taps.in_channels, taps.kernel, taps.kernel},
          accumulate_dtype(dtype));
      const Tensor bias_sums = torch::stable::new_empty(oldest, {has_biases ? groups : 0, taps.out_channels},
                                                        accumulate_dtype(dtype));
      const CoreGradient<T> gradient{planes<T>(values[l]), planes<T>(grad_out), mutable_data<A>(core_sums),
                                     has_biases ? mutable_data<A>(bias_sums) : nullptr};
      run_on_cpu(groups, [&](int64_t begin, int64_t end) {
        core_gradient_cpu(instruction_set(), size, taps, gradient,
                          scratch<A>(core_gradient_cpu_scratch(size, taps)), begin, end);
      });
      grad_cores[l] = torch::stable::to(torch::stable::sum(core_sums, std::vector<int64_t>{0}), dtype);
      if (has_biases) {
        grad_biases[l] = torch::stable::to(torch::stable::sum(bias_sums, std::vector<int64_t>{0}), dtype);
      }
      grad_states[l] = empty_images(oldest, size, taps.in_channels);
      const LinkTaps transposed{taps.out_channels, taps.in_channels, taps.kernel, true};
      if (!chain.empty()) {
        run_link<T>(size, transposed, grad_out, chain.cores[l], {}, {}, grad_states[l]);
      }
    }
  });
  return {grad_states, grad_cores, grad_biases};
}

}  // namespace
}  // namespace vidpred

STABLE_TORCH_LIBRARY_FRAGMENT(vidpred, m) {
  m.def(
      "tensor_train_conv(Tensor[] states, Tensor[] cores, Tensor[] biases) -> (Tensor value, Tensor inner)");
  m.def(
      "tensor_train_conv_backward(Tensor grad, Tensor oldest, Tensor inner, Tensor[] cores, bool has_biases) "
      "-> (Tensor[] grad_states, Tensor[] grad_cores, Tensor[] grad_biases)");
}

STABLE_TORCH_LIBRARY_IMPL(vidpred, CPU, m) {
  m.impl("tensor_train_conv", TORCH_BOX(&vidpred::forward_cpu));
  m.impl("tensor_train_conv_backward", TORCH_BOX(&vidpred::backward_cpu));
}
