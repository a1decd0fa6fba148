// The CPU's loops, compiled once for each instruction set (per_instruction_set.h).
//
// Cells pass through the first-level cache in tiles: each step of the work is a plain loop over a tile
// that the compiler vectorises, and what costs time, main memory, is read and written once.

template <class A>
constexpr int64_t tile_cells = 1024 / sizeof(A);

template <class A>
struct InputTile {
  alignas(64) A gates[4][tile_cells<A>];  // summed, without peepholes
  alignas(64) A peephole[3][tile_cells<A>];
  alignas(64) A cell[tile_cells<A>];
};

template <class A>
void clear(A* begin, int64_t count) {
  for (int64_t j = 0; j < count; ++j) {
    begin[j] = 0;
  }
}

template <class T, class A>
void load(const T* from, int64_t count, A* tile) {
  for (int64_t j = 0; j < count; ++j) {
    tile[j] = widen(from[j]);
  }
}

template <class T, class A>
void load_or_zero(const T* from, int64_t first, int64_t count, A* tile) {
  if (from) {
    load(from + first, count, tile);
  } else {
    clear(tile, count);
  }
}

template <class T, class A>
void add(const T* from, int64_t count, A* tile) {
  for (int64_t j = 0; j < count; ++j) {
    tile[j] += widen(from[j]);
  }
}

template <class T, class A>
void store(const A* tile, int64_t count, T* to) {
  for (int64_t j = 0; j < count; ++j) {
    to[j] = narrow<T>(tile[j]);
  }
}

// Calls run(parameter, begin, end) for each stretch of a tile whose cells share a parameter. The tile
// starts at cell `first` of its row; `span` neighbours share one parameter.
template <class Run>
void for_each_parameter(int64_t first, int64_t count, int64_t span, Run run) {
  for (int64_t begin = 0; begin < count;) {
    const int64_t parameter = (first + begin) / span;
    const int64_t end = std::min(count, (parameter + 1) * span - first);
    run(parameter, begin, end);
    begin = end;
  }
}

// Adds to each cell of the tile its parameter.
template <class T, class A>
void add_parameters(const T* parameters, int64_t first, int64_t count, int64_t span, A* tile) {
  if (span == 1) {
    add(parameters + first, count, tile);
    return;
  }
  for_each_parameter(first, count, span, [&](int64_t parameter, int64_t begin, int64_t end) {
    const A value = widen(parameters[parameter]);
    for (int64_t j = begin; j < end; ++j) {
      tile[j] += value;
    }
  });
}

// Adds each cell of the tile to the sum of its parameter.
template <class A>
void sum_by_parameter(const A* tile, int64_t first, int64_t count, int64_t span, A* sums) {
  if (span == 1) {
    for (int64_t j = 0; j < count; ++j) {
      sums[first + j] += tile[j];
    }
    return;
  }
  for_each_parameter(first, count, span, [&](int64_t parameter, int64_t begin, int64_t end) {
    A sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int64_t j = begin; j < end; ++j) {
      sum += tile[j];
    }
    sums[parameter] += sum;
  });
}

// Loads `count` cells of a row, from its cell `first` on.
template <class T, class A>
void load_inputs(const LstmGatesShape& shape, const LstmGatesInputs<T>& inputs, int64_t row, int64_t first,
                 int64_t count, InputTile<A>& tile) {
  for (int64_t k = 0; k < 4; ++k) {
    const int64_t offset = (row * 4 + k) * shape.row_size() + first;
    load(inputs.gates + offset, count, tile.gates[k]);
    if (inputs.extra) {
      add(inputs.extra + offset, count, tile.gates[k]);
    }
    if (inputs.bias) {
      add_parameters(inputs.bias + k * shape.channels, first, count, shape.inner, tile.gates[k]);
    }
  }
  if (inputs.peephole_i) {
    const T* weights[] = {inputs.peephole_i, inputs.peephole_f, inputs.peephole_o};
    for (int64_t k = 0; k < 3; ++k) {
      clear(tile.peephole[k], count);
      add_parameters(weights[k], first, count, shape.peephole_span(), tile.peephole[k]);
    }
  }
  load(inputs.cell + row * shape.row_size() + first, count, tile.cell);
}

template <class A>
Gates<A> gates_of(const InputTile<A>& tile, int64_t j) {
  return {tile.gates[0][j], tile.gates[1][j], tile.gates[2][j], tile.gates[3][j]};
}

template <bool has_peephole, class A>
Peephole<A> peephole_of(const InputTile<A>& tile, int64_t j) {
  if constexpr (has_peephole) {
    return {tile.peephole[0][j], tile.peephole[1][j], tile.peephole[2][j]};
  } else {
    return {};
  }
}

// Calls tile(row, first, count) for all tiles of a task.
template <class A, class Tile>
void for_each_tile(const LstmGatesShape& shape, const LstmGatesTask& task, Tile tile) {
  for (int64_t row = task.first_row; row < task.end_row; ++row) {
    const int64_t end = task.end_channel * shape.inner;
    for (int64_t first = task.first_channel * shape.inner; first < end; first += tile_cells<A>) {
      tile(row, first, std::min(tile_cells<A>, end - first));
    }
  }
}

template <class T, bool has_peephole>
void forward(const LstmGatesShape& shape, const LstmGatesInputs<T>& inputs,
             const LstmGatesOutputs<T>& outputs, const LstmGatesTask& task) {
  using A = accumulate_t<T>;
  InputTile<A> in;
  alignas(64) A hidden[tile_cells<A>];
  alignas(64) A new_cell[tile_cells<A>];
  for_each_tile<A>(shape, task, [&](int64_t row, int64_t first, int64_t count) {
    load_inputs(shape, inputs, row, first, count, in);
    for (int64_t j = 0; j < count; ++j) {
      const CellState<A> state =
          lstm_gates_forward<has_peephole>(gates_of(in, j), peephole_of<has_peephole>(in, j), in.cell[j]);
      hidden[j] = state.hidden;
      new_cell[j] = state.cell;
    }
    const int64_t offset = row * shape.row_size() + first;
    store(hidden, count, outputs.hidden + offset);
    store(new_cell, count, outputs.new_cell + offset);
  });
}

// Where a task leaves its sums: one task alone writes to a parameter's place in its group.
template <class A>
void clear_sums(A* sums, int64_t planes, int64_t columns, int64_t group, int64_t first, int64_t end) {
  for (int64_t plane = group * planes; plane < (group + 1) * planes; ++plane) {
    clear(sums + plane * columns + first, end - first);
  }
}

template <class T, bool has_peephole>
void backward(const LstmGatesShape& shape, const LstmGatesInputs<T>& inputs,
              const LstmGatesOutputGradients<T>& given, const LstmGatesInputGradients<T>& wanted,
              const LstmGatesTask& task) {
  using A = accumulate_t<T>;
  const int64_t weights = shape.peephole_weights();
  const int64_t weights_of_channel = shape.peephole_per_cell ? shape.inner : 1;
  if (wanted.gate_sums) {
    clear_sums(wanted.gate_sums, 4, shape.channels, task.group, task.first_channel, task.end_channel);
  }
  if (wanted.peephole_sums) {
    clear_sums(wanted.peephole_sums, 3, weights, task.group, task.first_channel * weights_of_channel,
               task.end_channel * weights_of_channel);
  }

  InputTile<A> in;
  alignas(64) A new_cell[tile_cells<A>];
  alignas(64) A grad_hidden[tile_cells<A>];
  alignas(64) A grad_new_cell[tile_cells<A>];
  alignas(64) A grad_gates[4][tile_cells<A>];
  alignas(64) A grad_peephole[3][tile_cells<A>];
  alignas(64) A grad_cell[tile_cells<A>];
  for_each_tile<A>(shape, task, [&](int64_t row, int64_t first, int64_t count) {
    const int64_t offset = row * shape.row_size() + first;
    load_inputs(shape, inputs, row, first, count, in);
    load(given.new_cell + offset, count, new_cell);
    load_or_zero(given.grad_hidden, offset, count, grad_hidden);
    load_or_zero(given.grad_new_cell, offset, count, grad_new_cell);

    for (int64_t j = 0; j < count; ++j) {
      const CellGradient<A> grad = lstm_gates_backward<has_peephole>(
          gates_of(in, j), peephole_of<has_peephole>(in, j), in.cell[j], new_cell[j], grad_hidden[j],
          grad_new_cell[j]);
      grad_gates[0][j] = grad.gates.i;
      grad_gates[1][j] = grad.gates.f;
      grad_gates[2][j] = grad.gates.g;
      grad_gates[3][j] = grad.gates.o;
      grad_cell[j] = grad.cell;
      if constexpr (has_peephole) {
        const Peephole<A> weights = peephole_gradient(grad.gates, in.cell[j], new_cell[j]);
        grad_peephole[0][j] = weights.i;
        grad_peephole[1][j] = weights.f;
        grad_peephole[2][j] = weights.o;
      }
    }

    store(grad_cell, count, wanted.cell + offset);
    for (int64_t k = 0; k < 4; ++k) {
      store(grad_gates[k], count, wanted.gates + (row * 4 + k) * shape.row_size() + first);
      if (wanted.gate_sums) {
        sum_by_parameter(grad_gates[k], first, count, shape.inner,
                         wanted.gate_sums + (task.group * 4 + k) * shape.channels);
      }
    }
    for (int64_t k = 0; k < 3 && wanted.peephole_sums; ++k) {
      sum_by_parameter(grad_peephole[k], first, count, shape.peephole_span(),
                       wanted.peephole_sums + (task.group * 3 + k) * weights);
    }
  });
}
