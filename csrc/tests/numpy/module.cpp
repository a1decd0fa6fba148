// The kernels for NumPy arrays, for tests/kernels: on the CPU with a chosen instruction set, and the CUDA
// kernels in the emulator. Each op adds itself in a file of its own.
#include "emulator/grid.h"
#include "tests/numpy/arrays.h"

namespace vidpred {
namespace {

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

// The order in which the emulator's threads run from now on, and for `shuffled` the seed.
void set_order(const std::string& order, uint64_t seed) {
  if (order == "forward") {
    emulator::set_order(emulator::Order::forward);
  } else if (order == "reverse") {
    emulator::set_order(emulator::Order::reverse);
  } else if (order == "shuffled") {
    emulator::set_order(emulator::Order::shuffled, seed);
  } else {
    throw std::invalid_argument("no order " + order);
  }
}

}  // namespace

void add_flow_warp(py::module_& m);
void add_lstm_gates(py::module_& m);
void add_planted(py::module_& m);
void add_sample_pixels(py::module_& m);
void add_tensor_train_conv(py::module_& m);

}  // namespace vidpred

PYBIND11_MODULE(vidpred_kernels, m) {
  m.def("places", &vidpred::places);
  m.def("set_order", &vidpred::set_order, pybind11::arg("order"), pybind11::arg("seed") = 0);
  vidpred::add_flow_warp(m);
  vidpred::add_lstm_gates(m);
  vidpred::add_planted(m);
  vidpred::add_sample_pixels(m);
  vidpred::add_tensor_train_conv(m);
}
