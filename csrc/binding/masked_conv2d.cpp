// vidpred::masked_conv2d and its backward: check, allocate, launch. vidpred/ops/masked_conv2d.py
// documents the arguments and has checked them with errors that name them; the checks here guard the memory.
#include "kernels/masked_conv2d/masked_conv2d.h"

#include <torch/csrc/stable/library.h>

#include <tuple>
#include <vector>

#include "binding/launch.h"
#include "binding/scratch.h"
#include "binding/tensors.h"

namespace vidpred {
namespace {

MaskedConvShape shape_of(const Tensor& x, const Tensor& weight, bool sees_centre, int64_t colors) {
  STD_TORCH_CHECK(x.dim() == 4 && weight.dim() == 4, "masked_conv2d: expected tensors of 4 dimensions");
  const MaskedConvShape shape{x.size(0), x.size(3),      weight.size(0), x.size(1),
                              x.size(2), weight.size(2), sees_centre,    colors};
  STD_TORCH_CHECK(shape.size % 2 == 1 && colors > 0 && shape.c_in % colors == 0 && shape.c_out % colors == 0,
                  "masked_conv2d: expected an odd kernel and channels that `colors` divides");
  return shape;
}

// Calls kernel(zero) for the dtypes that the CPU has kernels for.
template <class Kernel>
void for_wide_dtype(ScalarType dtype, Kernel kernel) {
  if (dtype == ScalarType::Double) {
    return kernel(double());
  }
  STD_TORCH_CHECK(dtype == ScalarType::Float, "masked_conv2d has CPU kernels for float32 and float64");
  kernel(float());
}

// One of the two convolutions; `bias` may be absent.
template <class T>
void convolve(const MaskedPass& pass, const Tensor& from, const Tensor& weight, const OptionalTensor& bias,
              const Tensor& to) {
  const InstructionSet set = instruction_set();
  const MaskedConvCpuWork work = masked_conv2d_cpu_work<T>(set, pass);
  const OptionalTensor packed = torch::stable::new_empty(from, {work.packed});
  run_on_cpu(work.pack_tasks, [&](int64_t begin, int64_t end) {
    masked_conv2d_pack_cpu(set, pass, data<T>(weight), mutable_data<T>(packed), begin, end);
  });
  run_on_cpu(work.tasks, [&](int64_t begin, int64_t end) {
    masked_conv2d_cpu(set, pass, data<T>(from), data<T>(packed), data<T>(bias), mutable_data<T>(to),
                      scratch<T>(work.scratch), begin, end);
  });
}

// Contiguous tensors whose sizes have been checked, x (N, H, W, C_in).
struct Inputs {
  Inputs(const Tensor& x, const Tensor& weight, bool sees_centre, int64_t colors)
      : shape(shape_of(x, weight, sees_centre, colors)),
        x(contiguous_like(x, x, shape.batch * shape.pixels() * shape.c_in)),
        weight(contiguous_like(weight, x, shape.c_out * shape.c_in * shape.size * shape.size)) {}

  Tensor like_y(const Tensor& grad_y) const {
    return contiguous_like(grad_y, x, shape.batch * shape.pixels() * shape.c_out);
  }
  Tensor empty_y() const {
    return torch::stable::new_empty(x, {shape.batch, shape.height, shape.width, shape.c_out});
  }

  MaskedConvShape shape;
  Tensor x, weight;
};

Tensor forward_on_cpu(const Tensor& x, const Tensor& weight, const OptionalTensor& bias, bool sees_centre,
                      int64_t colors) {
  const Inputs in(x, weight, sees_centre, colors);
  const OptionalTensor offset = contiguous_like(bias, x, in.shape.c_out);
  const Tensor y = in.empty_y();
  for_wide_dtype(x.scalar_type(),
                 [&](auto zero) { convolve<decltype(zero)>({in.shape, false}, in.x, in.weight, offset, y); });
  return y;
}

// The gradients to x, weight and bias (C_out,); that to x is (0,) unless it is wanted.
std::tuple<Tensor, Tensor, Tensor> backward_on_cpu(const Tensor& grad_y, const Tensor& x,
                                                   const Tensor& weight, bool sees_centre, int64_t colors,
                                                   bool wants_x) {
  const Inputs in(x, weight, sees_centre, colors);
  const MaskedConvShape& s = in.shape;
  const OptionalTensor given = in.like_y(grad_y);
  Tensor grad_x = torch::stable::new_empty(x, {0});
  OptionalTensor weight_sums, bias_sums;
  for_wide_dtype(x.scalar_type(), [&](auto zero) {
    using T = decltype(zero);
    if (wants_x) {
      grad_x = torch::stable::empty_like(in.x);
      convolve<T>({s, true}, *given, in.weight, std::nullopt, grad_x);
    }
    const InstructionSet set = instruction_set();
    const MaskedPass pass{s, false};
    const MaskedConvCpuWork work = masked_conv2d_cpu_work<T>(set, pass);
    weight_sums = torch::stable::new_empty(x, {work.groups, s.c_out, s.c_in, s.size, s.size});
    bias_sums = torch::stable::new_empty(x, {work.groups, s.c_out});
    run_on_cpu(work.groups, [&](int64_t begin, int64_t end) {
      masked_conv2d_sums_cpu(set, pass, data<T>(in.x), data<T>(given), mutable_data<T>(weight_sums),
                             mutable_data<T>(bias_sums), scratch<T>(work.scratch), begin, end);
    });
  });
  const std::vector<int64_t> groups{0};
  return {grad_x, torch::stable::sum(*weight_sums, groups), torch::stable::sum(*bias_sums, groups)};
}

#ifdef VP_CUDA
Tensor forward_on_cuda(const Tensor& x, const Tensor& weight, const OptionalTensor& bias, bool sees_centre,
                       int64_t colors) {
  const Inputs in(x, weight, sees_centre, colors);
  const OptionalTensor offset = contiguous_like(bias, x, in.shape.c_out);
  const Tensor y = in.empty_y();
  for_dtype(x.scalar_type(), [&](auto zero) {
    using T = decltype(zero);
    launch_on_cuda(x, [&](void* stream) {
      return masked_conv2d_cuda({in.shape, false}, data<T>(in.x), data<T>(in.weight), data<T>(offset),
                                mutable_data<T>(y), stream);
    });
  });
  return y;
}

std::tuple<Tensor, Tensor, Tensor> backward_on_cuda(const Tensor& grad_y, const Tensor& x,
                                                    const Tensor& weight, bool sees_centre, int64_t colors,
                                                    bool wants_x) {
  const Inputs in(x, weight, sees_centre, colors);
  const MaskedConvShape& s = in.shape;
  const ScalarType dtype = x.scalar_type();
  const OptionalTensor given = in.like_y(grad_y);
  const Tensor grad_x = wants_x ? torch::stable::empty_like(in.x) : torch::stable::new_empty(x, {0});
  const OptionalTensor sums = torch::stable::new_zeros(
      x, std::vector<int64_t>{masked_conv2d_cuda_groups(s), s.c_out, s.c_in, s.size, s.size},
      accumulate_dtype(dtype));
  for_dtype(dtype, [&](auto zero) {
    using T = decltype(zero);
    using A = accumulate_t<T>;
    const T* const no_bias = nullptr;
    if (wants_x) {
      launch_on_cuda(x, [&](void* stream) {
        return masked_conv2d_cuda({s, true}, data<T>(given), data<T>(in.weight), no_bias,
                                  mutable_data<T>(grad_x), stream);
      });
    }
    launch_on_cuda(x, [&](void* stream) {
      return masked_conv2d_sums_cuda({s, false}, data<T>(in.x), data<T>(given), mutable_data<A>(sums),
                                     stream);
    });
  });
  const Tensor grad_weight = torch::stable::sum(*sums, std::vector<int64_t>{0});
  const Tensor grad_bias = torch::stable::sum(*given, std::vector<int64_t>{0, 1, 2});
  return {grad_x, torch::stable::to(grad_weight, dtype), grad_bias};
}
#endif

}  // namespace
}  // namespace vidpred

STABLE_TORCH_LIBRARY_FRAGMENT(vidpred, m) {
  m.def("masked_conv2d(Tensor x, Tensor weight, Tensor? bias, bool sees_centre, int colors) -> Tensor");
  m.def(
      "masked_conv2d_backward(Tensor grad_y, Tensor x, Tensor weight, bool sees_centre, int colors, "
      "bool wants_x) -> (Tensor grad_x, Tensor grad_weight, Tensor grad_bias)");
}

STABLE_TORCH_LIBRARY_IMPL(vidpred, CPU, m) {
  m.impl("masked_conv2d", TORCH_BOX(&vidpred::forward_on_cpu));
  m.impl("masked_conv2d_backward", TORCH_BOX(&vidpred::backward_on_cpu));
}

#ifdef VP_CUDA
STABLE_TORCH_LIBRARY_IMPL(vidpred, CUDA, m) {
  m.impl("masked_conv2d", TORCH_BOX(&vidpred::forward_on_cuda));
  m.impl("masked_conv2d_backward", TORCH_BOX(&vidpred::backward_on_cuda));
}
#endif
