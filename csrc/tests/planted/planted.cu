#include "common/divide_up.h"
#include "common/launch.h"
#include "tests/planted/planted.h"

namespace vidpred::planted {
namespace {

constexpr int tile = 8;
constexpr int halo = 1;
constexpr int side = tile + 2 * halo;

__global__ void box_sum_kernel(const float* image, float* sums, int height, int width, bool with_barrier) {
  VP_DYNAMIC_SHARED(float, loaded);
  const int top = blockIdx.y * tile - halo, left = blockIdx.x * tile - halo;
  for (int n = threadIdx.y * tile + threadIdx.x; n < side * side; n += tile * tile) {
    const int y = top + n / side, x = left + n % side;
    const bool inside = y >= 0 && y < height && x >= 0 && x < width;
    loaded[n] = inside ? image[y * width + x] : 0;
  }
  if (with_barrier) {
    __syncthreads();
  }
  const int y = blockIdx.y * tile + threadIdx.y, x = blockIdx.x * tile + threadIdx.x;
  if (y < height && x < width) {
    float sum = 0;
    for (int dy = 0; dy < 3; ++dy) {
      for (int dx = 0; dx < 3; ++dx) {
        sum += loaded[(threadIdx.y + dy) * side + threadIdx.x + dx];
      }
    }
    sums[y * width + x] = sum;
  }
}

__global__ void store_kernel(float* values, int count) {
  const int n = blockIdx.x * blockDim.x + threadIdx.x;
  if (n < count) {
    values[n] = 1;  // planted: store
  }
}

__global__ void overrun_shared_kernel(int bytes) {
  VP_DYNAMIC_SHARED(unsigned char, shared);
  for (int n = threadIdx.x; n < bytes; n += blockDim.x) {
    shared[n] = 1;  // planted: overrun
  }
}

__global__ void meet_kernel(bool divergent) {
  if (!divergent || threadIdx.x % 2 == 0) {
    __syncthreads();
  } else {
    __syncwarp();
  }
}

}  // namespace

const char* box_sum(const float* image, float* sums, int height, int width, bool with_barrier) {
  const dim3 grid(divide_up(width, tile), divide_up(height, tile));
  VP_LAUNCH(box_sum_kernel, grid, dim3(tile, tile), side * side * sizeof(float), nullptr, image, sums, height,
            width, with_barrier);
  return launch_error();
}

const char* store(float* values, int count, int beyond) {
  VP_LAUNCH(store_kernel, dim3(divide_up(count + beyond, 32)), dim3(32), 0, nullptr, values, count + beyond);
  return launch_error();
}

const char* overrun_shared(int bytes, int beyond) {
  VP_LAUNCH(overrun_shared_kernel, dim3(1), dim3(32), bytes, nullptr, bytes + beyond);
  return launch_error();
}

const char* meet(bool divergent) {
  VP_LAUNCH(meet_kernel, dim3(1), dim3(64), 0, nullptr, divergent);
  return launch_error();
}

}  // namespace vidpred::planted
