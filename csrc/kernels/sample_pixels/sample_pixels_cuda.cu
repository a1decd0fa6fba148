// The CUDA kernel of one step. A block draws a pixel: its registers are in shared memory, every warp sums the
// products of some inputs for a panel of channels, a lane each, so that weights are read in whole lines, and
// the parts of a sum are added up in a fixed order. What a pixel waits for is the weights' way from the
// second-level cache, in which they stay for all pixels of all steps.
#include <algorithm>

#include "common/divide_up.h"
#include "common/launch.h"
#include "kernels/sample_pixels/sample_pixels.h"
#include "kernels/sample_pixels/sample_pixels_math.h"

namespace vidpred {
namespace {

constexpr int threads_per_block = 512;
constexpr int lanes = 32;
constexpr int warps_per_block = threads_per_block / lanes;
static_assert(pixel_panel == lanes);

// A pixel and what its block has in shared memory.
struct Drawing {
  const PixelProgram& program;
  const PixelGrid& grid;
  const PixelBuffers& buffers;
  Pixel pixel;
  float* registers;  // (program.registers)
  float* inputs;     // (most_inputs) of a convolution
  float* parts;      // (threads_per_block) of sums
};

// Calls function(n) for n < count, on all threads, and waits for them.
template <class Function>
__device__ void for_each(int64_t count, Function function) {
  for (int64_t n = threadIdx.x; n < count; n += threads_per_block) {
    function(n);
  }
  __syncthreads();
}

__device__ void convolve(const Drawing& d, const PixelInstruction& line) {
  const int64_t taps = line.cache < 0 ? 1 : live_taps(line.radius, line.sees_itself);
  const int64_t count = taps * line.in_channels;
  const float* inputs = d.registers + line.source;
  if (line.cache >= 0) {
    const PixelCache cache = d.program.caches[line.cache];
    for_each(count, [&](int64_t n) {
      const auto [dy, dx] = live_tap(n / line.in_channels, line.radius);
      const Pixel seen{d.pixel.sample, d.pixel.y + dy, d.pixel.x + dx};
      d.inputs[n] = in_cache(cache, d.grid, seen, d.buffers.caches)[n % line.in_channels];
    });
    inputs = d.inputs;
  }

  const int64_t panels = divide_up(line.channels, lanes);
  const float* const bias = d.program.weights + line.parameters;
  const float* const weights = bias + panels * lanes;
  const int warp = threadIdx.x / lanes, lane = threadIdx.x % lanes;
  // As many warps as there are share a panel, each with a part of the inputs.
  const int64_t sharing = panels < warps_per_block ? warps_per_block / panels : 1;
  for (int64_t panel = warp / sharing; panel < panels; panel += warps_per_block / sharing) {
    const int64_t part = warp % sharing;
    const int64_t first = count * part / sharing, end = count * (part + 1) / sharing;
    const float* const column = weights + panel * count * lanes + lane;
    float sum = 0;
#pragma unroll 16
    for (int64_t n = first; n < end; ++n) {
      sum += inputs[n] * column[n * lanes];
    }
    if (sharing == 1) {
      d.registers[line.target + panel * lanes + lane] = bias[panel * lanes + lane] + sum;
    } else {
      d.parts[threadIdx.x] = sum;
    }
  }
  __syncthreads();
  if (sharing > 1) {
    for_each(panels * lanes, [&](int64_t channel) {
      float sum = bias[channel];
      for (int64_t part = 0; part < sharing; ++part) {
        sum += d.parts[(channel / lanes * sharing + part) * lanes + channel % lanes];
      }
      d.registers[line.target + channel] = sum;
    });
  }
}

__device__ void run(const Drawing& d, const PixelInstruction& line) {
  float* const target = d.registers + line.target;
  const float* const a = d.registers + line.source;
  const float* const b = d.registers + line.other;
  const float* const parameters = d.program.weights + line.parameters;
  switch (line.operation) {
    case PixelOperation::load: {
      const int64_t place = (d.pixel.sample * d.grid.height + d.pixel.y) * d.grid.width + d.pixel.x;
      const float* const context = d.buffers.context + place * d.buffers.context_channels + line.parameters;
      return for_each(line.channels, [=](int64_t n) { target[n] = context[n]; });
    }
    case PixelOperation::copy:
      return for_each(line.channels, [=](int64_t n) { target[n] = a[n]; });
    case PixelOperation::relu:
      return for_each(line.channels, [=](int64_t n) { target[n] = a[n] < 0 ? 0 : a[n]; });
    case PixelOperation::sigmoid:
      return for_each(line.channels, [=](int64_t n) { target[n] = sigmoid(a[n]); });
    case PixelOperation::tanh:
      return for_each(line.channels, [=](int64_t n) { target[n] = vidpred::tanh(a[n]); });
    case PixelOperation::add:
      return for_each(line.channels, [=](int64_t n) { target[n] = a[n] + b[n]; });
    case PixelOperation::multiply:
      return for_each(line.channels, [=](int64_t n) { target[n] = a[n] * b[n]; });
    case PixelOperation::affine:
      return for_each(line.channels, [=](int64_t n) { target[n] = parameters[0] * a[n] + parameters[1]; });
    case PixelOperation::store: {
      float* const cached = in_cache(d.program.caches[line.cache], d.grid, d.pixel, d.buffers.caches);
      return for_each(line.channels, [=](int64_t n) { cached[n] = a[n]; });
    }
    case PixelOperation::convolve:
      return convolve(d, line);
  }
}

__device__ void run(const Drawing& d, const PixelInstructions& instructions) {
  for (int64_t n = 0; n < instructions.count; ++n) {
    run(d, instructions.lines[n]);
  }
}

// Draws one colour, and writes it and its logits to the results.
__device__ void draw_color(const Drawing& d, int64_t color) {
  const int64_t levels = d.program.levels, area = d.grid.height * d.grid.width;
  const int64_t place = d.pixel.y * d.grid.width + d.pixel.x;
  const int64_t plane = d.pixel.sample * d.program.colors + color;
  const float* const logits = d.registers + d.program.logits + color * levels;
  for_each(levels, [&](int64_t n) { d.buffers.logits[(plane * levels + n) * area + place] = logits[n]; });
  for_each(1, [&](int64_t) {
    const float uniform = d.buffers.noise[plane * area + place];
    const float value = draw(logits, levels, uniform, d.buffers.inverse_temperature);
    d.buffers.image[plane * area + place] = value;
    d.registers[color] = value;
  });
}

__global__ void __launch_bounds__(threads_per_block, 1)
    draw_pixels_kernel(PixelProgram program, PixelGrid grid, PixelBuffers buffers, int64_t step,
                       int64_t most_inputs) {
  VP_DYNAMIC_SHARED(float, shared);
  const Drawing d{program,
                  grid,
                  buffers,
                  pixel_in_step(grid, step, blockIdx.x),
                  shared,
                  shared + program.registers,
                  shared + program.registers + most_inputs};
  for_each(program.colors, [&](int64_t color) { d.registers[color] = 0; });
  run(d, program.own);
  for (int64_t color = 0; color < program.colors; ++color) {
    run(d, program.main);
    draw_color(d, color);
    run(d, program.own);
  }
}

}  // namespace

const char* sample_pixels_cuda(const PixelProgram& program, const PixelGrid& grid,
                               const PixelBuffers& buffers, int64_t most_inputs, void* stream) {
  const int64_t shared_bytes = (program.registers + most_inputs + threads_per_block) * int64_t(sizeof(float));
  if (const char* error = allow_shared_memory(draw_pixels_kernel, shared_bytes)) {
    return error;
  }
  for (int64_t step = 0; step < sample_pixels_steps(grid); ++step) {
    const unsigned pixels = unsigned(sample_pixels_in_step(grid, step));
    if (pixels) {
      VP_LAUNCH(draw_pixels_kernel, pixels, threads_per_block, size_t(shared_bytes), stream, program, grid,
                buffers, step, most_inputs);
    }
    if (const char* error = launch_error()) {
      return error;
    }
  }
  return nullptr;
}

}  // namespace vidpred
