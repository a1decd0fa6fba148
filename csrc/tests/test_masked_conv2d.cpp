// masked_conv2d on every instruction set of this CPU and in the emulator, against loops over pixels and taps
// in double. Each buffer has its exact size, for AddressSanitizer to watch; masked weights are NaN, which
// must not spread.
#include <cmath>
#include <random>
#include <vector>

#include "common/launch.h"
#include "kernels/masked_conv2d/masked_conv2d.h"
#include "tests/check.h"

using namespace vidpred;

template <class T>
std::vector<T> random(int64_t count, unsigned seed) {
  std::mt19937 generator(seed);
  std::normal_distribution<double> normal;
  std::vector<T> values(count);
  for (T& value : values) {
    value = T(normal(generator));
  }
  return values;
}

bool is_live(const MaskedConvShape& s, int64_t output, int64_t input, int64_t row, int64_t column) {
  const int64_t k = s.size / 2;
  if (row != k || column != k) {
    return row < k || (row == k && column < k);
  }
  const int64_t i = output * s.colors / s.c_out, j = input * s.colors / s.c_in;
  return j < i || (j == i && s.sees_centre);
}

template <class T>
void check(const MaskedConvShape& s) {
  const int64_t pixels = s.batch * s.height * s.width, weights = s.c_out * s.c_in * s.size * s.size;
  const std::vector<T> x = random<T>(pixels * s.c_in, 1), bias = random<T>(s.c_out, 2);
  const std::vector<T> grad_y = random<T>(pixels * s.c_out, 3);
  std::vector<T> weight = random<T>(weights, 4);

  std::vector<double> y(grad_y.size()), grad_x(x.size()), grad_weight(weights), grad_bias(s.c_out);
  for (int64_t n = 0; n < pixels; ++n) {
    for (int64_t o = 0; o < s.c_out; ++o) {
      y[n * s.c_out + o] = bias[o];
      grad_bias[o] += grad_y[n * s.c_out + o];
    }
  }
  for (int64_t at = 0; at < weights; ++at) {
    const int64_t column = at % s.size, row = at / s.size % s.size;
    const int64_t i = at / (s.size * s.size) % s.c_in, o = at / (s.size * s.size * s.c_in);
    if (!is_live(s, o, i, row, column)) {
      weight[at] = NAN;
      continue;
    }
    for (int64_t n = 0; n < pixels; ++n) {
      const int64_t from_x = n % s.width + column - s.size / 2;
      const int64_t from_y = n / s.width % s.height + row - s.size / 2;
      if (from_x < 0 || from_y < 0 || from_x >= s.width || from_y >= s.height) {
        continue;
      }
      const int64_t from = n + (row - s.size / 2) * s.width + column - s.size / 2;
      y[n * s.c_out + o] += double(weight[at]) * x[from * s.c_in + i];
      grad_x[from * s.c_in + i] += double(weight[at]) * grad_y[n * s.c_out + o];
      grad_weight[at] += double(grad_y[n * s.c_out + o]) * x[from * s.c_in + i];
    }
  }

  const auto expect = [&](const char* where, const char* what, const auto& got,
                          const std::vector<double>& expected) {
    const double tolerance = sizeof(T) == 4 ? 2e-4 : 1e-11;
    for (size_t n = 0; n < expected.size(); ++n) {
      CHECK(std::abs(got[n] - expected[n]) <= tolerance * (1 + std::abs(expected[n])),
            "%s: %s[%d] is %g instead of %g", where, what, int(n), double(got[n]), expected[n]);
    }
  };
  const auto added_up = [](const std::vector<T>& sums, int64_t count) {
    std::vector<double> totals(count);
    for (size_t n = 0; n < sums.size(); ++n) {
      totals[n % count] += sums[n];
    }
    return totals;
  };

  std::vector<T> cuda_y(y.size(), T(NAN)), cuda_grad_x(x.size(), T(NAN));
  std::vector<T> cuda_sums(masked_conv2d_cuda_groups(s) * weights);
  const char* error =
      masked_conv2d_cuda({s, false}, x.data(), weight.data(), bias.data(), cuda_y.data(), nullptr);
  CHECK(!error, "%s", error);
  expect("emulated", "y", cuda_y, y);
  const T* const no_bias = nullptr;
  error = masked_conv2d_cuda({s, true}, grad_y.data(), weight.data(), no_bias, cuda_grad_x.data(), nullptr);
  CHECK(!error, "%s", error);
  expect("emulated", "grad_x", cuda_grad_x, grad_x);
  error = masked_conv2d_sums_cuda({s, false}, x.data(), grad_y.data(), cuda_sums.data(), nullptr);
  CHECK(!error, "%s", error);
  expect("emulated", "grad_weight", added_up(cuda_sums, weights), grad_weight);

  for (auto set : {InstructionSet::baseline, InstructionSet::avx2, InstructionSet::avx512}) {
    if (set > best_instruction_set()) {
      continue;
    }
    // In two parts, the later one first: the order of tasks does not matter.
    const auto in_parts = [](int64_t tasks, auto work) {
      work(tasks / 2, tasks);
      work(0, tasks / 2);
    };
    const auto convolve = [&](bool backward, const std::vector<T>& from, const T* offset,
                              std::vector<T>& to) {
      const MaskedPass pass{s, backward};
      const MaskedConvCpuWork work = masked_conv2d_cpu_work<T>(set, pass);
      std::vector<T> packed(work.packed, T(NAN)), scratch(work.scratch, T(NAN));
      in_parts(work.pack_tasks, [&](int64_t begin, int64_t end) {
        masked_conv2d_pack_cpu(set, pass, weight.data(), packed.data(), begin, end);
      });
      in_parts(work.tasks, [&](int64_t begin, int64_t end) {
        masked_conv2d_cpu(set, pass, from.data(), packed.data(), offset, to.data(), scratch.data(), begin,
                          end);
      });
    };
    std::vector<T> got_y(y.size(), T(NAN)), got_grad_x(x.size(), T(NAN));
    convolve(false, x, bias.data(), got_y);
    expect(name(set), "y", got_y, y);
    convolve(true, grad_y, nullptr, got_grad_x);
    expect(name(set), "grad_x", got_grad_x, grad_x);

    const MaskedPass pass{s, false};
    const MaskedConvCpuWork work = masked_conv2d_cpu_work<T>(set, pass);
    std::vector<T> weight_sums(work.groups * weights, T(NAN)), bias_sums(work.groups * s.c_out, T(NAN));
    std::vector<T> scratch(work.scratch, T(NAN));
    in_parts(work.groups, [&](int64_t begin, int64_t end) {
      masked_conv2d_sums_cpu(set, pass, x.data(), grad_y.data(), weight_sums.data(), bias_sums.data(),
                             scratch.data(), begin, end);
    });
    expect(name(set), "grad_weight", added_up(weight_sums, weights), grad_weight);
    expect(name(set), "grad_bias", added_up(bias_sums, s.c_out), grad_bias);
  }
}

int main() {
  emulator::set_order(emulator::Order::shuffled);
  const MaskedConvShape shapes[] = {
      // batch, c_in, c_out, height, width, size, sees_centre, colors
      {2, 5, 7, 6, 7, 3, true, 1},
      {1, 3, 40, 5, 4, 7, false, 1},   // a kernel larger than the image; more
                                       // columns than a panel
      {3, 33, 2, 19, 13, 3, true, 1},  // bands of rows, the last one smaller; runs of odd lengths
      {2, 6, 9, 4, 5, 5, false, 3},
      {2, 6, 9, 4, 5, 5, true, 3},
      {1, 3, 3, 2, 2, 1, false, 3},
      {1, 4, 2, 1, 1, 1, false, 1},    // no live tap
      {3, 2, 70, 50, 60, 3, true, 2},  // several groups of pixels, and tiles of columns
  };
  for (const MaskedConvShape& shape : shapes) {
    check<float>(shape);
    check<double>(shape);
  }
  return exit_status();
}
