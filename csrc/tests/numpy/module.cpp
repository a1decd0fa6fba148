// The kernels for NumPy arrays, for tests/kernels: on the CPU with a chosen instruction set, and the CUDA
// kernels in the emulator. Each op adds itself in a file of its own.
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

}  // namespace

void add_lstm_gates(py::module_& m);
void add_tensor_train_conv(py::module_& m);

}  // namespace vidpred

PYBIND11_MODULE(vidpred_kernels, m) {
  m.def("places", &vidpred::places);
  vidpred::add_lstm_gates(m);
  vidpred::add_tensor_train_conv(m);
}
