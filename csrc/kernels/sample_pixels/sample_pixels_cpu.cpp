#include <algorithm>
#include <utility>

#include "common/divide_up.h"
#include "kernels/sample_pixels/sample_pixels.h"
#include "kernels/sample_pixels/sample_pixels_math.h"

namespace vidpred {
namespace {

// Pixels [first, first + count) of a step, and their registers.
struct PixelGroup {
  const PixelProgram& program;
  const PixelGrid& grid;
  const PixelBuffers& buffers;
  int64_t step, first, count;
  float* registers;  // (count, program.registers)

  Pixel pixel(int64_t p) const { return pixel_in_step(grid, step, first + p); }
  float* at(int64_t p, int64_t position) const { return registers + p * program.registers + position; }
};

}  // namespace
}  // namespace vidpred

#define VP_LOOPS "kernels/sample_pixels/sample_pixels_cpu_loops.h"
#include "common/per_instruction_set.h"

namespace vidpred {

int64_t sample_pixels_steps(const PixelGrid& grid) {
  return grid.height && grid.width ? grid.width + grid.delay * (grid.height - 1) : 0;
}

int64_t sample_pixels_in_step(const PixelGrid& grid, int64_t step) {
  return grid.batch * (end_row(grid, step) - first_row(grid, step));
}

void sample_pixels_cpu(InstructionSet set, const PixelProgram& program, const PixelGrid& grid,
                       const PixelBuffers& buffers, int64_t step, float* registers, int64_t begin,
                       int64_t end) {
  constexpr int64_t most_pixels = 64;  // whose registers fit the second-level cache
  const int64_t groups = divide_up(end - begin, most_pixels);
  for (int64_t group = 0; group < groups; ++group) {
    const int64_t first = begin + (end - begin) * group / groups;
    const int64_t count = begin + (end - begin) * (group + 1) / groups - first;
    VP_VERSION(set, draw_pixels)({program, grid, buffers, step, first, count, registers});
  }
}

}  // namespace vidpred
