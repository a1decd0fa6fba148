// What the NumPy module's files share: arrays to pointers, and the places where kernels run. Half types
// travel as uint16. What is absent is None.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <cstring>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "common/half.h"
#include "common/instruction_set.h"

namespace vidpred {

namespace py = pybind11;
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

inline std::vector<py::ssize_t> shape_of(const Array& array) {
  return {array.shape(), array.shape() + array.ndim()};
}

// An array filled with NaN, in all dtypes, so that what a kernel leaves out shows.
inline Array poisoned(const py::dtype& dtype, const std::vector<py::ssize_t>& shape) {
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

// The instruction set of a place, or none for the emulator.
inline std::optional<InstructionSet> instruction_set_of(const std::string& place) {
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

inline void raise_if(const char* error) {
  if (error) {
    throw std::runtime_error(error);
  }
}

}  // namespace vidpred
