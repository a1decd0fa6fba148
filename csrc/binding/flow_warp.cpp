// vidpred::flow_warp and its backward: check, allocate, launch. vidpred/ops/flow_warp.py documents the
// arguments and has checked them with errors that name them; the checks here guard the memory.
#include "kernels/flow_warp/flow_warp.h"

#include <torch/csrc/stable/library.h>

#include <limits>
#include <memory>
#include <tuple>
#include <vector>

#include "binding/launch.h"
#include "binding/tensors.h"

namespace vidpred {
namespace {

// Contiguous tensors whose sizes have been checked. `features` is (N, C, H, W), or (N, H, W, C) for
// channels-last ones.
struct Inputs {
  Inputs(const Tensor& features, const Tensor& flow, bool border, bool channels_last) {
    STD_TORCH_CHECK(features.dim() == 4 && flow.dim() == 4, "flow_warp: expected tensors of 4 dimensions");
    const int64_t height = flow.size(2), width = flow.size(3), channel = channels_last ? 3 : 1;
    const FlowPadding padding = border ? FlowPadding::border : FlowPadding::zeros;
    shape = {features.size(0), features.size(channel), height, width, channels_last, padding};
    STD_TORCH_CHECK(shape.pixels() <= std::numeric_limits<int32_t>::max(), "flow_warp: too many pixels");
    this->features = contiguous_like(features, features, shape.batch * shape.channels * shape.pixels());
    this->flow = contiguous_like(flow, features, shape.batch * 2 * shape.pixels());
  }

  FlowWarpShape shape;
  OptionalTensor features, flow;
};

template <class A>
using Scratch = std::unique_ptr<A[]>;

Tensor forward_on_cpu(const Tensor& features, const Tensor& flow, bool border, bool channels_last) {
  const Inputs in(features, flow, border, channels_last);
  Tensor warped = torch::stable::empty_like(*in.features);
  for_dtype(features.scalar_type(), [&](auto zero) {
    using T = decltype(zero);
    run_on_cpu(flow_warp_cpu_tasks(in.shape), [&](int64_t begin, int64_t end) {
      const Scratch<accumulate_t<T>> scratch(new accumulate_t<T>[flow_warp_cpu_scratch<T>(in.shape)]);
      flow_warp_forward_cpu(instruction_set(), in.shape, data<T>(in.features), data<T>(in.flow),
                            mutable_data<T>(warped), scratch.get(), begin, end);
    });
  });
  return warped;
}

// Adds up partial sums, (groups, N, 2, H, W).
Tensor add_up(const Tensor& sums, ScalarType dtype) {
  const Tensor total = sums.size(0) == 1 ? torch::stable::select(sums, 0, 0)
                                         : torch::stable::sum(sums, std::vector<int64_t>{0});
  return torch::stable::to(total, dtype);
}

Tensor empty_sums(int64_t groups, const Inputs& in) {
  const FlowWarpShape& shape = in.shape;
  return torch::stable::new_empty(*in.flow, {groups, shape.batch, 2, shape.height, shape.width},
                                  accumulate_dtype(in.flow->scalar_type()));
}

std::tuple<Tensor, Tensor> backward_on_cpu(const Tensor& grad_warped, const Tensor& features,
                                           const Tensor& flow, bool border, bool channels_last) {
  const Inputs in(features, flow, border, channels_last);
  const OptionalTensor given = contiguous_like(grad_warped, features, features.numel());
  Tensor grad_features = torch::stable::empty_like(*in.features);
  const OptionalTensor sums = empty_sums(flow_warp_cpu_groups(in.shape), in);
  for_dtype(features.scalar_type(), [&](auto zero) {
    using T = decltype(zero);
    using A = accumulate_t<T>;
    const FlowWarpGradients<T> wanted{mutable_data<T>(grad_features), mutable_data<A>(sums)};
    run_on_cpu(flow_warp_cpu_tasks(in.shape), [&](int64_t begin, int64_t end) {
      const Scratch<A> scratch(new A[flow_warp_cpu_scratch<T>(in.shape)]);
      flow_warp_backward_cpu(instruction_set(), in.shape, data<T>(in.features), data<T>(in.flow),
                             data<T>(given), wanted, scratch.get(), begin, end);
    });
  });
  return {grad_features, add_up(*sums, flow.scalar_type())};
}

#ifdef VP_CUDA
Tensor forward_on_cuda(const Tensor& features, const Tensor& flow, bool border, bool channels_last) {
  const Inputs in(features, flow, border, channels_last);
  Tensor warped = torch::stable::empty_like(*in.features);
  for_dtype(features.scalar_type(), [&](auto zero) {
    using T = decltype(zero);
    launch_on_cuda(features, [&](void* stream) {
      return flow_warp_forward_cuda(in.shape, data<T>(in.features), data<T>(in.flow), mutable_data<T>(warped),
                                    stream);
    });
  });
  return warped;
}

std::tuple<Tensor, Tensor> backward_on_cuda(const Tensor& grad_warped, const Tensor& features,
                                            const Tensor& flow, bool border, bool channels_last) {
  const Inputs in(features, flow, border, channels_last);
  const OptionalTensor given = contiguous_like(grad_warped, features, features.numel());
  const ScalarType dtype = features.scalar_type();
  const auto sizes = in.features->sizes();
  const OptionalTensor grad_features = torch::stable::new_zeros(
      features, std::vector<int64_t>(sizes.begin(), sizes.end()), accumulate_dtype(dtype));
  const OptionalTensor sums = empty_sums(flow_warp_cuda_groups(in.shape), in);
  for_dtype(dtype, [&](auto zero) {
    using T = decltype(zero);
    using A = accumulate_t<T>;
    const FlowWarpCudaGradients<T> wanted{mutable_data<A>(grad_features), mutable_data<A>(sums)};
    launch_on_cuda(features, [&](void* stream) {
      return flow_warp_backward_cuda(in.shape, data<T>(in.features), data<T>(in.flow), data<T>(given), wanted,
                                     stream);
    });
  });
  return {torch::stable::to(*grad_features, dtype), add_up(*sums, dtype)};
}
#endif

}  // namespace
}  // namespace vidpred

STABLE_TORCH_LIBRARY_FRAGMENT(vidpred, m) {
  m.def("flow_warp(Tensor features, Tensor flow, bool border, bool channels_last) -> Tensor");
  m.def(
      "flow_warp_backward(Tensor grad_warped, Tensor features, Tensor flow, bool border, "
      "bool channels_last) -> (Tensor grad_features, Tensor grad_flow)");
}

STABLE_TORCH_LIBRARY_IMPL(vidpred, CPU, m) {
  m.impl("flow_warp", TORCH_BOX(&vidpred::forward_on_cpu));
  m.impl("flow_warp_backward", TORCH_BOX(&vidpred::backward_on_cpu));
}

#ifdef VP_CUDA
STABLE_TORCH_LIBRARY_IMPL(vidpred, CUDA, m) {
  m.impl("flow_warp", TORCH_BOX(&vidpred::forward_on_cuda));
  m.impl("flow_warp_backward", TORCH_BOX(&vidpred::backward_on_cuda));
}
#endif
