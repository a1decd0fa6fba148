// The CUDA kernel of one step. A team of blocks, a cluster, draws a pixel. Each has all registers of the
// pixel in its shared memory; the panels of a convolution are shared out, and what comes out is written to
// all. Within a block every warp sums the products of some inputs for a panel of channels, a lane each, so
// that weights are read in whole lines, and the parts of a sum are added up in a fixed order. What a pixel
// waits for is the weights' way from the second-level cache, where they stay for all pixels of all steps:
// that is why several multiprocessors take their share of it.
#include <algorithm>

#include "common/cluster.h"
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
  unsigned team, rank;  // how many blocks draw the pixel, and which of them this is
  float* registers;     // (program.registers)
  float* inputs;        // (most_inputs) of a convolution
  float* parts;         // (threads_per_block) of sums
};

// Calls function(n) for n < count, on all threads, and waits for them.
template <class Function>
__device__ void for_each(int64_t count, Function function) {
  for (int64_t n = threadIdx.x; n < count; n += threads_per_block) {
    function(n);
  }
  __syncthreads();
}

// Writes a number of this pixel to the registers of the whole team.
__device__ void tell_team(const Drawing& d, int64_t place, float value) {
  for (unsigned rank = 0; rank < d.team; ++rank) {
    in_block(rank, d.registers)[place] = value;
  }
}

__device__ void convolve(const Drawing& d, const PixelInstruction& line) {
  const int64_t taps = line.cache < 0 ? 1 : live_taps(line.radius, line.sees_itself);
  const int64_t count = taps * line.in_channels;
  const float* inputs = d.registers + line.source;
  if (line.cache >= 0) {
    const PixelCache cache = d.program.caches[line.cache];
    for_each(count, [&](int64_t n) {
      const auto [dy, dx] = live_tap(n / line.in_channels, line.radius);
      const int64_t channel = n % line.in_channels;
      const Pixel seen{d.pixel.sample, d.pixel.y + dy, d.pixel.x + dx};
      const bool itself = dy == 0 && dx == 0;
      d.inputs[n] = itself ? d.registers[line.source + channel]
                           : in_cache(cache, d.grid, seen, d.buffers.caches)[channel];
    });
    inputs = d.inputs;
  }

  // Of the panels this block has `rank`, rank + team, and so on. As many warps as there are share one, each
  // with a part of the inputs.
  const int64_t panels = divide_up(line.channels, lanes), mine = divide_up(panels - d.rank, d.team);
  const float* const bias = d.program.weights + line.parameters;
  const float* const weights = bias + panels * lanes;
  const int warp = threadIdx.x / lanes, lane = threadIdx.x % lanes;
  const int64_t sharing = mine < warps_per_block ? warps_per_block / (mine > 0 ? mine : 1) : 1;
  for (int64_t n = warp / sharing; n < mine; n += warps_per_block / sharing) {
    const int64_t panel = d.rank + n * d.team, part = warp % sharing;
    const int64_t first = count * part / sharing, end = count * (part + 1) / sharing;
    const float* const column = weights + panel * count * lanes + lane;
    float sum = 0;
#pragma unroll 16
    for (int64_t input = first; input < end; ++input) {
      sum += inputs[input] * column[input * lanes];
    }
    if (sharing == 1) {
      tell_team(d, line.target + panel * lanes + lane, bias[panel * lanes + lane] + sum);
    } else {
      d.parts[threadIdx.x] = sum;
    }
  }
  if (sharing > 1) {
    __syncthreads();
    for (int64_t n = threadIdx.x; n < mine * lanes; n += threads_per_block) {
      const int64_t channel = (d.rank + n / lanes * d.team) * lanes + n % lanes;
      float sum = bias[channel];
      for (int64_t part = 0; part < sharing; ++part) {
        sum += d.parts[(n / lanes * sharing + part) * lanes + n % lanes];
      }
      tell_team(d, line.target + channel, sum);
    }
  }
  wait_for_cluster();
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
      return for_each(d.rank == 0 ? line.channels : 0, [=](int64_t n) { cached[n] = a[n]; });
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

// Draws one colour, each block of the team alike; the first writes it and its logits to the results.
__device__ void draw_color(const Drawing& d, int64_t color) {
  const int64_t levels = d.program.levels, area = d.grid.height * d.grid.width;
  const int64_t place = d.pixel.y * d.grid.width + d.pixel.x;
  const int64_t plane = d.pixel.sample * d.program.colors + color;
  const float* const logits = d.registers + d.program.logits + color * levels;
  for_each(d.rank == 0 ? levels : 0,
           [&](int64_t n) { d.buffers.logits[(plane * levels + n) * area + place] = logits[n]; });
  for_each(1, [&](int64_t) {
    const float uniform = d.buffers.noise[plane * area + place];
    const float value = draw(logits, levels, uniform, d.buffers.inverse_temperature);
    d.registers[color] = value;
    if (d.rank == 0) {
      d.buffers.image[plane * area + place] = value;
    }
  });
}

__global__ void __launch_bounds__(threads_per_block, 1)
    draw_pixels_kernel(PixelProgram program, PixelGrid grid, PixelBuffers buffers, int64_t step,
                       int64_t most_inputs) {
  VP_DYNAMIC_SHARED(float, shared);
  const Drawing d{program,
                  grid,
                  buffers,
                  pixel_in_step(grid, step, blockIdx.x / cluster_size()),
                  cluster_size(),
                  cluster_rank(),
                  shared,
                  shared + program.registers,
                  shared + program.registers + most_inputs};
  for_each(program.colors, [&](int64_t color) { d.registers[color] = 0; });
  run(d, program.own);
  wait_for_cluster();
  for (int64_t color = 0; color < program.colors; ++color) {
    run(d, program.main);
    draw_color(d, color);
    run(d, program.own);
    wait_for_cluster();  // before others write what comes of it
  }
}

}  // namespace

const char* sample_pixels_cuda(const PixelProgram& program, const PixelGrid& grid,
                               const PixelBuffers& buffers, int64_t most_inputs, void* stream) {
  const int64_t shared_bytes = (program.registers + most_inputs + threads_per_block) * int64_t(sizeof(float));
  allow_shared_memory(draw_pixels_kernel, size_t(shared_bytes));
  const unsigned team = cluster_size_for(grid.batch * divide_up(grid.width, grid.delay));
  for (int64_t step = 0; step < sample_pixels_steps(grid); ++step) {
    const unsigned pixels = unsigned(sample_pixels_in_step(grid, step));
    if (pixels) {
      launch_clusters(team, draw_pixels_kernel, pixels * team, threads_per_block, size_t(shared_bytes),
                      stream, program, grid, buffers, step, most_inputs);
    }
    if (const char* error = launch_error()) {
      return error;
    }
  }
  return nullptr;
}

}  // namespace vidpred
