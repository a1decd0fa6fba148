// The CPU's loops, compiled once for each instruction set (per_instruction_set.h).
//
// Pixels go through the program in groups, so that a weight that was fetched serves several of them. How
// they are grouped does not change a result: each sum runs over taps and channels in the same order.

constexpr int vector_floats = VP_VECTOR_BYTES / sizeof(float);
constexpr int pixels_at_once = VP_VECTOR_BYTES == 64 ? 8 : 6;
// Of the target's channels; with so many pixels at once their sums fill the registers of the CPU.
constexpr int vectors_at_once = 2;
constexpr int channels_at_once = vectors_at_once * vector_floats;
static_assert(pixel_panel % channels_at_once == 0);

typedef float Vector __attribute__((vector_size(VP_VECTOR_BYTES), aligned(4), may_alias));

// What several pixels see, [tap][pixel].
using Inputs = const float* [pixel_most_taps][pixels_at_once];

// For each of `pixels`: targets = bias + the sum over taps and channels of inputs * weights, where weights
// are (taps, channels, panel) and of a panel `channels_at_once` are computed.
template <int pixels>
void multiply(const Inputs& inputs, int64_t taps, int64_t channels, const float* bias, const float* weights,
              float* const* targets) {
  Vector sums[pixels][vectors_at_once];
#pragma GCC unroll 16
  for (int p = 0; p < pixels; ++p) {
    for (int v = 0; v < vectors_at_once; ++v) {
      sums[p][v] = reinterpret_cast<const Vector*>(bias)[v];
    }
  }
  for (int64_t tap = 0; tap < taps; ++tap) {
    const float* from[pixels];
    for (int p = 0; p < pixels; ++p) {
      from[p] = inputs[tap][p];
    }
    for (int64_t channel = 0; channel < channels; ++channel, weights += pixel_panel) {
      const Vector weight[vectors_at_once] = {reinterpret_cast<const Vector*>(weights)[0],
                                              reinterpret_cast<const Vector*>(weights)[1]};
#pragma GCC unroll 16
      for (int p = 0; p < pixels; ++p) {
        const float input = from[p][channel];
        for (int v = 0; v < vectors_at_once; ++v) {
          sums[p][v] += input * weight[v];
        }
      }
    }
  }
#pragma GCC unroll 16
  for (int p = 0; p < pixels; ++p) {
    for (int v = 0; v < vectors_at_once; ++v) {
      reinterpret_cast<Vector*>(targets[p])[v] = sums[p][v];
    }
  }
}

using Multiply = void (*)(const Inputs&, int64_t, int64_t, const float*, const float*, float* const*);

template <int... less_one>
Multiply multiply_for(int64_t pixels, std::integer_sequence<int, less_one...>) {
  constexpr Multiply versions[] = {multiply<less_one + 1>...};
  return versions[pixels - 1];
}

void convolve(const PixelGroup& group, const PixelInstruction& line) {
  const int64_t taps = line.cache < 0 ? 1 : live_taps(line.radius, line.sees_itself);
  const int64_t panels = divide_up(line.channels, pixel_panel);
  const float* const bias = group.program.weights + line.parameters;
  const float* const weights = bias + panels * pixel_panel;
  for (int64_t first = 0; first < group.count; first += pixels_at_once) {
    const int64_t count = std::min<int64_t>(pixels_at_once, group.count - first);
    Inputs inputs;
    for (int64_t p = 0; p < count; ++p) {
      inputs[0][p] = group.at(first + p, line.source);
      const Pixel pixel = group.pixel(first + p);
      for (int64_t tap = 0; line.cache >= 0 && tap < taps; ++tap) {
        const auto [dy, dx] = live_tap(tap, line.radius);
        inputs[tap][p] = in_cache(group.program.caches[line.cache], group.grid,
                                  {pixel.sample, pixel.y + dy, pixel.x + dx}, group.buffers.caches);
      }
    }
    const Multiply run = multiply_for(count, std::make_integer_sequence<int, pixels_at_once>());
    for (int64_t channel = 0; channel < panels * pixel_panel; channel += channels_at_once) {
      float* targets[pixels_at_once];
      for (int64_t p = 0; p < count; ++p) {
        targets[p] = group.at(first + p, line.target + channel);
      }
      const int64_t panel = channel / pixel_panel * taps * line.in_channels * pixel_panel;
      run(inputs, taps, line.in_channels, bias + channel, weights + panel + channel % pixel_panel, targets);
    }
  }
}

// target = function(source, other), number by number.
template <class Function>
void for_each(const PixelGroup& group, const PixelInstruction& line, Function function) {
  for (int64_t p = 0; p < group.count; ++p) {
    const float* const source = group.at(p, line.source);
    const float* const other = group.at(p, line.other);
    float* const target = group.at(p, line.target);
#pragma omp simd
    for (int64_t n = 0; n < line.channels; ++n) {
      target[n] = function(source[n], other[n]);
    }
  }
}

void load(const PixelGroup& group, const PixelInstruction& line) {
  for (int64_t p = 0; p < group.count; ++p) {
    const auto [sample, y, x] = group.pixel(p);
    const int64_t place = (sample * group.grid.height + y) * group.grid.width + x;
    const float* const source =
        group.buffers.context + place * group.buffers.context_channels + line.parameters;
    std::copy_n(source, line.channels, group.at(p, line.target));
  }
}

void store(const PixelGroup& group, const PixelInstruction& line) {
  const PixelCache& cache = group.program.caches[line.cache];
  for (int64_t p = 0; p < group.count; ++p) {
    std::copy_n(group.at(p, line.source), line.channels,
                in_cache(cache, group.grid, group.pixel(p), group.buffers.caches));
  }
}

void run(const PixelGroup& group, const PixelInstruction& line) {
  switch (line.operation) {
    case PixelOperation::load:
      return load(group, line);
    case PixelOperation::copy:
      return for_each(group, line, [](float a, float) { return a; });
    case PixelOperation::relu:
      return for_each(group, line, [](float a, float) { return a < 0 ? 0 : a; });  // NaN stays NaN
    case PixelOperation::sigmoid:
      return for_each(group, line, [](float a, float) { return sigmoid(a); });
    case PixelOperation::tanh:
      return for_each(group, line, [](float a, float) { return vidpred::tanh(a); });
    case PixelOperation::add:
      return for_each(group, line, [](float a, float b) { return a + b; });
    case PixelOperation::multiply:
      return for_each(group, line, [](float a, float b) { return a * b; });
    case PixelOperation::affine: {
      const float* const numbers = group.program.weights + line.parameters;
      const float scale = numbers[0], shift = numbers[1];
      return for_each(group, line, [=](float a, float) { return scale * a + shift; });
    }
    case PixelOperation::store:
      return store(group, line);
    case PixelOperation::convolve:
      return convolve(group, line);
  }
}

void run(const PixelGroup& group, const PixelInstructions& instructions) {
  for (int64_t n = 0; n < instructions.count; ++n) {
    run(group, instructions.lines[n]);
  }
}

// Draws one colour of every pixel, and writes it and its logits to the results.
void draw_color(const PixelGroup& group, int64_t color) {
  const auto& [program, grid, buffers, step, first, pixels, registers] = group;
  const int64_t levels = program.levels, area = grid.height * grid.width;
  for (int64_t p = 0; p < pixels; ++p) {
    const auto [sample, y, x] = group.pixel(p);
    const int64_t place = y * grid.width + x;
    const int64_t plane = sample * program.colors + color;
    const float* const logits = group.at(p, program.logits + color * levels);
    for (int64_t level = 0; level < levels; ++level) {
      buffers.logits[(plane * levels + level) * area + place] = logits[level];
    }
    const float value =
        draw(logits, levels, buffers.noise[plane * area + place], buffers.inverse_temperature);
    buffers.image[plane * area + place] = value;
    *group.at(p, color) = value;
  }
}

void draw_pixels(const PixelGroup& group) {
  for (int64_t p = 0; p < group.count; ++p) {
    std::fill_n(group.at(p, 0), group.program.colors, 0.0f);
  }
  run(group, group.program.own);
  for (int64_t color = 0; color < group.program.colors; ++color) {
    run(group, group.program.main);
    draw_color(group, color);
    run(group, group.program.own);
  }
}
