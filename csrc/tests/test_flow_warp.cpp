// flow_warp on every instruction set of this CPU and in the emulator, against a loop over pixels in double.
// Each buffer has its exact size, for AddressSanitizer to watch; flows lead far outside.
#include <cmath>
#include <random>
#include <vector>

#include "kernels/flow_warp/flow_warp.h"
#include "tests/check.h"

using namespace vidpred;

template <class T>
constexpr double tolerance = 1e-10;
template <>
constexpr double tolerance<float> = 2e-5;
template <>
constexpr double tolerance<float16> = 8e-3;
template <>
constexpr double tolerance<bfloat16> = 6e-2;

template <class T>
class Problem {
 public:
  using A = accumulate_t<T>;

  Problem(const FlowWarpShape& shape, int64_t groups, bool grad_in_a)
      : shape_(shape),
        groups_(groups),
        features(random(size(), 1)),
        flow(random(shape.batch * 2 * shape.pixels(), 3)),
        given(random(size(), 1)),
        warped(size()),
        grad_features(grad_in_a ? 0 : size()),
        grad_features_in_a(grad_in_a ? size() : 0, A(0)),
        sums(groups * shape.batch * 2 * shape.pixels(), A(NAN)) {
    const double far[] = {1e9, -1e9, INFINITY, -INFINITY};
    for (int64_t n = 0; n < int64_t(flow.size()); n += 5) {
      flow[n] = narrow<T>(A(far[n / 5 % 4]));
    }
  }

  void check(const char* where) const {
    const int64_t width = shape_.width, height = shape_.height, pixels = shape_.pixels();
    std::vector<double> expected(size()), grad(size()), grad_flow(flow.size());
    for (int64_t n = 0; n < shape_.batch * pixels; ++n) {
      const int64_t sample = n / pixels, pixel = n % pixels, at = sample * 2 * pixels + pixel;
      double x = pixel % width + double(widen(flow[at]));
      double y = pixel / width + double(widen(flow[at + pixels]));
      double slope_x = 1, slope_y = 1;
      if (shape_.padding == FlowPadding::border) {
        slope_x = x > 0 && x < width - 1, slope_y = y > 0 && y < height - 1;
        x = std::fmin(std::fmax(x, 0), width - 1), y = std::fmin(std::fmax(y, 0), height - 1);
      }
      for (int corner = 0; corner < 4; ++corner) {
        const double v = std::floor(y) + corner / 2, u = std::floor(x) + corner % 2;
        if (!(v >= 0 && v < height && u >= 0 && u < width)) {
          continue;
        }
        const double share_x = 1 - std::abs(x - u), share_y = 1 - std::abs(y - v);
        for (int64_t c = 0; c < shape_.channels; ++c) {
          const int64_t from = place(sample, c, int64_t(v) * width + int64_t(u)),
                        to = place(sample, c, pixel);
          const double value = widen(features[from]), gradient = widen(given[to]);
          expected[to] += share_x * share_y * value;
          grad[from] += share_x * share_y * gradient;
          grad_flow[at] += (corner % 2 ? 1 : -1) * share_y * slope_x * value * gradient;
          grad_flow[at + pixels] += (corner / 2 ? 1 : -1) * share_x * slope_y * value * gradient;
        }
      }
    }
    for (int64_t n = 0; n < size(); ++n) {
      expect(where, "warped", widen(warped[n]), expected[n]);
      expect(where, "grad_features", grad_features.empty() ? grad_features_in_a[n] : widen(grad_features[n]),
             grad[n]);
    }
    for (int64_t n = 0; n < int64_t(flow.size()); ++n) {
      double total = 0;
      for (int64_t group = 0; group < groups_; ++group) {
        total += sums[group * flow.size() + n];
      }
      expect(where, "grad_flow", total, grad_flow[n]);
    }
  }

 private:
  FlowWarpShape shape_;
  int64_t groups_;

 public:
  std::vector<T> features, flow, given, warped, grad_features;
  std::vector<A> grad_features_in_a, sums;

 private:
  int64_t size() const { return shape_.batch * shape_.channels * shape_.pixels(); }

  int64_t place(int64_t sample, int64_t channel, int64_t pixel) const {
    return shape_.channels_last ? (sample * shape_.pixels() + pixel) * shape_.channels + channel
                                : (sample * shape_.channels + channel) * shape_.pixels() + pixel;
  }

  // Not near whole numbers, where a rounding error decides between two derivatives.
  static std::vector<T> random(int64_t count, double scale) {
    std::mt19937 generator(count);
    std::normal_distribution<double> normal(0, scale);
    std::vector<T> values(count);
    for (T& value : values) {
      const double number = normal(generator);
      value = narrow<T>(A(std::abs(number - std::round(number)) < 0.1 ? number + 0.25 : number));
    }
    return values;
  }

  static void expect(const char* where, const char* what, double got, double expected) {
    CHECK(std::abs(got - expected) <= tolerance<T> * (4 + std::abs(expected)), "%s: %s is %g instead of %g",
          where, what, got, expected);
  }
};

template <class T>
void check(const FlowWarpShape& shape) {
  using A = accumulate_t<T>;
  const int64_t tasks = flow_warp_cpu_tasks(shape);
  for (auto set : {InstructionSet::baseline, InstructionSet::avx2, InstructionSet::avx512}) {
    if (set > best_instruction_set()) {
      continue;
    }
    Problem<T> p(shape, flow_warp_cpu_groups(shape), false);
    std::vector<A> scratch(flow_warp_cpu_scratch<T>(shape), A(NAN));
    flow_warp_forward_cpu(set, shape, p.features.data(), p.flow.data(), p.warped.data(), scratch.data(), 0,
                          tasks);
    flow_warp_backward_cpu(set, shape, p.features.data(), p.flow.data(), p.given.data(),
                           FlowWarpGradients<T>{p.grad_features.data(), p.sums.data()}, scratch.data(), 0,
                           tasks);
    p.check(name(set));
  }
  Problem<T> p(shape, flow_warp_cuda_groups(shape), true);
  const char* error =
      flow_warp_forward_cuda(shape, p.features.data(), p.flow.data(), p.warped.data(), nullptr);
  CHECK(!error, "%s", error);
  error =
      flow_warp_backward_cuda(shape, p.features.data(), p.flow.data(), p.given.data(),
                              FlowWarpCudaGradients<T>{p.grad_features_in_a.data(), p.sums.data()}, nullptr);
  CHECK(!error, "%s", error);
  p.check("emulated");
}

int main() {
  for (bool channels_last : {false, true}) {
    for (auto padding : {FlowPadding::zeros, FlowPadding::border}) {
      const FlowWarpShape shapes[] = {{2, 3, 5, 7, channels_last, padding},
                                      {1, 16, 4, 4, channels_last, padding},
                                      {1, 9, 2, 131, channels_last, padding},
                                      {3, 8, 2, 2, channels_last, padding}};
      for (const FlowWarpShape& shape : shapes) {
        check<float>(shape);
        check<double>(shape);
        check<float16>(shape);
        check<bfloat16>(shape);
      }
    }
  }
  return exit_status();
}
