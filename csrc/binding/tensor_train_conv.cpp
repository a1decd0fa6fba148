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
Planes<const T> planes(const OptionalTensor& tensor) {
  return tensor
             ? Planes<const T>{data<T>(tensor), tensor->stride(0), tensor->stride(1), pixel_stride(*tensor)}
             : Planes<const T>{};
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
struct Links {
  Links(const Tensor& oldest, const Tensors& given) : size(image_size(oldest)) {
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

  size_t count() const { return cores.size(); }

  // How many channels V_2, ..., V_{order-1} have together.
  int64_t inner_channels() const {
    int64_t channels = 0;
    for (size_t l = 0; l + 1 < count(); ++l) {
      channels += taps[l].out_channels;
    }
    return channels;
  }

  ImageSize size;
  std::vector<LinkTaps> taps;
  Tensors cores;
};

// V_1, ..., V_{order-1}: what the links take.
Tensors link_inputs(const Links& chain, const Tensor& oldest, const Tensor& inner) {
  Tensors inputs{oldest};
  int64_t channel = 0;
  for (size_t l = 0; l + 1 < chain.count(); ++l) {
    Tensor whole = inner;
    inputs.push_back(torch::stable::narrow(whole, 1, channel, chain.taps[l].out_channels));
    channel += chain.taps[l].out_channels;
  }
  return inputs;
}

// A link as tensors; `bias` and `addend` may be absent.
struct LinkTensors {
  LinkTaps taps;
  Tensor core;
  OptionalTensor bias, addend;
  Tensor out;
};

// What the gradients to the core and the bias of a link are made of, and made into; `bias` may be absent.
struct GradientTensors {
  LinkTaps taps;
  Tensor in, grad_out, core;
  OptionalTensor bias;
};

// Returns V_N and, side by side as channels, V_2, ..., V_{N-1}, which the backward needs.
template <class Device>
std::tuple<Tensor, Tensor> forward(Tensors states, Tensors given_cores, Tensors biases) {
  STD_TORCH_CHECK(
      states.size() == given_cores.size() + 1 && (biases.empty() || biases.size() == given_cores.size()),
      "tensor_train_conv: expected one state more than cores, and as many biases or none");
  const Links chain(states[0], given_cores);
  const ImageSize& size = chain.size;
  for (size_t l = 0; l < states.size(); ++l) {
    const int64_t rank = l ? chain.taps[l - 1].out_channels : states[0].size(1);
    states[l] = with_dense_images(states[l], size, rank, states[0]);
  }
  const Tensor inner =
      torch::stable::new_empty(states[0], {size.batch, chain.inner_channels(), size.height, size.width});
  const Tensor value = empty_images(states.back(), size, states.back().size(1));
  if (!size.empty()) {
    Tensors values = link_inputs(chain, states[0], inner);
    values.push_back(value);
    std::vector<LinkTensors> links;
    for (size_t l = 0; l < chain.count(); ++l) {
      links.push_back({chain.taps[l], chain.cores[l], std::nullopt, states[l + 1], values[l + 1]});
      if (!biases.empty()) {
        links[l].bias = contiguous_like(biases[l], states[0], chain.taps[l].out_channels);
      }
    }
    for_dtype(states[0].scalar_type(),
              [&](auto zero) { Device::template run<decltype(zero)>(size, states[0], links); });
  }
  return {value, inner};
}

// Returns the gradients to S_1, ..., S_{N-1} (that to S_N is `grad` itself), to the cores, and to the biases
// if there are any.
template <class Device>
std::tuple<Tensors, Tensors, Tensors> backward(Tensor grad, Tensor oldest, Tensor inner, Tensors given_cores,
                                               bool has_biases) {
  const Links chain(oldest, given_cores);
  const ImageSize& size = chain.size;
  oldest = with_dense_images(oldest, size, oldest.size(1), oldest);
  inner = with_dense_images(inner, size, chain.inner_channels(), oldest);
  grad = with_dense_images(grad, size, chain.taps.back().out_channels, oldest);

  const Tensors values = link_inputs(chain, oldest, inner);
  Tensors grad_states(chain.count()), grad_cores, grad_biases;
  std::vector<LinkTensors> links;
  std::vector<GradientTensors> gradients;
  for (size_t l = 0; l < chain.count(); ++l) {
    const LinkTaps& taps = chain.taps[l];
    grad_states[l] = empty_images(oldest, size, taps.in_channels);
    grad_cores.push_back(torch::stable::empty_like(chain.cores[l]));
    gradients.push_back({taps, values[l], grad, grad_cores[l], std::nullopt});
    if (has_biases) {
      grad_biases.push_back(torch::stable::new_empty(oldest, {taps.out_channels}));
      gradients[l].bias = grad_biases[l];
    }
  }
  for (size_t l = chain.count(); l-- > 0;) {
    const LinkTaps transposed{chain.taps[l].out_channels, chain.taps[l].in_channels, chain.taps[l].kernel,
                              true};
    links.push_back({transposed, chain.cores[l], std::nullopt, std::nullopt, grad_states[l]});
    if (l > 0) {
      gradients[l - 1].grad_out = grad_states[l];
    }
  }
  for_dtype(oldest.scalar_type(), [&](auto zero) {
    using T = decltype(zero);
    if (!size.empty()) {
      Device::template run<T>(size, grad, links);
    }
    Device::template core_gradients<T>(size, gradients);
  });
  return {grad_states, grad_cores, grad_biases};
}

struct OnCpu {
  template <class T>
  static void run(const ImageSize& size, Tensor in, const std::vector<LinkTensors>& links) {
    using A = accumulate_t<T>;
    for (const LinkTensors& given : links) {
      const LinkTaps& taps = given.taps;
      const Tensor packed =
          torch::stable::new_empty(in, {packed_core_size(taps)}, accumulate_dtype(in.scalar_type()));
      pack_core(taps, data<T>(given.core), mutable_data<A>(packed));
      const Link<T> link{planes<T>(in), data<A>(packed), data<T>(given.bias), planes<T>(given.addend),
                         mutable_planes<T>(given.out)};
      run_on_cpu(link_cpu_tasks(size), [&](int64_t begin, int64_t end) {
        link_cpu(instruction_set(), size, taps, link, scratch<A>(link_cpu_scratch(size, taps)), begin, end);
      });
      in = given.out;
    }
  }

  template <class T>
  static void core_gradients(const ImageSize& size, const std::vector<GradientTensors>& gradients) {
    using A = accumulate_t<T>;
    const int64_t groups = core_gradient_cpu_groups(size);
    for (const GradientTensors& wanted : gradients) {
      const LinkTaps& taps = wanted.taps;
      const ScalarType sum_dtype = accumulate_dtype(wanted.core.scalar_type());
      const Tensor core_sums = torch::stable::new_empty(wanted.core, {groups, taps.count()}, sum_dtype);
      const Tensor bias_sums = torch::stable::new_empty(wanted.core, {groups, taps.out_channels}, sum_dtype);
      const CoreGradient<T> gradient{planes<T>(wanted.in), planes<T>(wanted.grad_out),
                                     mutable_data<A>(core_sums),
                                     wanted.bias ? mutable_data<A>(bias_sums) : nullptr};
      run_on_cpu(groups, [&](int64_t begin, int64_t end) {
        core_gradient_cpu(instruction_set(), size, taps, gradient,
                          scratch<A>(core_gradient_cpu_scratch(size, taps)), begin, end);
      });
      add_up(core_sums, wanted.core);
      if (wanted.bias) {
        add_up(bias_sums, *wanted.bias);
      }
    }
  }

 private:
  // Adds up partial sums, (groups, elements).
  static void add_up(const Tensor& sums, const Tensor& total) {
    Tensor flat = torch::stable::view(total, {total.numel()});
    torch::stable::copy_(flat, torch::stable::sum(sums, std::vector<int64_t>{0}));
  }
};

#ifdef VP_CUDA
struct OnCuda {
  template <class T>
  static void run(const ImageSize& size, const Tensor& in, const std::vector<LinkTensors>& links) {
    STD_TORCH_CHECK(links.size() <= size_t(most_links), "tensor_train_conv: at most ", most_links,
                    " cores on CUDA");
    Chain<T> chain{planes<T>(in), int(links.size()), {}};
    for (size_t l = 0; l < links.size(); ++l) {
      const LinkTensors& given = links[l];
      STD_TORCH_CHECK(std::max(given.taps.in_channels, given.taps.out_channels) <= most_rank &&
                          given.taps.kernel <= widest_kernel,
                      "tensor_train_conv: ranks of at most ", most_rank, " and kernels of at most ",
                      widest_kernel, " on CUDA");
      chain.link[l] = {given.taps, data<T>(given.core), data<T>(given.bias), planes<T>(given.addend),
                       mutable_planes<T>(given.out)};
    }
    launch_on_cuda(in, [&](void* stream) { return chain_cuda(size, chain, stream); });
  }

  template <class T>
  static void core_gradients(const ImageSize& size, const std::vector<GradientTensors>& given) {
    using A = accumulate_t<T>;
    CoreGradients<T> gradients{int(given.size()), {}};
    Tensors sums;
    for (size_t l = 0; l < given.size(); ++l) {
      const GradientTensors& wanted = given[l];
      sums.push_back(torch::stable::new_empty(wanted.core, {core_gradient_cuda_sums(size, wanted.taps)},
                                              accumulate_dtype(wanted.core.scalar_type())));
      gradients.link[l] = {wanted.taps,
                           planes<T>(wanted.in),
                           planes<T>(wanted.grad_out),
                           mutable_data<A>(sums[l]),
                           mutable_data<T>(wanted.core),
                           mutable_data<T>(wanted.bias)};
    }
    launch_on_cuda(given[0].core, [&](void* stream) { return core_gradient_cuda(size, gradients, stream); });
  }
};
#endif

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
  m.impl("tensor_train_conv", TORCH_BOX(&vidpred::forward<vidpred::OnCpu>));
  m.impl("tensor_train_conv_backward", TORCH_BOX(&vidpred::backward<vidpred::OnCpu>));
}

#ifdef VP_CUDA
STABLE_TORCH_LIBRARY_IMPL(vidpred, CUDA, m) {
  m.impl("tensor_train_conv", TORCH_BOX(&vidpred::forward<vidpred::OnCuda>));
  m.impl("tensor_train_conv_backward", TORCH_BOX(&vidpred::backward<vidpred::OnCuda>));
}
#endif
