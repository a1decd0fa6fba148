// sample_pixels on every instruction set of this CPU and in the emulator, against a network of two masked
// convolutions that is computed anew in double for every pixel. Each buffer has its exact size, for
// AddressSanitizer to watch.
#include <cmath>
#include <random>
#include <vector>

#include "common/divide_up.h"
#include "kernels/sample_pixels/sample_pixels.h"
#include "tests/check.h"

using namespace vidpred;

// image -> A, (2 * first_radius + 1)^2, to `hidden` -> relu -> B, 3 x 3, to a logit, plus the context.
struct Network {
  int64_t first_radius, hidden;
  std::vector<double> first, second;  // (hidden, side, side), (hidden, 3, 3), with zeros under the masks

  Network(int64_t first_radius, int64_t hidden) : first_radius(first_radius), hidden(hidden) {
    std::mt19937 generator(1);
    std::normal_distribution<double> normal;
    const auto masked = [&](int64_t side, bool sees_itself) {
      std::vector<double> weights(hidden * side * side);
      for (int64_t n = 0; n < int64_t(weights.size()); ++n) {
        const int64_t tap = n % (side * side), centre = side * side / 2;
        weights[n] = tap < centre || (sees_itself && tap == centre) ? float(normal(generator)) : 0;
      }
      return weights;
    };
    first = masked(2 * first_radius + 1, false);
    second = masked(3, true);
  }

  // The logit of a pixel of an image (height, width), without the context.
  double logit(const std::vector<double>& image, int64_t height, int64_t width, int64_t y, int64_t x) const {
    const int64_t side = 2 * first_radius + 1;
    double sum = 0;
    for (int64_t h = 0; h < hidden; ++h) {
      for (int64_t tap = 0; tap < 9; ++tap) {
        const int64_t near_y = y + tap / 3 - 1, near_x = x + tap % 3 - 1;
        if (near_y < 0 || near_x < 0 || near_y >= height || near_x >= width) {
          continue;
        }
        double value = 0;
        for (int64_t n = 0; n < side * side; ++n) {
          const int64_t far_y = near_y + n / side - first_radius, far_x = near_x + n % side - first_radius;
          if (far_y >= 0 && far_x >= 0 && far_y < height && far_x < width) {
            value += first[h * side * side + n] * image[far_y * width + far_x];
          }
        }
        sum += second[h * 9 + tap] * std::max(value, 0.0);
      }
    }
    return sum;
  }

  // The same as a program.
  std::vector<float> weights() const {
    const int64_t side = 2 * first_radius + 1, taps = side * side / 2, panels = divide_up(hidden, 32);
    std::vector<float> numbers(panels * 32 * (1 + taps) + 32 * (1 + 5 * hidden));
    for (int64_t h = 0; h < hidden; ++h) {
      for (int64_t tap = 0; tap < taps; ++tap) {
        const int64_t place = panels * 32 + (h / 32 * taps + tap) * 32 + h % 32;
        numbers[place] = float(first[h * side * side + tap]);
      }
      for (int64_t tap = 0; tap < 5; ++tap) {
        numbers[panels * 32 * (1 + taps) + 32 + (tap * hidden + h) * 32] = float(second[h * 9 + tap]);
      }
    }
    return numbers;
  }
};

void check(const char* where, const InstructionSet* set, const PixelGrid& size, const Network& network) {
  PixelGrid grid = size;
  grid.delay = 1 + std::max<int64_t>(network.first_radius, 1);
  const int64_t hidden = network.hidden, panels = divide_up(hidden, 32);
  const int64_t image_register = 0, hidden_register = 32, logit_register = hidden_register + panels * 32;
  const int64_t context_register = logit_register + 32, registers = context_register + 32;
  const int64_t taps = (2 * network.first_radius + 1) * (2 * network.first_radius + 1) / 2;

  using Operation = PixelOperation;
  const PixelInstruction own[] = {{Operation::store, 0, image_register, 0, 1, 0, 0, 0, 0, 0}};
  const PixelInstruction main_lines[] = {
      {Operation::convolve, hidden_register, 0, 0, hidden, 1, network.first_radius, 0, 0, 0},
      {Operation::relu, hidden_register, hidden_register, 0, hidden, 0, 0, 0, 0, 0},
      {Operation::store, 0, hidden_register, 0, hidden, 0, 0, 0, 1, 0},
      {Operation::convolve, logit_register, hidden_register, 0, 1, hidden, 1, 1, 1, panels * 32 * (1 + taps)},
      {Operation::load, context_register, 0, 0, 1, 0, 0, 0, 0, 0},
      {Operation::add, logit_register, logit_register, context_register, 1, 0, 0, 0, 0, 0},
  };
  const int64_t rows = grid.batch * grid.height;
  const PixelCache caches[] = {{1, 16, hidden}, {hidden, 8, hidden + rows * 16}};
  std::vector<float> cached(hidden + rows * 16 + rows * 8 * hidden);
  const std::vector<float> weights = network.weights();

  const int64_t area = grid.height * grid.width, pixels = grid.batch * area;
  std::mt19937 generator(2);
  std::uniform_real_distribution<float> uniform;
  std::vector<float> noise(pixels), context(pixels), image(pixels, NAN), logits(pixels, NAN);
  for (int64_t n = 0; n < pixels; ++n) {
    noise[n] = uniform(generator);
    context[n] = uniform(generator) - 0.5f;
  }
  const PixelProgram program{{own, 1},  {main_lines, 6}, caches, weights.data(),
                             registers, logit_register,  1,      1};
  const PixelBuffers buffers{context.data(), 1, noise.data(), 1.0f, cached.data(), image.data(),
                             logits.data()};
  if (set) {
    for (int64_t step = 0; step < sample_pixels_steps(grid); ++step) {
      const int64_t count = sample_pixels_in_step(grid, step);
      std::vector<float> scratch(count * registers, NAN);
      sample_pixels_cpu(*set, program, grid, buffers, step, scratch.data(), 0, count);
    }
  } else {
    const char* error = sample_pixels_cuda(program, grid, buffers, std::max(taps, 5 * hidden), nullptr);
    CHECK(!error, "%s", error);
  }

  for (int64_t sample = 0; sample < grid.batch; ++sample) {
    std::vector<double> drawn(area);
    for (int64_t n = 0; n < area; ++n) {
      const int64_t at = sample * area + n;
      const double logit =
          network.logit(drawn, grid.height, grid.width, n / grid.width, n % grid.width) + context[at];
      drawn[n] = noise[at] < 1 / (1 + std::exp(-logit));
      CHECK(std::abs(logits[at] - logit) < 1e-4 * (1 + std::abs(logit)), "%s: logit %d is %g instead of %g",
            where, int(at), double(logits[at]), logit);
      CHECK(image[at] == drawn[n], "%s: pixel %d is %g", where, int(at), double(image[at]));
    }
  }
}

int main() {
  // Single pixels, rows and columns; rows shorter than the delay; more pixels in a step than a group has.
  const PixelGrid grids[] = {{1, 1, 1, 0}, {2, 1, 9, 0},  {1, 7, 1, 0},
                             {3, 6, 2, 0}, {2, 9, 13, 0}, {70, 2, 5, 0}};
  for (const PixelGrid& grid : grids) {
    for (const Network& network : {Network(3, 5), Network(1, 40), Network(2, 33)}) {
      for (auto set : {InstructionSet::baseline, InstructionSet::avx2, InstructionSet::avx512}) {
        if (set <= best_instruction_set()) {
          check(name(set), &set, grid, network);
        }
      }
      check("emulated", nullptr, grid, network);
    }
  }
  return exit_status();
}
