#include <algorithm>

#include "common/divide_up.h"
#include "kernels/lstm_gates/lstm_gates.h"
#include "kernels/lstm_gates/lstm_gates_math.h"

namespace vidpred {
namespace {

// A group of rows, and of those a block of channels.
struct LstmGatesTask {
  int64_t group, first_row, end_row, first_channel, end_channel;
};

// How the work is cut into tasks: of about as many cells each, whole channels, whole rows if they are short.
class LstmGatesTasks {
 public:
  explicit LstmGatesTasks(const LstmGatesShape& shape)
      : shape_(shape),
        channels_per_task_(std::clamp<int64_t>(cells_per_task / std::max<int64_t>(shape.inner, 1), 1,
                                               std::max<int64_t>(shape.channels, 1))),
        rows_per_task_(
            std::max<int64_t>(cells_per_task / std::max<int64_t>(channels_per_task_ * shape.inner, 1),
                              // A group's sums are as large as a row then: many rows share them.
                              shape.peephole_per_cell ? 16 : 1)) {}

  int64_t groups() const { return divide_up(shape_.rows, rows_per_task_); }
  int64_t count() const { return groups() * blocks(); }

  LstmGatesTask operator[](int64_t index) const {
    const int64_t group = index / blocks();
    const int64_t row = group * rows_per_task_;
    const int64_t channel = index % blocks() * channels_per_task_;
    return {group, row, std::min(row + rows_per_task_, shape_.rows), channel,
            std::min(channel + channels_per_task_, shape_.channels)};
  }

 private:
  static constexpr int64_t cells_per_task = 8192;  // some 10 us: much longer than it takes to hand out

  int64_t blocks() const { return divide_up(shape_.channels, channels_per_task_); }

  const LstmGatesShape& shape_;
  int64_t channels_per_task_, rows_per_task_;
};

}  // namespace
}  // namespace vidpred

#define VP_LOOPS "kernels/lstm_gates/lstm_gates_cpu_loops.h"
#include "common/per_instruction_set.h"

namespace vidpred {

int64_t lstm_gates_cpu_tasks(const LstmGatesShape& shape) { return LstmGatesTasks(shape).count(); }

LstmGatesSums lstm_gates_cpu_sums(const LstmGatesShape& shape) {
  return {LstmGatesTasks(shape).groups(), shape.channels, shape.peephole_weights()};
}

template <class T>
void lstm_gates_forward_cpu(InstructionSet set, const LstmGatesShape& shape, const LstmGatesInputs<T>& inputs,
                            const LstmGatesOutputs<T>& outputs, int64_t begin, int64_t end) {
  const auto task_function =
      inputs.peephole_i ? VP_VERSION(set, forward<T, true>) : VP_VERSION(set, forward<T, false>);
  const LstmGatesTasks tasks(shape);
  for (int64_t index = begin; index < end; ++index) {
    task_function(shape, inputs, outputs, tasks[index]);
  }
}

template <class T>
void lstm_gates_backward_cpu(InstructionSet set, const LstmGatesShape& shape,
                             const LstmGatesInputs<T>& inputs, const LstmGatesOutputGradients<T>& given,
                             const LstmGatesInputGradients<T>& wanted, int64_t begin, int64_t end) {
  const auto task_function =
      inputs.peephole_i ? VP_VERSION(set, backward<T, true>) : VP_VERSION(set, backward<T, false>);
  const LstmGatesTasks tasks(shape);
  for (int64_t index = begin; index < end; ++index) {
    task_function(shape, inputs, given, wanted, tasks[index]);
  }
}

#define VP_INSTANTIATE(T)                                                                                 \
  template void lstm_gates_forward_cpu(InstructionSet, const LstmGatesShape&, const LstmGatesInputs<T>&,  \
                                       const LstmGatesOutputs<T>&, int64_t, int64_t);                     \
  template void lstm_gates_backward_cpu(InstructionSet, const LstmGatesShape&, const LstmGatesInputs<T>&, \
                                        const LstmGatesOutputGradients<T>&,                               \
                                        const LstmGatesInputGradients<T>&, int64_t, int64_t);
VP_INSTANTIATE(float)
VP_INSTANTIATE(double)
VP_INSTANTIATE(float16)
VP_INSTANTIATE(bfloat16)
#undef VP_INSTANTIATE

}  // namespace vidpred
