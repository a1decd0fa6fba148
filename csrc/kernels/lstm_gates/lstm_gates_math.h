// The formulas of one cell, seed 001, eq. 3.1, and their derivatives: for the CPU's loop and the CUDA thread.
#pragma once

#include "common/host_device.h"
#include "common/vector_math.h"

namespace vidpred {

// One value for each gate: pre-activations without peepholes, or gradients to them.
template <class T>
struct Gates {
  T i, f, g, o;
};

// The weights of one cell's peepholes, or gradients to them.
template <class T>
struct Peephole {
  T i, f, o;
};

template <class T>
struct CellState {
  T hidden, cell;
};

template <class T>
struct CellGradient {
  Gates<T> gates;
  T cell;
};

template <bool has_peephole, class T>
VP_HOST_DEVICE CellState<T> lstm_gates_forward(Gates<T> gates, Peephole<T> w, T cell) {
  if constexpr (has_peephole) {
    gates.i += w.i * cell;
    gates.f += w.f * cell;
  }
  const T new_cell = sigmoid(gates.f) * cell + sigmoid(gates.i) * tanh(gates.g);
  if constexpr (has_peephole) {
    gates.o += w.o * new_cell;  // the output gate sees the new cell
  }
  return {sigmoid(gates.o) * tanh(new_cell), new_cell};
}

template <bool has_peephole, class T>
VP_HOST_DEVICE CellGradient<T> lstm_gates_backward(Gates<T> gates, Peephole<T> w, T cell, T new_cell,
                                                   T grad_hidden, T grad_new_cell) {
  if constexpr (has_peephole) {
    gates.i += w.i * cell;
    gates.f += w.f * cell;
    gates.o += w.o * new_cell;
  }
  const T i = sigmoid(gates.i);
  const T f = sigmoid(gates.f);
  const T g = tanh(gates.g);
  const T o = sigmoid(gates.o);
  const T squashed = tanh(new_cell);

  Gates<T> grad;
  grad.o = grad_hidden * squashed * (o * (1 - o));
  grad_new_cell += grad_hidden * o * (1 - squashed * squashed);
  if constexpr (has_peephole) {
    grad_new_cell += grad.o * w.o;
  }
  grad.i = grad_new_cell * g * (i * (1 - i));
  grad.f = grad_new_cell * cell * (f * (1 - f));
  grad.g = grad_new_cell * i * (1 - g * g);
  T grad_cell = grad_new_cell * f;
  if constexpr (has_peephole) {
    grad_cell += grad.i * w.i + grad.f * w.f;
  }
  return {grad, grad_cell};
}

// The gradient to the weights, from that to the gates.
template <class T>
VP_HOST_DEVICE Peephole<T> peephole_gradient(Gates<T> grad, T cell, T new_cell) {
  return {grad.i * cell, grad.f * cell, grad.o * new_cell};
}

}  // namespace vidpred
