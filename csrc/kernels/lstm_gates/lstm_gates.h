// lstm_gates: the pointwise update of an LSTM or ConvLSTM and its gradient (seed 001, eq. 3.1).
//
// A batch of N cells of C channels over `space` positions is seen as (rows, channels, inner), contiguous:
//   contiguous tensors (N, C, *space):     rows = N,          inner = space
//   channels-last ones, or without space:  rows = N * space,  inner = 1
// Gates come in the order i, f, g, o. T is float, double, float16 or bfloat16; A = accumulate_t<T>.
//
// No function here allocates or waits. Buffers do not overlap. On CUDA they are aligned to 16 bytes.
#pragma once

#include <cstdint>

#include "common/half.h"
#include "common/instruction_set.h"

namespace vidpred {

struct LstmGatesShape {
  int64_t rows, channels, inner;
  bool peephole_per_cell;  // a weight for every cell of a row, rather than for every channel

  VP_HOST_DEVICE int64_t row_size() const { return channels * inner; }
  VP_HOST_DEVICE int64_t peephole_weights() const { return peephole_per_cell ? row_size() : channels; }
  // How many neighbouring cells share a weight.
  VP_HOST_DEVICE int64_t peephole_span() const { return peephole_per_cell ? 1 : inner; }
};

template <class T>
struct LstmGatesInputs {
  const T* gates;       // (rows, 4, channels, inner)
  const T* extra;       // like gates, or null
  const T* bias;        // (4, channels), or null
  const T* peephole_i;  // (peephole_weights); all three or none are null
  const T* peephole_f;
  const T* peephole_o;
  const T* cell;  // (rows, channels, inner)
};

template <class T>
struct LstmGatesOutputs {
  T* hidden;  // (rows, channels, inner)
  T* new_cell;
};

template <class T>
struct LstmGatesOutputGradients {
  const T* new_cell;       // the forward's output
  const T* grad_hidden;    // (rows, channels, inner), or null for zeros
  const T* grad_new_cell;  // likewise
};

// The gradients to bias and peepholes are sums over rows and space. The backward leaves partial sums, one
// for each group of rows; what remains is to add up the groups. The groups depend on the shape alone, so
// that the result does not depend on threads or timing. On the CPU the sums are over gradients as they are
// stored, rounded to T.
template <class T>
struct LstmGatesInputGradients {
  T* gates;                        // (rows, 4, channels, inner): also the gradient to `extra`
  T* cell;                         // (rows, channels, inner)
  accumulate_t<T>* gate_sums;      // (groups, 4, columns of gate_sums), or null; see LstmGatesSums
  accumulate_t<T>* peephole_sums;  // (groups, 3, columns of peephole_sums) for w_i, w_f, w_o, or null
};

// The extents of the partial sums. A parameter's gradient is the sum of columns / parameters neighbouring
// columns over all groups: the CPU's loops sum neighbours themselves, the CUDA threads leave them apart.
struct LstmGatesSums {
  int64_t groups, gate_columns, peephole_columns;
};

// On the CPU: the work comes in tasks that may run in any order and at the same time; each function does
// those numbered [begin, end).
int64_t lstm_gates_cpu_tasks(const LstmGatesShape& shape);
LstmGatesSums lstm_gates_cpu_sums(const LstmGatesShape& shape);

template <class T>
void lstm_gates_forward_cpu(InstructionSet set, const LstmGatesShape& shape, const LstmGatesInputs<T>& inputs,
                            const LstmGatesOutputs<T>& outputs, int64_t begin, int64_t end);

template <class T>
void lstm_gates_backward_cpu(InstructionSet set, const LstmGatesShape& shape,
                             const LstmGatesInputs<T>& inputs, const LstmGatesOutputGradients<T>& given,
                             const LstmGatesInputGradients<T>& wanted, int64_t begin, int64_t end);

// On CUDA: launched on `stream`, a cudaStream_t of the current device. They return null, or CUDA's words
// for what went wrong with the launch.
template <class T>
LstmGatesSums lstm_gates_cuda_sums(const LstmGatesShape& shape);

template <class T>
const char* lstm_gates_forward_cuda(const LstmGatesShape& shape, const LstmGatesInputs<T>& inputs,
                                    const LstmGatesOutputs<T>& outputs, void* stream);

template <class T>
const char* lstm_gates_backward_cuda(const LstmGatesShape& shape, const LstmGatesInputs<T>& inputs,
                                     const LstmGatesOutputGradients<T>& given,
                                     const LstmGatesInputGradients<T>& wanted, void* stream);

}  // namespace vidpred
