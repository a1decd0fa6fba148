// masked_conv2d on CUDA as implicit matrix products: a block computes a tile of pixels by columns (or, for
// the gradient to the weights, of weights by columns), and brings what it multiplies to shared memory piece
// by piece, straight from the images. Masked taps are in none of the pieces.
#include <algorithm>

#include "common/divide_up.h"
#include "common/launch.h"
#include "kernels/masked_conv2d/masked_conv2d.h"

namespace vidpred {
namespace {

constexpr int tile = 64;       // pixels or weights, and columns
constexpr int depth = 16;      // of a piece
constexpr int per_thread = 4;  // along both sides of the tile
constexpr int side = tile / per_thread;
constexpr int threads_per_block = side * side;
constexpr int loads = tile * depth / threads_per_block;  // of a thread for a piece of one factor

// A piece of each factor, [depth][tile].
template <class A>
struct Pieces {
  A left[depth][tile + 1];  // one more, so that writing a column does not hit one memory bank
  A right[depth][tile + 1];
};

// Adds the product of the pieces to the thread's part of the tile.
template <class A>
__device__ void multiply(const Pieces<A>& pieces, A (&sums)[per_thread][per_thread]) {
  const int row = threadIdx.x / side, column = threadIdx.x % side;
  for (int k = 0; k < depth; ++k) {
    A left[per_thread], right[per_thread];
#pragma unroll
    for (int i = 0; i < per_thread; ++i) {
      left[i] = pieces.left[k][row + i * side];
      right[i] = pieces.right[k][column + i * side];
    }
#pragma unroll
    for (int i = 0; i < per_thread; ++i) {
#pragma unroll
      for (int j = 0; j < per_thread; ++j) {
        sums[i][j] += left[i] * right[j];
      }
    }
  }
}

// Element `d` of a run of the pixel numbered `n` among all samples' pixels; zero outside the image.
template <class T>
__device__ accumulate_t<T> element(const MaskedPass& pass, const Run& run, const T* from, int64_t n,
                                   int64_t d) {
  const MaskedConvShape& s = pass.shape;
  const int64_t y = n / s.width % s.height + run.row, row_size = s.width * pass.channels();
  const int64_t place = n % s.width * pass.channels() + run.start + d;
  const bool inside = y >= 0 && y < s.height && place >= 0 && place < row_size;
  return inside ? widen(from[(n / s.width + run.row) * row_size + place]) : accumulate_t<T>(0);
}

// The columns of a block: some of one group.
struct Columns {
  int64_t group, first, count;
};

__device__ Columns columns_of(const MaskedPass& pass, int64_t block) {
  const int64_t tiles = divide_up(pass.group_columns(), tile);
  const int64_t first = block % tiles * tile, left = pass.group_columns() - first;
  return {block / tiles, block / tiles * pass.group_columns() + first, left < tile ? left : tile};
}

template <class T>
__global__ void __launch_bounds__(threads_per_block, 1)
    convolve_kernel(MaskedPass pass, const T* from, const T* weight, const T* bias, T* to) {
  using A = accumulate_t<T>;
  __shared__ Pieces<A> pieces;
  const int64_t pixels = pass.shape.batch * pass.shape.pixels(), first = int64_t(blockIdx.x) * tile;
  const Columns columns = columns_of(pass, blockIdx.y);
  A sums[per_thread][per_thread] = {};
  for (int64_t r = 0; r < pass.runs(); ++r) {
    const Run run = pass.run(columns.group, r);
    for (int64_t start = 0; start < run.depth; start += depth) {
#pragma unroll
      for (int load = 0; load < loads; ++load) {
        const int k = threadIdx.x % depth, i = threadIdx.x / depth + load * (threads_per_block / depth);
        const int64_t d = start + k;
        const bool there = d < run.depth;
        pieces.left[k][i] = there && first + i < pixels ? element(pass, run, from, first + i, d) : A(0);
        pieces.right[k][i] = there && i < columns.count
                                 ? widen(weight[pass.weight(run, d, columns.first + i).offset(pass.shape)])
                                 : A(0);
      }
      __syncthreads();
      multiply(pieces, sums);
      __syncthreads();
    }
  }
#pragma unroll
  for (int i = 0; i < per_thread; ++i) {
    const int64_t pixel = first + threadIdx.x / side + i * side;
#pragma unroll
    for (int j = 0; j < per_thread; ++j) {
      const int64_t column = threadIdx.x % side + j * side;
      if (pixel < pixels && column < columns.count) {
        const A offset = bias ? widen(bias[columns.first + column]) : A(0);
        to[pixel * pass.columns() + columns.first + column] = narrow<T>(sums[i][j] + offset);
      }
    }
  }
}

// Block (x, y, z): weights of a run, columns, and a group of pixels.
template <class T>
__global__ void __launch_bounds__(threads_per_block, 1)
    sum_kernel(MaskedPass pass, const T* x, const T* grad_y, accumulate_t<T>* weight_sums) {
  using A = accumulate_t<T>;
  __shared__ Pieces<A> pieces;
  const MaskedConvShape& s = pass.shape;
  const int64_t pixels = s.batch * s.pixels();
  const int64_t first_pixel = pixels * blockIdx.z / gridDim.z,
                end_pixel = pixels * (blockIdx.z + 1) / gridDim.z;
  const Columns columns = columns_of(pass, blockIdx.y);
  const int64_t tiles = gridDim.x / pass.runs();
  const Run run = pass.run(columns.group, blockIdx.x / tiles);
  const int64_t first = blockIdx.x % tiles * tile;
  A sums[per_thread][per_thread] = {};
  for (int64_t start = first_pixel; start < end_pixel; start += depth) {
#pragma unroll
    for (int load = 0; load < loads; ++load) {
      const int i = threadIdx.x % tile, k = threadIdx.x / tile + load * (threads_per_block / tile);
      const int64_t n = start + k;
      const bool there = n < end_pixel;
      pieces.left[k][i] = there && first + i < run.depth ? element(pass, run, x, n, first + i) : A(0);
      pieces.right[k][i] =
          there && i < columns.count ? widen(grad_y[n * pass.columns() + columns.first + i]) : A(0);
    }
    __syncthreads();
    multiply(pieces, sums);
    __syncthreads();
  }
  A* const group = weight_sums + blockIdx.z * s.c_out * s.c_in * s.size * s.size;
#pragma unroll
  for (int i = 0; i < per_thread; ++i) {
    const int64_t d = first + threadIdx.x / side + i * side;
#pragma unroll
    for (int j = 0; j < per_thread; ++j) {
      const int64_t column = threadIdx.x % side + j * side;
      if (d < run.depth && column < columns.count) {
        group[pass.weight(run, d, columns.first + column).offset(s)] = sums[i][j];
      }
    }
  }
}

unsigned column_tiles(const MaskedPass& pass) {
  return unsigned(pass.shape.colors * divide_up(pass.group_columns(), tile));
}

}  // namespace

int64_t masked_conv2d_cuda_groups(const MaskedConvShape& shape) {
  constexpr int64_t pixels_per_group = 4096;
  return std::clamp<int64_t>(shape.batch * shape.pixels() / pixels_per_group, 1, 64);
}

template <class T>
const char* masked_conv2d_cuda(const MaskedPass& pass, const T* from, const T* weight, const T* bias, T* to,
                               void* stream) {
  const int64_t pixels = pass.shape.batch * pass.shape.pixels();
  if (pixels == 0 || pass.columns() == 0) {
    return nullptr;
  }
  const dim3 grid(unsigned(divide_up(pixels, tile)), column_tiles(pass));
  VP_LAUNCH(convolve_kernel<T>, grid, dim3(threads_per_block), 0, stream, pass, from, weight, bias, to);
  return launch_error();
}

template <class T>
const char* masked_conv2d_sums_cuda(const MaskedPass& pass, const T* x, const T* grad_y,
                                    accumulate_t<T>* weight_sums, void* stream) {
  const int64_t full = pass.shape.size * pass.channels();
  if (pass.columns() == 0 || full == 0) {
    return nullptr;
  }
  const dim3 grid(unsigned(pass.runs() * divide_up(full, tile)), column_tiles(pass),
                  unsigned(masked_conv2d_cuda_groups(pass.shape)));
  VP_LAUNCH(sum_kernel<T>, grid, dim3(threads_per_block), 0, stream, pass, x, grad_y, weight_sums);
  return launch_error();
}

#define VP_INSTANTIATE(T)                                                                               \
  template const char* masked_conv2d_cuda(const MaskedPass&, const T*, const T*, const T*, T*, void*);  \
  template const char* masked_conv2d_sums_cuda(const MaskedPass&, const T*, const T*, accumulate_t<T>*, \
                                               void*);
VP_INSTANTIATE(float)
VP_INSTANTIATE(double)
VP_INSTANTIATE(float16)
VP_INSTANTIATE(bfloat16)
#undef VP_INSTANTIATE

}  // namespace vidpred
