#include "kernels/lstm_gates/lstm_gates.h"

#include <array>

#include "tests/numpy/arrays.h"

namespace vidpred {
namespace {

struct Inputs {
  LstmGatesShape shape;
  Array gates, cell;
  OptionalArray extra, bias, w_i, w_f, w_o;

  template <class T>
  LstmGatesInputs<T> pointers() const {
    return {data<T>(gates), data<T>(extra), data<T>(bias), data<T>(w_i),
            data<T>(w_f),   data<T>(w_o),   data<T>(cell)};
  }
};

// Returns hidden and new_cell.
py::tuple forward(const std::string& place, const std::string& dtype, const Inputs& in) {
  OptionalArray hidden = poisoned(in.cell.dtype(), shape_of(in.cell));
  OptionalArray new_cell = poisoned(in.cell.dtype(), shape_of(in.cell));
  for_dtype(dtype, [&](auto zero) {
    using T = decltype(zero);
    const LstmGatesOutputs<T> outputs{mutable_data<T>(hidden), mutable_data<T>(new_cell)};
    if (const auto set = instruction_set_of(place)) {
      lstm_gates_forward_cpu(*set, in.shape, in.pointers<T>(), outputs, 0, lstm_gates_cpu_tasks(in.shape));
    } else {
      raise_if(lstm_gates_forward_cuda(in.shape, in.pointers<T>(), outputs, nullptr));
    }
  });
  return py::make_tuple(hidden, new_cell);
}

// Returns the gradients to gates and cell, and the partial sums for bias and peephole, (groups, planes,
// columns), or None without them.
py::tuple backward(const std::string& place, const std::string& dtype, const Inputs& in,
                   const Array& new_cell, const OptionalArray& grad_hidden,
                   const OptionalArray& grad_new_cell) {
  OptionalArray grad_gates = poisoned(in.gates.dtype(), shape_of(in.gates));
  OptionalArray grad_cell = poisoned(in.cell.dtype(), shape_of(in.cell));
  OptionalArray gate_sums, peephole_sums;
  for_dtype(dtype, [&](auto zero) {
    using T = decltype(zero);
    using A = accumulate_t<T>;
    const auto set = instruction_set_of(place);
    const LstmGatesSums sums = set ? lstm_gates_cpu_sums(in.shape) : lstm_gates_cuda_sums<T>(in.shape);
    if (in.bias) {
      gate_sums = poisoned(py::dtype::of<A>(), {sums.groups, 4, sums.gate_columns});
    }
    if (in.w_i) {
      peephole_sums = poisoned(py::dtype::of<A>(), {sums.groups, 3, sums.peephole_columns});
    }
    const LstmGatesOutputGradients<T> given{data<T>(new_cell), data<T>(grad_hidden), data<T>(grad_new_cell)};
    const LstmGatesInputGradients<T> wanted{mutable_data<T>(grad_gates), mutable_data<T>(grad_cell),
                                            mutable_data<A>(gate_sums), mutable_data<A>(peephole_sums)};
    if (set) {
      lstm_gates_backward_cpu(*set, in.shape, in.pointers<T>(), given, wanted, 0,
                              lstm_gates_cpu_tasks(in.shape));
    } else {
      raise_if(lstm_gates_backward_cuda(in.shape, in.pointers<T>(), given, wanted, nullptr));
    }
  });
  return py::make_tuple(grad_gates, grad_cell, gate_sums, peephole_sums);
}

}  // namespace

void add_lstm_gates(py::module_& m) {
  // (rows, channels, inner, peephole_per_cell), then the arrays.
  py::class_<Inputs>(m, "LstmGatesInputs")
      .def(py::init([](std::array<int64_t, 3> sizes, bool peephole_per_cell, Array gates, Array cell,
                       OptionalArray extra, OptionalArray bias, OptionalArray w_i, OptionalArray w_f,
                       OptionalArray w_o) {
        return Inputs{
            {sizes[0], sizes[1], sizes[2], peephole_per_cell}, gates, cell, extra, bias, w_i, w_f, w_o};
      }));
  m.def("lstm_gates_forward", &forward);
  m.def("lstm_gates_backward", &backward);
}

}  // namespace vidpred
