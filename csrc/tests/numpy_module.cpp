// The kernels for NumPy arrays, for tests/kernels: on the CPU with a chosen instruction set, and the CUDA
// kernels in the emulator. Half types travel as uint16. What is absent is None.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <array>
#include <cstring>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "kernels/lstm_gates/lstm_gates.h"

namespace py = pybind11;
using namespace vidpred;

namespace {

using Array = py::array;
using OptionalArray = std::optional<py::array>;

template <class T>
const T* data(const OptionalArray& array) {
  return array ? static_cast<const T*>(array->data()) : nullptr;
}

template <class T>
T* mutable_data(OptionalArray& array) {
  return array ? static_cast<T*>(array->mutable_data()) : nullptr;
}

// An array filled with NaN, in all dtypes, so that what a kernel leaves out shows.
Array poisoned(const py::dtype& dtype, const std::vector<py::ssize_t>& shape) {
  Array array(dtype, shape);
  std::memset(array.mutable_data(), 0xFF, array.nbytes());
  return array;
}

// Calls kernel(zero), where `zero` is of the type named.
template <class Kernel>
void for_dtype(const std::string& dtype, Kernel kernel) {
  if (dtype == "float32") {
    kernel(float());
  } else if (dtype == "float64") {
    kernel(double());
  } else if (dtype == "float16") {
    kernel(float16());
  } else if (dtype == "bfloat16") {
    kernel(bfloat16());
  } else {
    throw std::invalid_argument("no dtype " + dtype);
  }
}

// Where kernels run: in the emulator, and on the CPU with each instruction set that it has.
std::vector<std::string> places() {
  std::vector<std::string> found{"emulated"};
  for (auto set : {InstructionSet::baseline, InstructionSet::avx2, InstructionSet::avx512}) {
    if (set <= best_instruction_set()) {
      found.push_back(name(set));
    }
  }
  return found;
}

// The instruction set of a place, or none for the emulator.
std::optional<InstructionSet> instruction_set_of(const std::string& place) {
  for (auto set : {InstructionSet::baseline, InstructionSet::avx2, InstructionSet::avx512}) {
    if (place == name(set) && set <= best_instruction_set()) {
      return set;
    }
  }
  if (place != "emulated") {
    throw std::invalid_argument("no place " + place);
  }
  return std::nullopt;
}

void raise_if(const char* error) {
  if (error) {
    throw std::runtime_error(error);
  }
}

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

std::vector<py::ssize_t> shape_of(const Array& array) {
  return {array.shape(), array.shape() + array.ndim()};
}

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

PYBIND11_MODULE(vidpred_kernels, m) {
  m.def("places", &places);

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
