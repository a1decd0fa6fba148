// The CPU's loops, compiled once for each instruction set (per_instruction_set.h).
//
// One loop reads each tensor once, computes, and writes each result once, so that memory is busy while the
// arithmetic runs. What is not always there, or is shared by neighbouring cells, is laid out cell by cell
// in a tile that stays in the first-level cache: thus a single loop serves all options and layouts.

constexpr int64_t tile_cells = 256;

template <class A>
struct ParameterTile {
  alignas(64) A bias[4][tile_cells];
  alignas(64) A peephole[3][tile_cells];
};

// Lays out `parameters`, one for every `span` neighbours, or zeros if null, for the `count` cells of a row
// from its cell `first` on.
template <class T, class A>
void lay_out(const T* parameters, int64_t span, int64_t first, int64_t count, A* tile) {
  if (!parameters) {
    for (int64_t j = 0; j < count; ++j) {
      tile[j] = 0;
    }
  } else if (span == 1) {
    for (int64_t j = 0; j < count; ++j) {
      tile[j] = widen(parameters[first + j]);
    }
  } else {
    for (int64_t j = 0; j < count;) {
      const int64_t parameter = (first + j) / span;
      const A value = widen(parameters[parameter]);
      for (const int64_t end = std::min(count, (parameter + 1) * span - first); j < end; ++j) {
        tile[j] = value;
      }
    }
  }
}

template <class T, class A>
void lay_out_parameters(const LstmGatesShape& shape, const LstmGatesInputs<T>& inputs, int64_t first,
                        int64_t count, ParameterTile<A>& tile) {
  for (int64_t k = 0; k < 4; ++k) {
    const T* bias = inputs.bias ? inputs.bias + k * shape.channels : nullptr;
    lay_out(bias, shape.inner, first, count, tile.bias[k]);
  }
  lay_out(inputs.peephole_i, shape.peephole_span(), first, count, tile.peephole[0]);
  lay_out(inputs.peephole_f, shape.peephole_span(), first, count, tile.peephole[1]);
  lay_out(inputs.peephole_o, shape.peephole_span(), first, count, tile.peephole[2]);
}

// Adds gradient times factor, cell by cell, to the sums of the parameters that `lay_out` laid out.
template <class T, class A>
void gather(const T* gradient, const T* factor, int64_t span, int64_t first, int64_t count, A* sums) {
  if (span == 1) {
#pragma omp simd
    for (int64_t j = 0; j < count; ++j) {
      sums[first + j] += widen(gradient[j]) * widen(factor[j]);
    }
  } else {
    for (int64_t begin = 0, end; begin < count; begin = end) {
      const int64_t parameter = (first + begin) / span;
      end = std::min(count, (parameter + 1) * span - first);
      A sum = 0;
#pragma omp simd reduction(+ : sum)
      for (int64_t j = begin; j < end; ++j) {
        sum += widen(gradient[j]) * widen(factor[j]);
      }
      sums[parameter] += sum;
    }
  }
}

// Pointers to the four gates of a row, from its cell `first` on.
template <class T>
Gates<T*> gates_of(T* gates, const LstmGatesShape& shape, int64_t row, int64_t first) {
  const int64_t row_size = shape.row_size();
  T* const i = gates + row * 4 * row_size + first;
  return {i, i + row_size, i + 2 * row_size, i + 3 * row_size};
}

template <class T, class A>
VP_HOST_DEVICE Gates<A> summed(const Gates<const T*>& gates, const Gates<const T*>& extra,
                               const ParameterTile<A>& parameters, int64_t j) {
  return {widen(gates.i[j]) + widen(extra.i[j]) + parameters.bias[0][j],
          widen(gates.f[j]) + widen(extra.f[j]) + parameters.bias[1][j],
          widen(gates.g[j]) + widen(extra.g[j]) + parameters.bias[2][j],
          widen(gates.o[j]) + widen(extra.o[j]) + parameters.bias[3][j]};
}

template <class A>
VP_HOST_DEVICE Peephole<A> peephole_of(const ParameterTile<A>& parameters, int64_t j) {
  return {parameters.peephole[0][j], parameters.peephole[1][j], parameters.peephole[2][j]};
}

template <class T, bool has_peephole>
void forward(const LstmGatesShape& shape, const LstmGatesInputs<T>& inputs,
             const LstmGatesOutputs<T>& outputs, const LstmGatesTask& task) {
  using A = accumulate_t<T>;
  const T zeros[tile_cells] = {};
  ParameterTile<A> parameters;
  const int64_t end = task.end_channel * shape.inner;
  for (int64_t first = task.first_channel * shape.inner; first < end; first += tile_cells) {
    const int64_t count = std::min(tile_cells, end - first);
    lay_out_parameters(shape, inputs, first, count, parameters);
    for (int64_t row = task.first_row; row < task.end_row; ++row) {
      const int64_t offset = row * shape.row_size() + first;
      const Gates<const T*> gates = gates_of(inputs.gates, shape, row, first);
      const Gates<const T*> extra = inputs.extra ? gates_of(inputs.extra, shape, row, first)
                                                 : Gates<const T*>{zeros, zeros, zeros, zeros};
      const T* const cell = inputs.cell + offset;
      T* const hidden = outputs.hidden + offset;
      T* const new_cell = outputs.new_cell + offset;
#pragma omp simd
      for (int64_t j = 0; j < count; ++j) {
        const CellState<A> state = lstm_gates_forward<has_peephole>(
            summed(gates, extra, parameters, j), peephole_of(parameters, j), widen(cell[j]));
        hidden[j] = narrow<T>(state.hidden);
        new_cell[j] = narrow<T>(state.cell);
      }
    }
  }
}

// The sums that a task adds to: its group's part of (groups, planes, columns).
template <class A>
A* sums_of(A* sums, int64_t planes, int64_t columns, const LstmGatesTask& task) {
  return sums ? sums + task.group * planes * columns : nullptr;
}

// Sets columns [first, end) of each plane to zero.
template <class A>
void clear(A* sums, int64_t planes, int64_t columns, int64_t first, int64_t end) {
  for (int64_t plane = 0; plane < planes; ++plane) {
    for (int64_t column = first; column < end; ++column) {
      sums[plane * columns + column] = 0;
    }
  }
}

template <class T, bool has_peephole>
void backward(const LstmGatesShape& shape, const LstmGatesInputs<T>& inputs,
              const LstmGatesOutputGradients<T>& given, const LstmGatesInputGradients<T>& wanted,
              const LstmGatesTask& task) {
  using A = accumulate_t<T>;
  const int64_t channels = shape.channels;
  const int64_t weights = shape.peephole_weights();
  A* const gate_sums = sums_of(wanted.gate_sums, 4, channels, task);
  A* const peephole_sums = sums_of(wanted.peephole_sums, 3, weights, task);
  if (gate_sums) {
    clear(gate_sums, 4, channels, task.first_channel, task.end_channel);
  }
  if (peephole_sums) {
    const int64_t per_channel = shape.peephole_per_cell ? shape.inner : 1;
    clear(peephole_sums, 3, weights, task.first_channel * per_channel, task.end_channel * per_channel);
  }

  const T zeros[tile_cells] = {};
  T ones[tile_cells];
  for (T& one : ones) {
    one = narrow<T>(1);
  }
  ParameterTile<A> parameters;
  const int64_t end = task.end_channel * shape.inner;
  for (int64_t first = task.first_channel * shape.inner; first < end; first += tile_cells) {
    const int64_t count = std::min(tile_cells, end - first);
    lay_out_parameters(shape, inputs, first, count, parameters);
    for (int64_t row = task.first_row; row < task.end_row; ++row) {
      const int64_t offset = row * shape.row_size() + first;
      const Gates<const T*> gates = gates_of(inputs.gates, shape, row, first);
      const Gates<const T*> extra = inputs.extra ? gates_of(inputs.extra, shape, row, first)
                                                 : Gates<const T*>{zeros, zeros, zeros, zeros};
      const T* const cell = inputs.cell + offset;
      const T* const new_cell = given.new_cell + offset;
      const T* const grad_hidden = given.grad_hidden ? given.grad_hidden + offset : zeros;
      const T* const grad_new_cell = given.grad_new_cell ? given.grad_new_cell + offset : zeros;
      const Gates<T*> grad_gates = gates_of(wanted.gates, shape, row, first);
      T* const grad_cell = wanted.cell + offset;
#pragma omp simd
      for (int64_t j = 0; j < count; ++j) {
        const CellGradient<A> grad = lstm_gates_backward<has_peephole>(
            summed(gates, extra, parameters, j), peephole_of(parameters, j), widen(cell[j]),
            widen(new_cell[j]), widen(grad_hidden[j]), widen(grad_new_cell[j]));
        grad_gates.i[j] = narrow<T>(grad.gates.i);
        grad_gates.f[j] = narrow<T>(grad.gates.f);
        grad_gates.g[j] = narrow<T>(grad.gates.g);
        grad_gates.o[j] = narrow<T>(grad.gates.o);
        grad_cell[j] = narrow<T>(grad.cell);
      }
      if (gate_sums) {
        gather(grad_gates.i, ones, shape.inner, first, count, gate_sums);
        gather(grad_gates.f, ones, shape.inner, first, count, gate_sums + channels);
        gather(grad_gates.g, ones, shape.inner, first, count, gate_sums + 2 * channels);
        gather(grad_gates.o, ones, shape.inner, first, count, gate_sums + 3 * channels);
      }
      if (peephole_sums) {
        const int64_t span = shape.peephole_span();
        gather(grad_gates.i, cell, span, first, count, peephole_sums);
        gather(grad_gates.f, cell, span, first, count, peephole_sums + weights);
        gather(grad_gates.o, new_cell, span, first, count, peephole_sums + 2 * weights);
      }
    }
  }
}
