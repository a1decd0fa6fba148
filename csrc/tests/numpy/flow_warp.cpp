#include "kernels/flow_warp/flow_warp.h"

#include <array>

#include "tests/numpy/arrays.h"

namespace vidpred {
namespace {

FlowWarpShape shape_of(const std::array<int64_t, 4>& sizes, bool channels_last, bool border) {
  return {sizes[0], sizes[1],      sizes[2],
          sizes[3], channels_last, border ? FlowPadding::border : FlowPadding::zeros};
}

Array forward(const std::string& place, const std::string& dtype, const std::array<int64_t, 4>& sizes,
              bool channels_last, bool border, const Array& features, const Array& flow) {
  const FlowWarpShape shape = shape_of(sizes, channels_last, border);
  OptionalArray warped = poisoned(features.dtype(), vidpred::shape_of(features));
  for_dtype(dtype, [&](auto zero) {
    using T = decltype(zero);
    if (const auto set = instruction_set_of(place)) {
      std::vector<accumulate_t<T>> scratch(flow_warp_cpu_scratch<T>(shape), NAN);
      flow_warp_forward_cpu(*set, shape, data<T>(features), data<T>(flow), mutable_data<T>(warped),
                            scratch.data(), 0, flow_warp_cpu_tasks(shape));
    } else {
      raise_if(
          flow_warp_forward_cuda(shape, data<T>(features), data<T>(flow), mutable_data<T>(warped), nullptr));
    }
  });
  return *warped;
}

// Returns the gradient to features, in the accumulating type for CUDA, and the partial sums (groups, N, 2, H,
// W).
py::tuple backward(const std::string& place, const std::string& dtype, const std::array<int64_t, 4>& sizes,
                   bool channels_last, bool border, const Array& features, const Array& flow,
                   const Array& grad_warped) {
  const FlowWarpShape shape = shape_of(sizes, channels_last, border);
  OptionalArray grad_features, sums;
  for_dtype(dtype, [&](auto zero) {
    using T = decltype(zero);
    using A = accumulate_t<T>;
    const auto set = instruction_set_of(place);
    const int64_t groups = set ? flow_warp_cpu_groups(shape) : flow_warp_cuda_groups(shape);
    sums = poisoned(py::dtype::of<A>(), {groups, sizes[0], 2, sizes[2], sizes[3]});
    if (set) {
      grad_features = poisoned(features.dtype(), vidpred::shape_of(features));
      std::vector<A> scratch(flow_warp_cpu_scratch<T>(shape), NAN);
      const FlowWarpGradients<T> wanted{mutable_data<T>(grad_features), mutable_data<A>(sums)};
      // Two parts, the later one first: the order of tasks does not matter.
      const int64_t tasks = flow_warp_cpu_tasks(shape);
      for (const auto& [begin, end] : {std::pair(tasks / 2, tasks), std::pair(int64_t(0), tasks / 2)}) {
        flow_warp_backward_cpu(*set, shape, data<T>(features), data<T>(flow), data<T>(grad_warped), wanted,
                               scratch.data(), begin, end);
      }
    } else {
      grad_features = poisoned(py::dtype::of<A>(), vidpred::shape_of(features));
      std::memset(grad_features->mutable_data(), 0, grad_features->nbytes());
      const FlowWarpCudaGradients<T> wanted{mutable_data<A>(grad_features), mutable_data<A>(sums)};
      raise_if(flow_warp_backward_cuda(shape, data<T>(features), data<T>(flow), data<T>(grad_warped), wanted,
                                       nullptr));
    }
  });
  return py::make_tuple(grad_features, sums);
}

}  // namespace

void add_flow_warp(py::module_& m) {
  m.def("flow_warp_forward", &forward);
  m.def("flow_warp_backward", &backward);
}

}  // namespace vidpred
