// The CUDA kernels. A thread owns `width` neighbouring cells of a row, or one cell where rows are not a
// multiple of that, and goes through the rows of its group: `group`, `group + groups`, and so on. In the
// forward, and in the backward without sums, there are about as many groups as rows; with sums there are
// fewer, so that a thread adds up many rows in registers before it writes.
#include <algorithm>

#include "common/divide_up.h"
#include "common/launch.h"
#include "common/vector_access.h"
#include "kernels/lstm_gates/lstm_gates.h"
#include "kernels/lstm_gates/lstm_gates_math.h"

namespace vidpred {
namespace {

constexpr int threads_per_block = 256;
constexpr int64_t most_blocks_of_rows = 65535;  // CUDA's limit for the y dimension of a grid

template <class T>
constexpr int widest = widest_access / sizeof(T);

template <class A, int width>
struct Cells {
  A gates[4][width];  // summed, without peepholes
  A peephole[3][width];
  A cell[width];
};

// Loads the cells of `row` from its cell `first` on.
template <int width, bool has_peephole, class T, class A>
__device__ void load_inputs(const LstmGatesShape& shape, const LstmGatesInputs<T>& inputs, int64_t row,
                            int64_t first, Cells<A, width>& cells) {
  const int64_t row_size = shape.row_size();
#pragma unroll
  for (int k = 0; k < 4; ++k) {
    load<width>(inputs.gates + (row * 4 + k) * row_size + first, cells.gates[k]);
  }
  load<width>(inputs.cell + row * row_size + first, cells.cell);
  if (inputs.extra) {
#pragma unroll
    for (int k = 0; k < 4; ++k) {
      A extra[width];
      load<width>(inputs.extra + (row * 4 + k) * row_size + first, extra);
#pragma unroll
      for (int v = 0; v < width; ++v) {
        cells.gates[k][v] += extra[v];
      }
    }
  }
#pragma unroll
  for (int v = 0; v < width; ++v) {
    const uint32_t channel = uint32_t(first + v) / uint32_t(shape.inner);
    if (inputs.bias) {
#pragma unroll
      for (int k = 0; k < 4; ++k) {
        cells.gates[k][v] += widen(inputs.bias[k * shape.channels + channel]);
      }
    }
    if constexpr (has_peephole) {
      const int64_t weight = shape.peephole_per_cell ? first + v : channel;
      cells.peephole[0][v] = widen(inputs.peephole_i[weight]);
      cells.peephole[1][v] = widen(inputs.peephole_f[weight]);
      cells.peephole[2][v] = widen(inputs.peephole_o[weight]);
    }
  }
}

template <class A, int width>
__device__ Gates<A> gates_of(const Cells<A, width>& cells, int v) {
  return {cells.gates[0][v], cells.gates[1][v], cells.gates[2][v], cells.gates[3][v]};
}

template <bool has_peephole, class A, int width>
__device__ Peephole<A> peephole_of(const Cells<A, width>& cells, int v) {
  if constexpr (has_peephole) {
    return {cells.peephole[0][v], cells.peephole[1][v], cells.peephole[2][v]};
  } else {
    return {};
  }
}

template <class T, int width, bool has_peephole>
__global__ void __launch_bounds__(threads_per_block, 1)
    forward_kernel(LstmGatesShape shape, LstmGatesInputs<T> inputs, LstmGatesOutputs<T> outputs) {
  using A = accumulate_t<T>;
  const int64_t row_size = shape.row_size();
  const int64_t first = (int64_t(blockIdx.x) * blockDim.x + threadIdx.x) * width;
  if (first >= row_size) {
    return;
  }
  const int64_t groups = int64_t(gridDim.y) * blockDim.y;
  for (int64_t row = int64_t(blockIdx.y) * blockDim.y + threadIdx.y; row < shape.rows; row += groups) {
    Cells<A, width> in;
    load_inputs<width, has_peephole>(shape, inputs, row, first, in);
    A hidden[width], new_cell[width];
#pragma unroll
    for (int v = 0; v < width; ++v) {
      const CellState<A> state =
          lstm_gates_forward<has_peephole>(gates_of(in, v), peephole_of<has_peephole>(in, v), in.cell[v]);
      hidden[v] = state.hidden;
      new_cell[v] = state.cell;
    }
    store(hidden, outputs.hidden + row * row_size + first);
    store(new_cell, outputs.new_cell + row * row_size + first);
  }
}

template <int width, class T, class A>
__device__ void load_or_zero(const T* from, int64_t offset, A (&values)[width]) {
  if (from) {
    load<width>(from + offset, values);
  } else {
#pragma unroll
    for (int v = 0; v < width; ++v) {
      values[v] = 0;
    }
  }
}

template <class T, int width, bool has_peephole, bool has_sums>
__global__ void __launch_bounds__(threads_per_block, 1)
    backward_kernel(LstmGatesShape shape, LstmGatesInputs<T> inputs, LstmGatesOutputGradients<T> given,
                    LstmGatesInputGradients<T> wanted) {
  using A = accumulate_t<T>;
  const int64_t row_size = shape.row_size();
  const int64_t first = (int64_t(blockIdx.x) * blockDim.x + threadIdx.x) * width;
  const int64_t group = int64_t(blockIdx.y) * blockDim.y + threadIdx.y;
  const int64_t groups = int64_t(gridDim.y) * blockDim.y;
  if (first >= row_size) {
    return;
  }
  A gate_sums[4][width] = {}, peephole_sums[3][width] = {};
  for (int64_t row = group; row < shape.rows; row += groups) {
    const int64_t offset = row * row_size + first;
    Cells<A, width> in;
    load_inputs<width, has_peephole>(shape, inputs, row, first, in);
    A new_cell[width], grad_hidden[width], grad_new_cell[width];
    load<width>(given.new_cell + offset, new_cell);
    load_or_zero(given.grad_hidden, offset, grad_hidden);
    load_or_zero(given.grad_new_cell, offset, grad_new_cell);

    A grad_gates[4][width], grad_cell[width];
#pragma unroll
    for (int v = 0; v < width; ++v) {
      const CellGradient<A> grad =
          lstm_gates_backward<has_peephole>(gates_of(in, v), peephole_of<has_peephole>(in, v), in.cell[v],
                                            new_cell[v], grad_hidden[v], grad_new_cell[v]);
      grad_gates[0][v] = grad.gates.i;
      grad_gates[1][v] = grad.gates.f;
      grad_gates[2][v] = grad.gates.g;
      grad_gates[3][v] = grad.gates.o;
      grad_cell[v] = grad.cell;
      if constexpr (has_sums) {
        gate_sums[0][v] += grad.gates.i;
        gate_sums[1][v] += grad.gates.f;
        gate_sums[2][v] += grad.gates.g;
        gate_sums[3][v] += grad.gates.o;
      }
      if constexpr (has_sums && has_peephole) {
        const Peephole<A> weights = peephole_gradient(grad.gates, in.cell[v], new_cell[v]);
        peephole_sums[0][v] += weights.i;
        peephole_sums[1][v] += weights.f;
        peephole_sums[2][v] += weights.o;
      }
    }
#pragma unroll
    for (int k = 0; k < 4; ++k) {
      store(grad_gates[k], wanted.gates + (row * 4 + k) * row_size + first);
    }
    store(grad_cell, wanted.cell + offset);
  }

  if constexpr (has_sums) {
#pragma unroll
    for (int v = 0; v < width; ++v) {
#pragma unroll
      for (int k = 0; k < 4; ++k) {
        if (wanted.gate_sums) {
          wanted.gate_sums[(group * 4 + k) * row_size + first + v] = gate_sums[k][v];
        }
      }
#pragma unroll
      for (int k = 0; k < 3; ++k) {
        if (wanted.peephole_sums) {
          wanted.peephole_sums[(group * 3 + k) * row_size + first + v] = peephole_sums[k][v];
        }
      }
    }
  }
}

// Blocks of `columns` threads along a row by several rows, and a grid of them.
struct Geometry {
  dim3 grid, block;

  int64_t groups() const { return int64_t(grid.y) * block.y; }
};

// In which every row has threads for all its cells, and there are about `most_groups` groups at most.
Geometry geometry_for(const LstmGatesShape& shape, int width, int64_t most_groups) {
  const int64_t threads_per_row = divide_up(shape.row_size(), width);
  unsigned columns = 1;
  while (columns < threads_per_block && columns < threads_per_row) {
    columns *= 2;
  }
  const unsigned rows = threads_per_block / columns;
  const int64_t blocks_of_rows = divide_up(std::min(shape.rows, most_groups), rows);
  return {dim3(unsigned(divide_up(threads_per_row, columns)),
               unsigned(std::min(blocks_of_rows, most_blocks_of_rows))),
          dim3(columns, rows)};
}

Geometry geometry_without_sums(const LstmGatesShape& shape, int width) {
  return geometry_for(shape, width, shape.rows);
}

// Enough threads to fill a large GPU, few enough that the partial sums are small beside the tensors.
Geometry geometry_with_sums(const LstmGatesShape& shape, int width) {
  constexpr int64_t threads = 65536;
  const int64_t threads_per_row = divide_up(shape.row_size(), width);
  return geometry_for(shape, width, divide_up(threads, std::max<int64_t>(threads_per_row, 1)));
}

// How many cells a thread owns.
template <class T>
int width_for(const LstmGatesShape& shape) {
  return shape.row_size() % widest<T> == 0 ? widest<T> : 1;
}

template <class T, int width>
void launch_forward(const LstmGatesShape& shape, const LstmGatesInputs<T>& inputs,
                    const LstmGatesOutputs<T>& outputs, void* stream) {
  const Geometry geometry = geometry_without_sums(shape, width);
  const auto kernel = inputs.peephole_i ? forward_kernel<T, width, true> : forward_kernel<T, width, false>;
  VP_LAUNCH(kernel, geometry.grid, geometry.block, 0, stream, shape, inputs, outputs);
}

template <class T, int width, bool has_sums>
void launch_backward(const LstmGatesShape& shape, const LstmGatesInputs<T>& inputs,
                     const LstmGatesOutputGradients<T>& given, const LstmGatesInputGradients<T>& wanted,
                     void* stream) {
  const Geometry geometry = has_sums ? geometry_with_sums(shape, width) : geometry_without_sums(shape, width);
  const auto kernel = inputs.peephole_i ? backward_kernel<T, width, true, has_sums>
                                        : backward_kernel<T, width, false, has_sums>;
  VP_LAUNCH(kernel, geometry.grid, geometry.block, 0, stream, shape, inputs, given, wanted);
}

}  // namespace

template <class T>
LstmGatesSums lstm_gates_cuda_sums(const LstmGatesShape& shape) {
  return {geometry_with_sums(shape, width_for<T>(shape)).groups(), shape.row_size(), shape.row_size()};
}

template <class T>
const char* lstm_gates_forward_cuda(const LstmGatesShape& shape, const LstmGatesInputs<T>& inputs,
                                    const LstmGatesOutputs<T>& outputs, void* stream) {
  if (shape.rows == 0 || shape.row_size() == 0) {
    return nullptr;
  }
  const bool wide = width_for<T>(shape) > 1;
  (wide ? launch_forward<T, widest<T>> : launch_forward<T, 1>)(shape, inputs, outputs, stream);
  return launch_error();
}

template <class T>
const char* lstm_gates_backward_cuda(const LstmGatesShape& shape, const LstmGatesInputs<T>& inputs,
                                     const LstmGatesOutputGradients<T>& given,
                                     const LstmGatesInputGradients<T>& wanted, void* stream) {
  if (shape.rows == 0 || shape.row_size() == 0) {
    return nullptr;
  }
  const bool wide = width_for<T>(shape) > 1;
  if (wanted.gate_sums || wanted.peephole_sums) {
    (wide ? launch_backward<T, widest<T>, true> : launch_backward<T, 1, true>)(shape, inputs, given, wanted,
                                                                               stream);
  } else {
    (wide ? launch_backward<T, widest<T>, false> : launch_backward<T, 1, false>)(shape, inputs, given, wanted,
                                                                                 stream);
  }
  return launch_error();
}

#define VP_INSTANTIATE(T)                                                                         \
  template LstmGatesSums lstm_gates_cuda_sums<T>(const LstmGatesShape&);                          \
  template const char* lstm_gates_forward_cuda(const LstmGatesShape&, const LstmGatesInputs<T>&,  \
                                               const LstmGatesOutputs<T>&, void*);                \
  template const char* lstm_gates_backward_cuda(const LstmGatesShape&, const LstmGatesInputs<T>&, \
                                                const LstmGatesOutputGradients<T>&,               \
                                                const LstmGatesInputGradients<T>&, void*);
VP_INSTANTIATE(float)
VP_INSTANTIATE(double)
VP_INSTANTIATE(float16)
VP_INSTANTIATE(bfloat16)
#undef VP_INSTANTIATE

}  // namespace vidpred
