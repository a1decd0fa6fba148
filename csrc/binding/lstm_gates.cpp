// vidpred::lstm_gates and its backward: check, allocate, launch. vidpred/ops/lstm_gates.py documents the
// arguments and has checked them with errors that name them; the checks here guard the memory.
#include "kernels/lstm_gates/lstm_gates.h"

#include <torch/csrc/stable/library.h>

#include <tuple>
#include <vector>

#include "binding/launch.h"
#include "binding/tensors.h"

namespace vidpred {
namespace {

LstmGatesShape shape_of(const Tensor& cell, const OptionalTensor& peephole) {
  STD_TORCH_CHECK(cell.dim() >= 2, "lstm_gates: cell must have shape (N, C, *space)");
  int64_t inner = 1;
  for (int64_t d = 2; d < cell.dim(); ++d) {
    inner *= cell.size(d);
  }
  return {cell.size(0), cell.size(1), inner, peephole && peephole->dim() > 1};
}

// Contiguous tensors whose sizes have been checked.
struct Inputs {
  Inputs(const Tensor& gates, const Tensor& cell, const OptionalTensor& extra, const OptionalTensor& bias,
         const OptionalTensor& w_i, const OptionalTensor& w_f, const OptionalTensor& w_o)
      : shape(shape_of(cell, w_i)),
        gates(contiguous_like(gates, cell, 4 * cell.numel())),
        cell(contiguous_like(cell, cell, cell.numel())),
        extra(contiguous_like(extra, cell, 4 * cell.numel())),
        bias(contiguous_like(bias, cell, 4 * shape.channels)),
        w_i(contiguous_like(w_i, cell, shape.peephole_weights())),
        w_f(contiguous_like(w_f, cell, shape.peephole_weights())),
        w_o(contiguous_like(w_o, cell, shape.peephole_weights())) {
    STD_TORCH_CHECK(w_i.has_value() == w_f.has_value() && w_f.has_value() == w_o.has_value(),
                    "lstm_gates: give all of w_i, w_f and w_o, or none");
  }

  template <class T>
  LstmGatesInputs<T> pointers() const {
    return {data<T>(gates), data<T>(extra), data<T>(bias), data<T>(w_i),
            data<T>(w_f),   data<T>(w_o),   data<T>(cell)};
  }

  LstmGatesShape shape;
  Tensor gates, cell;
  OptionalTensor extra, bias, w_i, w_f, w_o;
};

template <class Device>
std::tuple<Tensor, Tensor> forward(const Tensor& gates, const Tensor& cell, const OptionalTensor& extra,
                                   const OptionalTensor& bias, const OptionalTensor& w_i,
                                   const OptionalTensor& w_f, const OptionalTensor& w_o) {
  const Inputs in(gates, cell, extra, bias, w_i, w_f, w_o);
  Tensor hidden = torch::stable::empty_like(in.cell);
  Tensor new_cell = torch::stable::empty_like(in.cell);
  for_dtype(cell.scalar_type(), [&](auto zero) {
    using T = decltype(zero);
    Device::forward(cell, in.shape, in.pointers<T>(),
                    LstmGatesOutputs<T>{mutable_data<T>(hidden), mutable_data<T>(new_cell)});
  });
  return {hidden, new_cell};
}

// Adds up partial sums, (groups, planes, columns), to gradients of `shape`, whose planes hold
// `parameters` each.
Tensor add_up(const Tensor& sums, int64_t parameters, const std::vector<int64_t>& shape, ScalarType dtype) {
  const int64_t columns = parameters ? sums.size(2) / parameters : 0;
  const Tensor apart = torch::stable::view(sums, {sums.size(0), sums.size(1), parameters, columns});
  const Tensor total = torch::stable::sum(apart, std::vector<int64_t>{0, 3});
  return torch::stable::view(torch::stable::to(total, dtype), shape);
}

// Returns the gradients to gates (and extra), cell, bias (4*C,), and the peephole's weights (3, *shape of
// one); where there is no bias or peephole, their gradients have shape (0,).
template <class Device>
std::tuple<Tensor, Tensor, Tensor, Tensor> backward(const OptionalTensor& grad_hidden,
                                                    const OptionalTensor& grad_new_cell, const Tensor& gates,
                                                    const Tensor& cell, const Tensor& new_cell,
                                                    const OptionalTensor& extra, const OptionalTensor& bias,
                                                    const OptionalTensor& w_i, const OptionalTensor& w_f,
                                                    const OptionalTensor& w_o) {
  const Inputs in(gates, cell, extra, bias, w_i, w_f, w_o);
  const OptionalTensor given_hidden = contiguous_like(grad_hidden, cell, cell.numel());
  const OptionalTensor given_new_cell = contiguous_like(grad_new_cell, cell, cell.numel());
  const Tensor known_new_cell = contiguous_like(new_cell, cell, cell.numel());

  const ScalarType dtype = cell.scalar_type();
  const auto empty = [&](std::vector<int64_t> sizes, ScalarType type) {
    return torch::stable::new_empty(cell, sizes, type);
  };
  Tensor grad_gates = torch::stable::empty_like(in.gates);
  Tensor grad_cell = torch::stable::empty_like(in.cell);
  OptionalTensor gate_sums, peephole_sums;
  for_dtype(dtype, [&](auto zero) {
    using T = decltype(zero);
    using A = accumulate_t<T>;
    const LstmGatesSums sums = Device::template sums<T>(in.shape);
    if (bias) {
      gate_sums = empty({sums.groups, 4, sums.gate_columns}, accumulate_dtype(dtype));
    }
    if (w_i) {
      peephole_sums = empty({sums.groups, 3, sums.peephole_columns}, accumulate_dtype(dtype));
    }
    Device::backward(
        cell, in.shape, in.pointers<T>(),
        LstmGatesOutputGradients<T>{data<T>(known_new_cell), data<T>(given_hidden), data<T>(given_new_cell)},
        LstmGatesInputGradients<T>{mutable_data<T>(grad_gates), mutable_data<T>(grad_cell),
                                   mutable_data<A>(gate_sums), mutable_data<A>(peephole_sums)});
  });

  Tensor grad_bias = empty({0}, dtype), grad_peephole = empty({0}, dtype);
  if (gate_sums) {
    grad_bias = add_up(*gate_sums, in.shape.channels, {4 * in.shape.channels}, dtype);
  }
  if (peephole_sums) {
    std::vector<int64_t> shape{3};
    shape.insert(shape.end(), w_i->sizes().begin(), w_i->sizes().end());
    grad_peephole = add_up(*peephole_sums, in.shape.peephole_weights(), shape, dtype);
  }
  return {grad_gates, grad_cell, grad_bias, grad_peephole};
}

struct OnCpu {
  template <class T>
  static LstmGatesSums sums(const LstmGatesShape& shape) {
    return lstm_gates_cpu_sums(shape);
  }

  template <class T>
  static void forward(const Tensor&, const LstmGatesShape& shape, const LstmGatesInputs<T>& inputs,
                      const LstmGatesOutputs<T>& outputs) {
    run_on_cpu(lstm_gates_cpu_tasks(shape), [&](int64_t begin, int64_t end) {
      lstm_gates_forward_cpu(instruction_set(), shape, inputs, outputs, begin, end);
    });
  }

  template <class T>
  static void backward(const Tensor&, const LstmGatesShape& shape, const LstmGatesInputs<T>& inputs,
                       const LstmGatesOutputGradients<T>& given, const LstmGatesInputGradients<T>& wanted) {
    run_on_cpu(lstm_gates_cpu_tasks(shape), [&](int64_t begin, int64_t end) {
      lstm_gates_backward_cpu(instruction_set(), shape, inputs, given, wanted, begin, end);
    });
  }
};

#ifdef VP_CUDA
struct OnCuda {
  template <class T>
  static LstmGatesSums sums(const LstmGatesShape& shape) {
    return lstm_gates_cuda_sums<T>(shape);
  }

  template <class T>
  static void forward(const Tensor& device_of, const LstmGatesShape& shape, const LstmGatesInputs<T>& inputs,
                      const LstmGatesOutputs<T>& outputs) {
    launch_on_cuda(device_of,
                   [&](void* stream) { return lstm_gates_forward_cuda(shape, inputs, outputs, stream); });
  }

  template <class T>
  static void backward(const Tensor& device_of, const LstmGatesShape& shape, const LstmGatesInputs<T>& inputs,
                       const LstmGatesOutputGradients<T>& given, const LstmGatesInputGradients<T>& wanted) {
    launch_on_cuda(device_of, [&](void* stream) {
      return lstm_gates_backward_cuda(shape, inputs, given, wanted, stream);
    });
  }
};
#endif

}  // namespace
}  // namespace vidpred

STABLE_TORCH_LIBRARY_FRAGMENT(vidpred, m) {
  m.def(
      "lstm_gates(Tensor gates, Tensor cell, Tensor? extra, Tensor? bias, Tensor? w_i, Tensor? w_f, "
      "Tensor? w_o) -> (Tensor hidden, Tensor new_cell)");
  m.def(
      "lstm_gates_backward(Tensor? grad_hidden, Tensor? grad_new_cell, Tensor gates, Tensor cell, "
      "Tensor new_cell, Tensor? extra, Tensor? bias, Tensor? w_i, Tensor? w_f, Tensor? w_o) -> "
      "(Tensor grad_gates, Tensor grad_cell, Tensor grad_bias, Tensor grad_peephole)");
}

STABLE_TORCH_LIBRARY_IMPL(vidpred, CPU, m) {
  m.impl("lstm_gates", TORCH_BOX(&vidpred::forward<vidpred::OnCpu>));
  m.impl("lstm_gates_backward", TORCH_BOX(&vidpred::backward<vidpred::OnCpu>));
}

#ifdef VP_CUDA
STABLE_TORCH_LIBRARY_IMPL(vidpred, CUDA, m) {
  m.impl("lstm_gates", TORCH_BOX(&vidpred::forward<vidpred::OnCuda>));
  m.impl("lstm_gates_backward", TORCH_BOX(&vidpred::backward<vidpred::OnCuda>));
}
#endif
