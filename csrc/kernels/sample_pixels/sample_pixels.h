// sample_pixels: draws images from a stack of masked convolutions, a PixelCNN (seed 001, eq. 3.10-3.13),
// and computes every activation of every pixel once.
//
// The stack is given as a program for one pixel. A pixel needs pixels above it up to `radius` columns to its
// right, so the rows of an image can advance together, each `delay` > radius columns behind the one above:
// pixel (y, x) is drawn in step x + delay * y, and an image takes width + delay * (height - 1) steps. What
// convolutions see of other pixels is kept in caches, of each row only the last few columns.
//
// All numbers are float. Buffers do not overlap. No function here allocates or waits.
#pragma once

#include <cstdint>

#include "common/host_device.h"
#include "common/instruction_set.h"

namespace vidpred {

// Convolutions compute so many channels together; their weights are stored for that.
constexpr int64_t pixel_panel = 32;

constexpr int64_t pixel_most_taps = 128;  // of a convolution: enough for 15 x 15

enum class PixelOperation : int64_t {
  load,      // target = context[parameters ...]: `channels` numbers of the pixel
  copy,      // target = source
  relu,      // target = max(source, 0)
  sigmoid,   // target = sigmoid(source)
  tanh,      // target = tanh(source)
  add,       // target = source + other
  multiply,  // target = source * other
  affine,    // target = weights[parameters] * source + weights[parameters + 1]
  store,     // cache = source, for this pixel
  convolve,  // target = what weights[parameters ...] make of source, and of the live taps in its cache
};

// One line of a program. Registers are counted in numbers, from the start of a pixel's registers. The target
// of a convolution must not be what a line since the last convolution has read or written: several blocks of
// a GPU that draw a pixel together wait for each other at convolutions alone.
struct PixelInstruction {
  PixelOperation operation;
  int64_t target, source, other;
  // Of the target; of the source for `store`. The target of a convolution has room for whole panels.
  int64_t channels;
  int64_t in_channels;  // of what is convolved
  int64_t radius;       // of the kernel: 1 for 3 x 3
  int64_t sees_itself;  // whether the pixel's own place in the cache is a live tap, the last one
  int64_t cache;        // of `source`; -1 convolves the pixel itself alone
  // Into `weights`, in numbers. A convolution has its bias (panels, 32) there, then (panels, live taps *
  // in_channels, 32), where the channels of the target fill the panels in order and zeros the rest.
  int64_t parameters;
};

// Keeps `channels` numbers of the last `columns` pixels (a power of two) of every row of every sample:
// (batch, height, columns, channels) from `offset` on in the buffer of caches. Before the first cache the
// buffer holds as many zeros as the widest has channels, for pixels outside the image.
struct PixelCache {
  int64_t channels, columns, offset;
};

struct PixelInstructions {
  const PixelInstruction* lines;
  int64_t count;
};

struct PixelProgram {
  // What depends on the pixel's own value, and so is computed anew when that changes: seen by others only.
  PixelInstructions own;
  // From caches and context to logits.
  PixelInstructions main;
  const PixelCache* caches;
  const float* weights;
  int64_t registers;  // of a pixel; the first `colors` are its value
  int64_t logits;     // the register of (colors, levels)
  int64_t colors;     // drawn one after the other
  int64_t levels;     // values in 0 ... 1 to choose from; 1 for a Bernoulli logit, with the values 0 and 1
};

struct PixelGrid {
  int64_t batch, height, width, delay;
};

struct PixelBuffers {
  const float* context;  // (batch, height, width, context_channels)
  int64_t context_channels;
  const float* noise;         // (batch, colors, height, width), uniform in [0, 1)
  float inverse_temperature;  // of the logits; infinity draws the most likely value
  float* caches;
  float* image;   // (batch, colors, height, width)
  float* logits;  // (batch, colors * levels, height, width)
};

int64_t sample_pixels_steps(const PixelGrid& grid);

// How many pixels are drawn in a step: at most grid.batch * height, in any order and at the same time.
int64_t sample_pixels_in_step(const PixelGrid& grid, int64_t step);

// Draws the pixels [begin, end) of a step. `registers` has (end - begin, program.registers).
void sample_pixels_cpu(InstructionSet set, const PixelProgram& program, const PixelGrid& grid,
                       const PixelBuffers& buffers, int64_t step, float* registers, int64_t begin,
                       int64_t end);

// Launches all steps on `stream`, a cudaStream_t of the current device. The program's pointers are the
// device's. `most_inputs` is the largest number of live taps times in_channels of a convolution. Returns
// null, or CUDA's words for what went wrong.
const char* sample_pixels_cuda(const PixelProgram& program, const PixelGrid& grid,
                               const PixelBuffers& buffers, int64_t most_inputs, void* stream);

}  // namespace vidpred
