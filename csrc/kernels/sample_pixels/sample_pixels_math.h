// Where the live taps of a mask are (seed 001, eq. 3.11 and 3.12), which pixels a step draws, and how a value
// is drawn from logits: for the CPU's loop and the CUDA thread.
#pragma once

#include <cmath>

#include "common/vector_math.h"
#include "kernels/sample_pixels/sample_pixels.h"

namespace vidpred {

// The rows above the pixel, whole, and what is left of it; then the pixel itself if the mask lets it through.
VP_HOST_DEVICE int64_t live_taps(int64_t radius, bool sees_itself) {
  return radius * (2 * radius + 1) + radius + sees_itself;
}

struct PixelOffset {
  int64_t y, x;
};

VP_HOST_DEVICE PixelOffset live_tap(int64_t index, int64_t radius) {
  const int64_t side = 2 * radius + 1;
  return {index / side - radius, index % side - radius};
}

struct Pixel {
  int64_t sample, y, x;
};

// The rows with a pixel in this step: where 0 <= step - delay * y < width.
VP_HOST_DEVICE int64_t first_row(const PixelGrid& grid, int64_t step) {
  return step < grid.width ? 0 : (step - grid.width) / grid.delay + 1;
}

VP_HOST_DEVICE int64_t end_row(const PixelGrid& grid, int64_t step) {
  const int64_t reached = step / grid.delay + 1;
  return reached < grid.height ? reached : grid.height;
}

VP_HOST_DEVICE Pixel pixel_in_step(const PixelGrid& grid, int64_t step, int64_t index) {
  const int64_t first = first_row(grid, step), rows = end_row(grid, step) - first;
  const int64_t y = first + index % rows;
  return {index / rows, y, step - grid.delay * y};
}

// Where a cache holds a pixel; the zeros at the start of the caches for one outside the image.
VP_HOST_DEVICE float* in_cache(const PixelCache& cache, const PixelGrid& grid, const Pixel& pixel,
                               float* caches) {
  if (pixel.y < 0 || pixel.x < 0 || pixel.x >= grid.width) {
    return caches;
  }
  const int64_t row = pixel.sample * grid.height + pixel.y;
  const int64_t column = pixel.x & (cache.columns - 1);
  return caches + cache.offset + (row * cache.columns + column) * cache.channels;
}

// 1 with probability sigmoid(logit / temperature).
VP_HOST_DEVICE float draw_bernoulli(float logit, float uniform, float inverse_temperature) {
  if (std::isinf(inverse_temperature)) {
    return logit > 0;
  }
  return uniform < sigmoid(logit * inverse_temperature);
}

// A level of softmax(logits / temperature), as a value in 0 ... 1: the first whose cumulated probability
// exceeds `uniform`.
VP_HOST_DEVICE float draw_level(const float* logits, int64_t levels, float uniform,
                                float inverse_temperature) {
  int64_t likeliest = 0;
  for (int64_t level = 1; level < levels; ++level) {
    likeliest = logits[level] > logits[likeliest] ? level : likeliest;
  }
  int64_t drawn = likeliest;
  if (!std::isinf(inverse_temperature)) {
    float total = 0;
    for (int64_t level = 0; level < levels; ++level) {
      total += std::exp((logits[level] - logits[likeliest]) * inverse_temperature);
    }
    float left = uniform * total;
    for (drawn = 0; drawn < levels - 1; ++drawn) {
      left -= std::exp((logits[drawn] - logits[likeliest]) * inverse_temperature);
      if (left < 0) {
        break;
      }
    }
  }
  return float(drawn) / float(levels - 1);
}

VP_HOST_DEVICE float draw(const float* logits, int64_t levels, float uniform, float inverse_temperature) {
  return levels == 1 ? draw_bernoulli(logits[0], uniform, inverse_temperature)
                     : draw_level(logits, levels, uniform, inverse_temperature);
}

}  // namespace vidpred
