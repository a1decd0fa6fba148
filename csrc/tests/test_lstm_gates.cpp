// lstm_gates on every instruction set of this CPU and in the emulator, against eq. 3.1 in double, written
// once more, and central differences. Each buffer has its exact size, for AddressSanitizer to watch.
#include <cmath>
#include <random>
#include <string>
#include <vector>

#include "kernels/lstm_gates/lstm_gates.h"
#include "tests/check.h"

using namespace vidpred;

struct Options {
  LstmGatesShape shape;
  bool extra, bias, peephole;
};

template <class T>
constexpr double tolerance = 1e-9;
template <>
constexpr double tolerance<float> = 2e-6;
template <>
constexpr double tolerance<float16> = 4e-3;
template <>
constexpr double tolerance<bfloat16> = 3e-2;

// The state and the gradients of one cell.
struct Cell {
  double gates[4], weights[3], cell;

  void step(double& hidden, double& new_cell) const {
    const auto sigma = [](double x) { return 1 / (1 + std::exp(-x)); };
    new_cell = sigma(gates[1] + weights[1] * cell) * cell +
               sigma(gates[0] + weights[0] * cell) * std::tanh(gates[2]);
    hidden = sigma(gates[3] + weights[2] * new_cell) * std::tanh(new_cell);
  }

  // How grad_hidden * hidden + grad_new_cell * new_cell changes with `variable`, one of this cell's.
  double derivative(double& variable, double grad_hidden, double grad_new_cell) {
    constexpr double step_size = 1e-5;
    double values[2], hidden, new_cell;
    const double before = variable;
    for (int side : {0, 1}) {
      variable = before + (side ? step_size : -step_size);
      step(hidden, new_cell);
      values[side] = grad_hidden * hidden + grad_new_cell * new_cell;
    }
    variable = before;
    return (values[1] - values[0]) / (2 * step_size);
  }
};

template <class T>
class Problem {
 public:
  using A = accumulate_t<T>;

  Problem(const Options& options, const LstmGatesSums& sums)
      : options_(options),
        sums_(sums),
        gates_(random(4 * cells())),
        extra_(random(options.extra ? 4 * cells() : 0)),
        bias_(random(options.bias ? 4 * options.shape.channels : 0)),
        weights_{random(weights()), random(weights()), random(weights())},
        cell_(random(cells())),
        grad_hidden_(random(cells())),
        grad_new_cell_(random(cells())),
        hidden_(cells()),
        new_cell_(cells()),
        grad_gates_(4 * cells()),
        grad_cell_(cells()),
        gate_sums_(options.bias ? sums.groups * 4 * sums.gate_columns : 0, A(NAN)),
        peephole_sums_(options.peephole ? sums.groups * 3 * sums.peephole_columns : 0, A(NAN)) {}

  LstmGatesInputs<T> inputs() const {
    return {gates_.data(),        or_null(extra_),      or_null(bias_), or_null(weights_[0]),
            or_null(weights_[1]), or_null(weights_[2]), cell_.data()};
  }
  LstmGatesOutputs<T> outputs() { return {hidden_.data(), new_cell_.data()}; }
  LstmGatesOutputGradients<T> given() const {
    return {new_cell_.data(), grad_hidden_.data(), grad_new_cell_.data()};
  }
  LstmGatesInputGradients<T> wanted() {
    return {grad_gates_.data(), grad_cell_.data(), or_null(gate_sums_), or_null(peephole_sums_)};
  }

  void check(const char* where) {
    const LstmGatesShape& shape = options_.shape;
    const int64_t row_size = shape.row_size(), parameters = weights();
    std::vector<double> bias_gradient(4 * shape.channels), weight_gradient(3 * parameters);
    for (int64_t n = 0; n < cells(); ++n) {
      const int64_t row = n / row_size, j = n % row_size, channel = j / shape.inner;
      const int64_t weight = j / shape.peephole_span();
      Cell cell{};
      for (int k = 0; k < 4; ++k) {
        const int64_t at = (row * 4 + k) * row_size + j;
        cell.gates[k] = widen(gates_[at]) + (options_.extra ? widen(extra_[at]) : A(0)) +
                        (options_.bias ? widen(bias_[k * shape.channels + channel]) : A(0));
      }
      for (int k = 0; k < 3 && options_.peephole; ++k) {
        cell.weights[k] = widen(weights_[k][weight]);
      }
      cell.cell = widen(cell_[n]);
      double hidden, new_cell;
      cell.step(hidden, new_cell);
      expect(where, "hidden", widen(hidden_[n]), hidden, 1);
      expect(where, "new_cell", widen(new_cell_[n]), new_cell, 1);

      const double grad_hidden = widen(grad_hidden_[n]), grad_new_cell = widen(grad_new_cell_[n]);
      expect(where, "grad_cell", widen(grad_cell_[n]), cell.derivative(cell.cell, grad_hidden, grad_new_cell),
             1);
      for (int k = 0; k < 4; ++k) {
        const double gradient = cell.derivative(cell.gates[k], grad_hidden, grad_new_cell);
        expect(where, "grad_gates", widen(grad_gates_[(row * 4 + k) * row_size + j]), gradient, 1);
        bias_gradient[k * shape.channels + channel] += gradient;
      }
      for (int k = 0; k < 3 && options_.peephole; ++k) {
        weight_gradient[k * parameters + weight] +=
            cell.derivative(cell.weights[k], grad_hidden, grad_new_cell);
      }
    }
    const double addends = double(cells()) / double(shape.channels);
    check_sums(where, "grad_bias", gate_sums_, 4, sums_.gate_columns, bias_gradient, addends);
    check_sums(where, "grad_peephole", peephole_sums_, 3, sums_.peephole_columns, weight_gradient, addends);
  }

 private:
  int64_t cells() const { return options_.shape.rows * options_.shape.row_size(); }
  int64_t weights() const { return options_.peephole ? options_.shape.peephole_weights() : 0; }

  template <class V>
  static auto or_null(V& values) {
    return values.empty() ? nullptr : values.data();
  }

  std::vector<T> random(int64_t count) {
    std::vector<T> values(count);
    for (T& value : values) {
      value = narrow<T>(A(normal_(generator_)));
    }
    return values;
  }

  void expect(const char* where, const char* what, double got, double expected, double addends) {
    CHECK(std::abs(got - expected) <= tolerance<T> * (1 + std::abs(expected)) * addends,
          "%s: %s is %g instead of %g", where, what, got, expected);
  }

  void check_sums(const char* where, const char* what, const std::vector<A>& sums, int64_t planes,
                  int64_t columns, const std::vector<double>& expected, double addends) {
    if (sums.empty()) {
      return;
    }
    const int64_t parameters = int64_t(expected.size()) / planes, apart = columns / parameters;
    for (int64_t n = 0; n < planes * parameters; ++n) {
      double total = 0;
      for (int64_t group = 0; group < sums_.groups; ++group) {
        for (int64_t column = 0; column < apart; ++column) {
          total += sums[(group * planes * parameters + n) * apart + column];
        }
      }
      expect(where, what, total, expected[n], addends);
    }
  }

  Options options_;
  LstmGatesSums sums_;
  std::mt19937 generator_{1};
  std::normal_distribution<double> normal_;
  std::vector<T> gates_, extra_, bias_, weights_[3], cell_, grad_hidden_, grad_new_cell_;
  std::vector<T> hidden_, new_cell_, grad_gates_, grad_cell_;
  std::vector<A> gate_sums_, peephole_sums_;
};

template <class T>
void check_cpu(const Options& options) {
  const LstmGatesShape& shape = options.shape;
  const int64_t tasks = lstm_gates_cpu_tasks(shape);
  for (auto set : {InstructionSet::baseline, InstructionSet::avx2, InstructionSet::avx512}) {
    if (set > best_instruction_set()) {
      continue;
    }
    Problem<T> problem(options, lstm_gates_cpu_sums(shape));
    lstm_gates_forward_cpu(set, shape, problem.inputs(), problem.outputs(), 0, tasks);
    // Two parts, the later one first: the order of tasks does not matter.
    lstm_gates_backward_cpu(set, shape, problem.inputs(), problem.given(), problem.wanted(), tasks / 2,
                            tasks);
    lstm_gates_backward_cpu(set, shape, problem.inputs(), problem.given(), problem.wanted(), 0, tasks / 2);
    problem.check(name(set));
  }
}

template <class T>
void check_cuda(const Options& options) {
  const LstmGatesShape& shape = options.shape;
  Problem<T> problem(options, lstm_gates_cuda_sums<T>(shape));
  const char* error = lstm_gates_forward_cuda(shape, problem.inputs(), problem.outputs(), nullptr);
  CHECK(!error, "%s", error);
  error = lstm_gates_backward_cuda(shape, problem.inputs(), problem.given(), problem.wanted(), nullptr);
  CHECK(!error, "%s", error);
  problem.check("emulated");
}

template <class T>
void check() {
  const LstmGatesShape shapes[] = {
      {2, 3, 16, false},   // space in whole accesses of 16 bytes
      {3, 5, 7, false},    // and not
      {2, 2, 300, true},   // a weight per cell; more than a tile
      {9, 64, 1, false},   // channels last
      {700, 3, 1, false},  // many rows: sums over several groups
      {1, 1, 1, false},
  };
  for (const LstmGatesShape& shape : shapes) {
    for (int n = 0; n < 8; ++n) {
      const Options options{shape, (n & 1) != 0, (n & 2) != 0, (n & 4) != 0};
      check_cpu<T>(options);
      check_cuda<T>(options);
    }
  }
}

int main() {
  check<float>();
  check<double>();
  check<float16>();
  check<bfloat16>();
  return exit_status();
}
