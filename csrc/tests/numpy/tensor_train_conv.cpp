#include "kernels/tensor_train_conv/tensor_train_conv.h"

#include <memory>
#include <new>

#include "tests/numpy/arrays.h"

namespace vidpred {
namespace {

using Arrays = std::vector<Array>;

// Contiguous tensors (N, C, H, W) and cores (out, in, K, K).
template <class T>
Planes<const T> planes(const Array& array) {
  const int64_t space = array.shape(2) * array.shape(3);
  return {static_cast<const T*>(array.data()), array.shape(1) * space, space, 1};
}

template <class T>
Planes<T> mutable_planes(Array& array) {
  const int64_t space = array.shape(2) * array.shape(3);
  return {static_cast<T*>(array.mutable_data()), array.shape(1) * space, space, 1};
}

ImageSize size_of(const Array& images) { return {images.shape(0), images.shape(2), images.shape(3)}; }

LinkTaps taps_of(const Array& core, bool transposed = false) {
  return {core.shape(transposed ? 0 : 1), core.shape(transposed ? 1 : 0), core.shape(2), transposed};
}

Array poisoned_images(const Array& like, int64_t channels) {
  return poisoned(like.dtype(), {like.shape(0), channels, like.shape(2), like.shape(3)});
}

template <class T>
class Scratch {
 public:
  explicit Scratch(int64_t count)
      : memory_(static_cast<T*>(::operator new(count * sizeof(T), std::align_val_t(64)))) {}

  T* get() const { return memory_.get(); }

 private:
  struct Free {
    void operator()(T* memory) const { ::operator delete(memory, std::align_val_t(64)); }
  };
  std::unique_ptr<T, Free> memory_;
};

// Runs `chain` on the CPU link by link, or in the emulator at once.
template <class T>
void run(const std::string& place, const ImageSize& size, const Chain<T>& chain) {
  using A = accumulate_t<T>;
  const auto set = instruction_set_of(place);
  if (!set) {
    raise_if(chain_cuda(size, chain, nullptr));
    return;
  }
  Planes<const T> in = chain.in;
  for (int l = 0; l < chain.links; ++l) {
    const ChainLink<T>& given = chain.link[l];
    std::vector<A> packed(packed_core_size(given.taps));
    pack_core(given.taps, given.core, packed.data());
    const Link<T> link{in, packed.data(), given.bias, given.addend, given.out};
    const Scratch<A> scratch(link_cpu_scratch(size, given.taps));
    link_cpu(*set, size, given.taps, link, scratch.get(), 0, link_cpu_tasks(size));
    in = {given.out.data, given.out.batch_stride, given.out.channel_stride, given.out.pixel_stride};
  }
}

// Returns V_2, ..., V_N. There are as many biases as cores, or none.
Arrays forward(const std::string& place, const std::string& dtype, const Arrays& states, const Arrays& cores,
               const Arrays& biases) {
  Arrays values;
  for_dtype(dtype, [&](auto zero) {
    using T = decltype(zero);
    Chain<T> chain{planes<T>(states[0]), int(cores.size()), {}};
    for (size_t l = 0; l < cores.size(); ++l) {
      values.push_back(poisoned_images(states[0], cores[l].shape(0)));
      chain.link[l] = {taps_of(cores[l]), data<T>(cores[l]), biases.empty() ? nullptr : data<T>(biases[l]),
                       planes<T>(states[l + 1]), mutable_planes<T>(values[l])};
    }
    run(place, size_of(states[0]), chain);
  });
  return values;
}

// Returns the gradients to S_1, ..., S_{N-1}, from that to V_N.
Arrays backward(const std::string& place, const std::string& dtype, const Array& grad, const Arrays& cores) {
  Arrays gradients;
  for (const Array& core : cores) {
    gradients.push_back(poisoned_images(grad, core.shape(1)));
  }
  for_dtype(dtype, [&](auto zero) {
    using T = decltype(zero);
    Chain<T> chain{planes<T>(grad), int(cores.size()), {}};
    for (size_t l = cores.size(); l-- > 0;) {
      chain.link[cores.size() - 1 - l] = {
          taps_of(cores[l], true), data<T>(cores[l]), nullptr, {}, mutable_planes<T>(gradients[l])};
    }
    run(place, size_of(grad), chain);
  });
  return gradients;
}

// Returns the gradients to a core and to a bias, in dtype in the emulator, on the CPU as the partial sums
// (groups, elements) before they are added up.
py::tuple core_gradient(const std::string& place, const std::string& dtype, const Array& in,
                        const Array& grad_out, int64_t kernel) {
  const ImageSize size = size_of(in);
  const LinkTaps taps{in.shape(1), grad_out.shape(1), kernel, false};
  OptionalArray core, bias;
  for_dtype(dtype, [&](auto zero) {
    using T = decltype(zero);
    using A = accumulate_t<T>;
    if (const auto set = instruction_set_of(place)) {
      const int64_t groups = core_gradient_cpu_groups(size);
      core = poisoned(py::dtype::of<A>(), {groups, taps.count()});
      bias = poisoned(py::dtype::of<A>(), {groups, taps.out_channels});
      const Scratch<A> scratch(core_gradient_cpu_scratch(size, taps));
      core_gradient_cpu(
          *set, size, taps,
          CoreGradient<T>{planes<T>(in), planes<T>(grad_out), mutable_data<A>(core), mutable_data<A>(bias)},
          scratch.get(), 0, groups);
    } else {
      std::vector<A> sums(core_gradient_cuda_sums(size, taps));
      core = poisoned(in.dtype(), {1, taps.count()});
      bias = poisoned(in.dtype(), {1, taps.out_channels});
      CoreGradients<T> gradients{1, {}};
      gradients.link[0] = {taps,        planes<T>(in),         planes<T>(grad_out),
                           sums.data(), mutable_data<T>(core), mutable_data<T>(bias)};
      raise_if(core_gradient_cuda(size, gradients, nullptr));
    }
  });
  return py::make_tuple(core, bias);
}

}  // namespace

void add_tensor_train_conv(py::module_& m) {
  m.def("tensor_train_conv_forward", &forward);
  m.def("tensor_train_conv_backward", &backward);
  m.def("tensor_train_conv_core_gradient", &core_gradient);
}

}  // namespace vidpred
