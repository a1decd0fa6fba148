// Kernels with bugs that the emulator must catch, each right when told so.
#pragma once

#include <cstdint>

namespace vidpred::planted {

// The sum of the 3x3 neighbours of every pixel of an image (height, width), zero beyond its edges, by tiles
// in shared memory. Without its barrier threads read what their neighbours have not loaded.
const char* box_sum(const float* image, float* sums, int height, int width, bool with_barrier);

// Adds one to `count` values; with `beyond` > 0 to so many more, which are not there.
const char* store(float* values, int count, int beyond);

// Writes `beyond` bytes more than the `bytes` of dynamic shared memory that the kernel is launched with.
const char* overrun_shared(int bytes, int beyond);

// A block of which, if `divergent`, only half comes to the barrier.
const char* meet(bool divergent);

}  // namespace vidpred::planted
