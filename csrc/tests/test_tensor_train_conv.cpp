// tensor_train_conv on every instruction set of this CPU, and in the emulator with every order of threads,
// against the sums of seed 002, eq. 8-9, tap by tap in double. Each buffer has its exact size, for
// AddressSanitizer to watch.
#include <cmath>
#include <memory>
#include <random>
#include <vector>

#include "emulator/grid.h"
#include "kernels/tensor_train_conv/tensor_train_conv.h"
#include "tests/check.h"

using namespace vidpred;

template <class T>
constexpr double tolerance = 1e-12;
template <>
constexpr double tolerance<float> = 2e-6;
template <>
constexpr double tolerance<float16> = 4e-3;
template <>
constexpr double tolerance<bfloat16> = 3e-2;

enum class Layout { contiguous, channels_last, slice };  // a slice of the channels of a contiguous tensor

std::mt19937 generator{1};

template <class T>
std::vector<T> random(int64_t count, double scale = 1) {
  std::normal_distribution<double> normal;
  std::vector<T> values(count);
  for (T& value : values) {
    value = narrow<T>(accumulate_t<T>(scale * normal(generator)));
  }
  return values;
}

// A tensor (N, C, H, W), random, or not a number until it is written.
template <class T>
class Images {
 public:
  Images(const ImageSize& size, int64_t channels, Layout layout, bool poisoned) : channels(channels) {
    const int64_t space = size.height * size.width, room = channels + (layout == Layout::slice ? 2 : 0);
    const int64_t count = size.batch * room * space;
    values_ = poisoned ? std::vector<T>(count, narrow<T>(NAN)) : random<T>(count);
    const int64_t first = layout == Layout::slice ? space : 0;
    planes = layout == Layout::channels_last ? Planes<T>{values_.data(), channels * space, 1, channels}
                                             : Planes<T>{values_.data() + first, room * space, space, 1};
  }
  Images(Images&&) = default;

  Planes<const T> read_only() const {
    return {planes.data, planes.batch_stride, planes.channel_stride, planes.pixel_stride};
  }
  double at(int64_t n, int64_t channel, int64_t pixel) const { return widen(*planes.row(n, channel, pixel)); }

  int64_t channels;
  Planes<T> planes;

 private:
  std::vector<T> values_;
};

// What the formulas give, in double: (N, C, H * W).
struct Expected {
  Expected(const ImageSize& size, int64_t channels)
      : channels(channels), space(size.height * size.width), values(size.batch * channels * space) {}

  double& operator()(int64_t n, int64_t channel, int64_t pixel) {
    return values[(n * channels + channel) * space + pixel];
  }

  int64_t channels, space;
  std::vector<double> values;
};

template <class T>
class Problem {
 public:
  using A = accumulate_t<T>;

  Problem(const ImageSize& size, const std::vector<int64_t>& ranks, const std::vector<int64_t>& kernels,
          Layout layout, bool has_biases)
      : size_(size), grad_(size, ranks.back(), layout, false) {
    for (int64_t rank : ranks) {
      states_.emplace_back(size, rank, layout, false);
      values_.emplace_back(size, rank, layout, true);
      grad_states_.emplace_back(size, rank, layout, true);
    }
    for (size_t l = 0; l < kernels.size(); ++l) {
      taps_.push_back({ranks[l], ranks[l + 1], kernels[l], false});
      const double scale = 1 / std::sqrt(double(ranks[l] * kernels[l] * kernels[l]));
      cores_.push_back(random<T>(taps_[l].count(), scale));
      biases_.push_back(random<T>(has_biases ? ranks[l + 1] : 0));
      grad_cores_.emplace_back(taps_[l].count(), narrow<T>(NAN));
      grad_biases_.emplace_back(biases_[l].size(), narrow<T>(NAN));
    }
    compute_expected();
  }

  void run_cpu(InstructionSet set) {
    for (size_t l = 0; l < links(); ++l) {
      run_link(set, taps_[l],
               {value(l), nullptr, or_null(biases_[l]), states_[l + 1].read_only(), values_[l + 1].planes},
               cores_[l]);
    }
    for (size_t l = links(); l-- > 0;) {
      run_link(set, transposed(l), {grad_value(l + 1), nullptr, nullptr, {}, grad_states_[l].planes},
               cores_[l]);
      const LinkTaps& taps = taps_[l];
      const int64_t groups = core_gradient_cpu_groups(size_);
      std::vector<A> core_sums(groups * taps.count(), A(NAN)), bias_sums(groups * taps.out_channels, A(NAN));
      const CoreGradient<T> gradient{value(l), grad_value(l + 1), core_sums.data(),
                                     biases_[l].empty() ? nullptr : bias_sums.data()};
      const auto scratch = aligned(core_gradient_cpu_scratch(size_, taps));
      // Two parts, the later one first: the order of tasks does not matter.
      core_gradient_cpu(set, size_, taps, gradient, scratch.get(), groups / 2, groups);
      core_gradient_cpu(set, size_, taps, gradient, scratch.get(), 0, groups / 2);
      add_up(core_sums, grad_cores_[l]);
      add_up(bias_sums, grad_biases_[l]);
    }
    check(name(set));
  }

  void run_cuda() {
    Chain<T> forward{states_[0].read_only(), int(links()), {}}, backward{grad_.read_only(), int(links()), {}};
    CoreGradients<T> gradients{int(links()), {}};
    std::vector<std::vector<A>> sums;
    for (size_t l = 0; l < links(); ++l) {
      forward.link[l] = {taps_[l], cores_[l].data(), or_null(biases_[l]), states_[l + 1].read_only(),
                         values_[l + 1].planes};
      backward.link[links() - 1 - l] = {transposed(l), cores_[l].data(), nullptr, {}, grad_states_[l].planes};
      sums.emplace_back(core_gradient_cuda_sums(size_, taps_[l]), A(NAN));
      gradients.link[l] = {taps_[l],
                           value(l),
                           grad_value(l + 1),
                           sums[l].data(),
                           grad_cores_[l].data(),
                           or_null(grad_biases_[l])};
    }
    for (const char* error : {chain_cuda(size_, forward, nullptr), chain_cuda(size_, backward, nullptr),
                              core_gradient_cuda(size_, gradients, nullptr)}) {
      CHECK(!error, "%s", error);
    }
    check("emulated");
  }

 private:
  struct Free {
    void operator()(void* memory) const { ::operator delete(memory, std::align_val_t(64)); }
  };

  static std::unique_ptr<A, Free> aligned(int64_t count) {
    return std::unique_ptr<A, Free>(static_cast<A*>(::operator new(count * sizeof(A), std::align_val_t(64))));
  }

  static auto or_null(std::vector<T>& values) { return values.empty() ? nullptr : values.data(); }

  size_t links() const { return taps_.size(); }
  LinkTaps transposed(size_t l) const {
    return {taps_[l].out_channels, taps_[l].in_channels, taps_[l].kernel, true};
  }
  Planes<const T> value(size_t l) const { return l ? values_[l].read_only() : states_[0].read_only(); }
  Planes<const T> grad_value(size_t l) const {
    return l < links() ? grad_states_[l].read_only() : grad_.read_only();
  }

  void run_link(InstructionSet set, const LinkTaps& taps, Link<T> link, const std::vector<T>& core) {
    std::vector<A> packed(packed_core_size(taps));
    pack_core(taps, core.data(), packed.data());
    link.weights = packed.data();
    const auto scratch = aligned(link_cpu_scratch(size_, taps));
    const int64_t tasks = link_cpu_tasks(size_);
    link_cpu(set, size_, taps, link, scratch.get(), tasks / 2, tasks);
    link_cpu(set, size_, taps, link, scratch.get(), 0, tasks / 2);
  }

  static void add_up(const std::vector<A>& sums, std::vector<T>& total) {
    for (size_t n = 0; n < total.size(); ++n) {
      double sum = 0;
      for (size_t at = n; at < sums.size(); at += total.size()) {
        sum += sums[at];
      }
      total[n] = narrow<T>(A(sum));
    }
  }

  // Calls visit(n, o, pixel, i, seen pixel, index of the weight) for every product of link l.
  template <class Visit>
  void for_each_product(size_t l, Visit visit) const {
    const LinkTaps& taps = taps_[l];
    const int64_t reach = taps.kernel / 2;
    for (int64_t n = 0; n < size_.batch; ++n) {
      for (int64_t y = 0; y < size_.height; ++y) {
        for (int64_t x = 0; x < size_.width; ++x) {
          for (int64_t sy = std::max<int64_t>(y - reach, 0); sy <= std::min(y + reach, size_.height - 1);
               ++sy) {
            for (int64_t sx = std::max<int64_t>(x - reach, 0); sx <= std::min(x + reach, size_.width - 1);
                 ++sx) {
              const int64_t tap = (sy - y + reach) * taps.kernel + sx - x + reach;
              for (int64_t o = 0; o < taps.out_channels; ++o) {
                for (int64_t i = 0; i < taps.in_channels; ++i) {
                  visit(n, o, y * size_.width + x, i, sy * size_.width + sx,
                        (o * taps.in_channels + i) * taps.kernel * taps.kernel + tap);
                }
              }
            }
          }
        }
      }
    }
  }

  void compute_expected() {
    for (const Images<T>& state : states_) {
      expected_values_.emplace_back(size_, state.channels);
      expected_grads_.emplace_back(size_, state.channels);
    }
    const int64_t space = size_.height * size_.width;
    for (size_t l = 0; l < states_.size(); ++l) {
      for (int64_t n = 0; n < size_.batch; ++n) {
        for (int64_t c = 0; c < states_[l].channels; ++c) {
          for (int64_t pixel = 0; pixel < space; ++pixel) {
            expected_values_[l](n, c, pixel) =
                states_[l].at(n, c, pixel) + (l && !biases_[l - 1].empty() ? widen(biases_[l - 1][c]) : A(0));
            expected_grads_[l](n, c, pixel) = l == links() ? grad_.at(n, c, pixel) : 0;
          }
        }
      }
      if (l) {
        for_each_product(l - 1, [&](int64_t n, int64_t o, int64_t pixel, int64_t i, int64_t seen, int64_t w) {
          expected_values_[l](n, o, pixel) += widen(cores_[l - 1][w]) * expected_values_[l - 1](n, i, seen);
        });
      }
    }
    for (size_t l = links(); l-- > 0;) {
      std::vector<double>& core = expected_cores_.emplace_back(cores_[l].size());
      std::vector<double>& bias = expected_biases_.emplace_back(biases_[l].size());
      for_each_product(l, [&](int64_t n, int64_t o, int64_t pixel, int64_t i, int64_t seen, int64_t w) {
        expected_grads_[l](n, i, seen) += widen(cores_[l][w]) * expected_grads_[l + 1](n, o, pixel);
        core[w] += expected_values_[l](n, i, seen) * expected_grads_[l + 1](n, o, pixel);
      });
      for (size_t n = 0; n < expected_grads_[l + 1].values.size() && !bias.empty(); ++n) {
        bias[n / space % bias.size()] += expected_grads_[l + 1].values[n];
      }
    }
  }

  void check(const char* where) {
    const double sum_scale = double(links()) * std::sqrt(double(size_.batch * size_.height * size_.width));
    for (size_t l = 0; l < links(); ++l) {
      check_images(where, "V", values_[l + 1], expected_values_[l + 1]);
      check_images(where, "the gradient to S", grad_states_[l], expected_grads_[l]);
      const size_t at = links() - 1 - l;
      for (size_t n = 0; n < cores_[l].size(); ++n) {
        expect(where, "the gradient to a core", widen(grad_cores_[l][n]), expected_cores_[at][n], sum_scale);
      }
      for (size_t n = 0; n < biases_[l].size(); ++n) {
        expect(where, "the gradient to a bias", widen(grad_biases_[l][n]), expected_biases_[at][n],
               sum_scale);
      }
    }
  }

  void check_images(const char* where, const char* what, const Images<T>& got, Expected& expected) {
    for (int64_t n = 0; n < size_.batch; ++n) {
      for (int64_t c = 0; c < got.channels; ++c) {
        for (int64_t pixel = 0; pixel < expected.space; ++pixel) {
          expect(where, what, got.at(n, c, pixel), expected(n, c, pixel), double(links()));
        }
      }
    }
  }

  void expect(const char* where, const char* what, double got, double expected, double scale) {
    CHECK(std::abs(got - expected) <= tolerance<T> * (scale + std::abs(expected)),
          "%s: %s is %g instead of %g", where, what, got, expected);
  }

  ImageSize size_;
  std::vector<LinkTaps> taps_;
  std::vector<Images<T>> states_, values_, grad_states_;
  Images<T> grad_;
  std::vector<std::vector<T>> cores_, biases_, grad_cores_, grad_biases_;
  std::vector<Expected> expected_values_, expected_grads_;
  std::vector<std::vector<double>> expected_cores_, expected_biases_;  // of the last link first
};

struct Options {
  ImageSize size;
  std::vector<int64_t> ranks, kernels;
  Layout layout;
  bool has_biases;
};

template <class T>
void check() {
  const Options all[] = {
      {{2, 9, 21}, {8, 8, 8}, {5, 5}, Layout::contiguous, true},
      {{1, 19, 18}, {3, 5, 2}, {3, 3}, Layout::channels_last, true},
      {{2, 4, 16}, {4, 4}, {5}, Layout::slice, false},
      {{1, 35, 5}, {1, 6, 2, 3, 5}, {1, 3, 7, 5}, Layout::slice, true},
      {{1, 17, 19},
       {16, 16, 16, 16, 16},
       {5, 5, 5, 5},
       Layout::contiguous,
       true},  // on CUDA not all at once, in double
      {{3, 1, 1}, {2, 2, 2}, {3, 5}, Layout::channels_last, false},
      {{600, 1, 2}, {2, 1}, {3}, Layout::contiguous, true},  // more tiles than blocks that sum over them
  };
  for (const Options& options : all) {
    for (auto set : {InstructionSet::baseline, InstructionSet::avx2, InstructionSet::avx512}) {
      if (set <= best_instruction_set()) {
        Problem<T>(options.size, options.ranks, options.kernels, options.layout, options.has_biases)
            .run_cpu(set);
      }
    }
    for (auto order : {emulator::Order::forward, emulator::Order::reverse, emulator::Order::shuffled}) {
      if (order != emulator::Order::forward && sizeof(T) != sizeof(float)) {
        continue;  // threads meet at the same places whatever the dtype
      }
      emulator::set_order(order);
      Problem<T>(options.size, options.ranks, options.kernels, options.layout, options.has_biases).run_cuda();
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
