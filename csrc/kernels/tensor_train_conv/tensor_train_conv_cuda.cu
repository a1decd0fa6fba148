// The CUDA kernels.
//
// In the chain a block owns a tile of the image and takes it through all links in shared memory: it loads the
// first tensor with a margin as wide as all kernels together reach, and every link leaves a smaller margin.
// Pixels outside the image are zero before every link, as the convolutions' zeros are. A thread computes four
// neighbouring pixels of four channels at a time, so that what it reads is used several times.
#include <algorithm>
#include <initializer_list>

#include "common/divide_up.h"
#include "common/launch.h"
#include "common/vector_access.h"
#include "kernels/tensor_train_conv/tensor_train_conv.h"

namespace vidpred {
namespace {

constexpr int most_threads = 256;  // of a block
constexpr int strip = 4;           // neighbouring pixels, and neighbouring channels, of a thread
constexpr size_t most_shared_bytes = 160 << 10;  // of a block, which GPUs from sm_80 on have

constexpr VP_HOST_DEVICE int round_up(int a, int b) { return (a + b - 1) / b * b; }
constexpr VP_HOST_DEVICE int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }

// A part of an image in shared memory, channel by channel: rows and columns from (y, x) on, with room at the
// end of a row for strips that read beyond it.
struct Region {
  int rows, columns;

  VP_HOST_DEVICE int pitch() const { return round_up(columns + strip - 1, strip); }
  VP_HOST_DEVICE int channel_pitch() const { return rows * pitch(); }
  VP_HOST_DEVICE Region with_margin(int margin) const { return {rows + 2 * margin, columns + 2 * margin}; }
};

// Where a block's tile lies.
struct Tile {
  int64_t image;
  int y, x;
};

__device__ Tile tile_at(const ImageSize& size, const Region& tile, int64_t index) {
  const int64_t across = divide_up(size.width, tile.columns), down = divide_up(size.height, tile.rows);
  return {index / (across * down), int(index / across % down) * tile.rows,
          int(index % across) * tile.columns};
}

int64_t tiles_of(const ImageSize& size, const Region& tile) {
  return size.batch * divide_up(size.height, tile.rows) * divide_up(size.width, tile.columns);
}

__device__ bool is_inside(const ImageSize& size, int y, int x) {
  return y >= 0 && y < size.height && x >= 0 && x < size.width;
}

// Loads the region from (y, x) on, zeros outside the image, a row by each warp at a time.
template <class T, class A>
__device__ void load_region(const ImageSize& size, const Planes<const T>& planes, int channels, int64_t image,
                            int y, int x, const Region& region, int channel_pitch, A* shared) {
  const int lane = threadIdx.x % 32;
  for (int row = threadIdx.x / 32; row < channels * region.rows; row += blockDim.x / 32) {
    const int channel = row / region.rows, down = row % region.rows;
    A* const to = shared + channel * channel_pitch + down * region.pitch();
    for (int column = lane; column < region.columns; column += 32) {
      to[column] = is_inside(size, y + down, x + column)
                       ? widen(*planes.row(image, channel, (y + down) * size.width + x + column))
                       : A(0);
    }
  }
}

// Loads neighbours from an address that is a multiple of 16 bytes.
template <int count, class A>
__device__ void load_neighbours(const A* from, A (&values)[count]) {
  constexpr int width = widest_access / sizeof(A);
  static_assert(count % width == 0);
#pragma unroll
  for (int first = 0; first < count; first += width) {
    A part[width];
    load<width>(from + first, part);
#pragma unroll
    for (int v = 0; v < width; ++v) {
      values[first + v] = part[v];
    }
  }
}

// The pixels that `taps` neighbouring taps of a strip see.
template <int taps, class A>
struct StripPixels {
  static constexpr int count = (strip + taps - 1 + strip - 1) / strip * strip;
  A values[count];

  // With more taps than one the strip begins at a multiple of 16 bytes.
  __device__ explicit StripPixels(const A* from) {
    if constexpr (taps > 1) {
      load_neighbours(from, values);
    } else {
#pragma unroll
      for (int x = 0; x < strip; ++x) {
        values[x] = from[x];
      }
    }
  }
};

struct ChainGeometry {
  Region tile;
  int threads;
  int buffer_sizes[2];  // of shared memory, in elements: what a link takes and what it gives change places
  int weights;          // of the largest core
};

template <class T>
__device__ void load_core(const ChainLink<T>& link, accumulate_t<T>* weights) {
  const LinkTaps& taps = link.taps;
  const int out = int(taps.out_channels), padded = round_up(out, strip), kernel = int(taps.kernel);
  for (int n = threadIdx.x; n < int(taps.in_channels) * kernel * kernel * padded; n += blockDim.x) {
    const int o = n % padded, tap = n / padded;
    const int kx = tap % kernel, ky = tap / kernel % kernel, i = tap / kernel / kernel;
    weights[n] = o < out ? widen(link.core[taps.at(o, i, ky, kx)]) : 0;
  }
}

// Computes a strip of pixels, from (row, column) of the region that the link gives, for `strip` channels.
template <int taps, class T, class A>
__device__ void compute_strip(const ChainLink<T>& link, const A* weights, const A* pixels, const Region& from,
                              int row, int column, int first_channel, A (&sums)[strip][strip]) {
  const int kernel = int(link.taps.kernel), padded = round_up(int(link.taps.out_channels), strip);
  for (int i = 0; i < int(link.taps.in_channels); ++i) {
    for (int ky = 0; ky < kernel; ++ky) {
      const A* const seen = pixels + i * from.channel_pitch() + (row + ky) * from.pitch() + column;
      const A* tap_weights = weights + (i * kernel + ky) * kernel * padded + first_channel;
      for (int kx = 0; kx < kernel; kx += taps) {  // once, where there are `taps` of them
        const StripPixels<taps, A> strip_pixels(seen + kx);
#pragma unroll
        for (int k = 0; k < taps; ++k, tap_weights += padded) {
          A w[strip];
          load_neighbours(tap_weights, w);
#pragma unroll
          for (int o = 0; o < strip; ++o) {
#pragma unroll
            for (int x = 0; x < strip; ++x) {
              sums[o][x] += w[o] * strip_pixels.values[x + k];
            }
          }
        }
      }
    }
  }
}

// `taps` is the size of all kernels, or 1 for any.
template <class T, int taps>
__global__ void __launch_bounds__(most_threads, 1)
    chain_kernel(ImageSize size, ChainGeometry geometry, Chain<T> chain) {
  using A = accumulate_t<T>;
  VP_DYNAMIC_SHARED(A, shared);
  A* from = shared;
  A* to = shared + geometry.buffer_sizes[0];
  A* const weights = to + geometry.buffer_sizes[1];
  const Tile tile = tile_at(size, geometry.tile, blockIdx.x);

  int margin = 0;
  for (int l = 0; l < chain.links; ++l) {
    margin += int(chain.link[l].taps.kernel) / 2;
  }
  Region taken = geometry.tile.with_margin(margin);
  load_region(size, chain.in, int(chain.link[0].taps.in_channels), tile.image, tile.y - margin,
              tile.x - margin, taken, taken.channel_pitch(), from);
  for (int l = 0; l < chain.links; ++l) {
    const ChainLink<T>& link = chain.link[l];
    const int out = int(link.taps.out_channels);
    margin -= int(link.taps.kernel) / 2;
    const Region given = geometry.tile.with_margin(margin);
    load_core(link, weights);
    __syncthreads();

    const int strips = int(divide_up(given.columns, strip)), groups = int(divide_up(out, strip));
    for (int item = threadIdx.x; item < strips * given.rows * groups; item += blockDim.x) {
      const int column = item % strips * strip, row = item / strips % given.rows;
      const int first_channel = item / strips / given.rows * strip;
      const int y = tile.y - margin + row, x = tile.x - margin + column;
      bool inside[strip];
      A sums[strip][strip];
#pragma unroll
      for (int v = 0; v < strip; ++v) {
        inside[v] = column + v < given.columns && is_inside(size, y, x + v);
#pragma unroll
        for (int o = 0; o < strip; ++o) {
          const int channel = first_channel + o;
          sums[o][v] = channel < out && link.bias ? widen(link.bias[channel]) : A(0);
          if (channel < out && link.addend.data && inside[v]) {
            sums[o][v] += widen(*link.addend.row(tile.image, channel, y * size.width + x + v));
          }
        }
      }
      compute_strip<taps>(link, weights, from, taken, row, column, first_channel, sums);
#pragma unroll
      for (int o = 0; o < strip; ++o) {
        const int channel = first_channel + o;
        if (channel >= out) {
          continue;
        }
        A* const kept = to + channel * given.channel_pitch() + row * given.pitch() + column;
#pragma unroll
        for (int v = 0; v < strip; ++v) {
          if (l + 1 < chain.links) {
            kept[v] = inside[v] ? sums[o][v] : A(0);
          }
          const bool own = row >= margin && row < margin + geometry.tile.rows && column + v >= margin &&
                           column + v < margin + geometry.tile.columns;
          if (own && inside[v]) {
            *link.out.row(tile.image, channel, y * size.width + x + v) = narrow<T>(sums[o][v]);
          }
        }
      }
    }
    __syncthreads();
    A* const free = from;
    from = to;
    to = free;
    taken = given;
  }
}

template <class T>
ChainGeometry geometry_for(const Chain<T>& chain, const Region& tile) {
  ChainGeometry geometry{tile, 0, {0, 0}, 0};
  int margin = 0, most_items = 0;
  for (int l = chain.links; l-- > 0;) {
    const LinkTaps& taps = chain.link[l].taps;
    const int in = int(taps.in_channels), out = int(taps.out_channels), kernel = int(taps.kernel);
    const Region given = tile.with_margin(margin);
    most_items = std::max(most_items,
                          given.rows * round_up(given.columns, strip) / strip * round_up(out, strip) / strip);
    margin += kernel / 2;
    int& buffer = geometry.buffer_sizes[l % 2];
    buffer = std::max(buffer, in * tile.with_margin(margin).channel_pitch());
    geometry.weights = std::max(geometry.weights, in * kernel * kernel * round_up(out, strip));
  }
  geometry.threads = std::min(most_threads, round_up(most_items, 32));
  return geometry;
}

template <class A>
size_t shared_bytes(const ChainGeometry& geometry) {
  return (geometry.buffer_sizes[0] + geometry.buffer_sizes[1] + geometry.weights) * sizeof(A);
}

// How many taps the kernels are compiled for at once.
template <class Links>
int taps_at_once(const Links& links) {
  const int64_t kernel = links.link[0].taps.kernel;
  for (int l = 1; l < links.links; ++l) {
    if (links.link[l].taps.kernel != kernel) {
      return 1;
    }
  }
  return kernel == 3 || kernel == 5 ? int(kernel) : 1;
}

// --- The gradients to the cores -------------------------------------------------------------------------
//
// A block goes through tiles of the image. A thread owns `strip` output channels, an input channel and `taps`
// neighbouring taps, and adds up their products over some rows of each tile; other threads have the other
// rows.

constexpr int gradient_tile_size = 16;  // rows and columns
constexpr VP_HOST_DEVICE Region gradient_tile() { return {gradient_tile_size, gradient_tile_size}; }
constexpr int64_t most_gradient_blocks = 512;  // enough for a large GPU, and the partial sums are few

struct GradientGeometry {
  VP_HOST_DEVICE GradientGeometry(const LinkTaps& taps, int taps_of_thread)
      : items(int(divide_up(taps.out_channels, strip) * taps.in_channels * taps.kernel * taps.kernel) /
              taps_of_thread) {
    while (slices < gradient_tile_size && 2 * slices * items <= most_threads) {
      slices *= 2;
    }
  }

  // Of a channel: a multiple of 32 banks and 4, so that threads with different input channels do not meet.
  static VP_HOST_DEVICE int channel_pitch(const Region& region) {
    return round_up(region.channel_pitch(), 32) + strip;
  }

  int items;
  int slices = 1;  // of the rows of a tile
};

int64_t gradient_blocks(const ImageSize& size) {
  return std::min(tiles_of(size, gradient_tile()), most_gradient_blocks);
}

// What a group leaves: the sums of a core, then those of a bias.
VP_HOST_DEVICE int64_t sums_of_group(const LinkTaps& taps) { return taps.count() + taps.out_channels; }

// Loads the gradient to a tile, for each pixel its channels side by side, zeros outside the image.
template <class T, class A>
__device__ void load_gradient(const ImageSize& size, const Planes<const T>& planes, int channels, int padded,
                              const Tile& tile, A* shared) {
  const Region region = gradient_tile();
  for (int n = threadIdx.x; n < padded * region.rows * region.columns; n += blockDim.x) {
    const int pixel = n % (region.rows * region.columns), channel = n / (region.rows * region.columns);
    const int y = tile.y + pixel / region.columns, x = tile.x + pixel % region.columns;
    shared[pixel * padded + channel] = channel < channels && is_inside(size, y, x)
                                           ? widen(*planes.row(tile.image, channel, y * size.width + x))
                                           : A(0);
  }
}

template <class T, int taps>
__global__ void __launch_bounds__(most_threads, 1)
    core_gradient_kernel(ImageSize size, int64_t tiles, CoreGradients<T> gradients) {
  using A = accumulate_t<T>;
  VP_DYNAMIC_SHARED(A, shared);
  const CoreGradientLink<T>& link = gradients.link[blockIdx.y];
  const int in = int(link.taps.in_channels), out = int(link.taps.out_channels),
            kernel = int(link.taps.kernel);
  const int padded = round_up(out, strip);
  const GradientGeometry geometry(link.taps, taps);
  const Region seen = gradient_tile().with_margin(kernel / 2);
  const int channel_pitch = GradientGeometry::channel_pitch(seen);
  A* const pixels = shared;
  A* const grad_out = shared + in * channel_pitch;
  const int rows_of_slice = gradient_tile_size / geometry.slices;

  const int units = geometry.items * geometry.slices;
  for (int first_unit = 0; first_unit < units; first_unit += blockDim.x) {
    const int unit = first_unit + int(threadIdx.x);
    const int slice = unit / geometry.items, item = unit % geometry.items;
    // Neighbouring threads have different input channels.
    const int i = item % in, chunk = item / in % (kernel / taps), ky = item / in / (kernel / taps) % kernel;
    const int first_channel = item / in / (kernel / taps) / kernel * strip;
    const bool has_bias = i == 0 && ky == 0 && chunk == 0;
    A sums[strip][taps] = {}, bias_sums[strip] = {};
    for (int64_t index = blockIdx.x; index < tiles; index += gridDim.x) {
      const Tile tile = tile_at(size, gradient_tile(), index);
      __syncthreads();  // the tile before may still be in use
      load_region(size, link.in, in, tile.image, tile.y - kernel / 2, tile.x - kernel / 2, seen,
                  channel_pitch, pixels);
      load_gradient(size, link.grad_out, out, padded, tile, grad_out);
      __syncthreads();
      if (unit >= units) {
        continue;
      }
      const int end_row = int(smaller((slice + 1) * rows_of_slice, size.height - tile.y));
      const int end_column = int(smaller(gradient_tile_size, size.width - tile.x));
      for (int row = slice * rows_of_slice; row < end_row; ++row) {
        for (int column = 0; column < end_column; column += strip) {
          const StripPixels<taps, A> strip_pixels(pixels + i * channel_pitch + (row + ky) * seen.pitch() +
                                                  column + chunk * taps);
#pragma unroll
          for (int x = 0; x < strip; ++x) {
            if (column + x < end_column) {
              A g[strip];
              load_neighbours(grad_out + (row * gradient_tile_size + column + x) * padded + first_channel, g);
#pragma unroll
              for (int o = 0; o < strip; ++o) {
                bias_sums[o] += g[o];
#pragma unroll
                for (int k = 0; k < taps; ++k) {
                  sums[o][k] += g[o] * strip_pixels.values[x + k];
                }
              }
            }
          }
        }
      }
    }
    if (unit < units) {
      A* const left = link.sums + (int64_t(blockIdx.x) * geometry.slices + slice) * sums_of_group(link.taps);
#pragma unroll
      for (int o = 0; o < strip; ++o) {
        const int channel = first_channel + o;
        if (channel < out) {
#pragma unroll
          for (int k = 0; k < taps; ++k) {
            left[link.taps.at(channel, i, ky, chunk * taps + k)] = sums[o][k];
          }
          if (has_bias) {
            left[link.taps.count() + channel] = bias_sums[o];
          }
        }
      }
    }
  }
}

constexpr dim3 add_up_block(32, 8);

// Adds up the groups: a column of threads owns a sum, and each of its threads some of the groups.
template <class T>
__global__ void __launch_bounds__(add_up_block.x* add_up_block.y)
    add_up_kernel(int64_t blocks, int taps_of_thread, CoreGradients<T> gradients) {
  using A = accumulate_t<T>;
  __shared__ A parts[add_up_block.y][add_up_block.x];
  const CoreGradientLink<T>& link = gradients.link[blockIdx.y];
  const int64_t groups = blocks * GradientGeometry(link.taps, taps_of_thread).slices;
  const int64_t count = sums_of_group(link.taps);
  const int64_t n = int64_t(blockIdx.x) * add_up_block.x + threadIdx.x;
  A sum = 0;
  for (int64_t group = threadIdx.y; group < groups && n < count; group += add_up_block.y) {
    sum += link.sums[group * count + n];
  }
  parts[threadIdx.y][threadIdx.x] = sum;
  __syncthreads();
  if (threadIdx.y == 0 && n < count) {
    A total = 0;
    for (unsigned part = 0; part < add_up_block.y; ++part) {
      total += parts[part][threadIdx.x];
    }
    if (n < link.taps.count()) {
      link.core[n] = narrow<T>(total);
    } else if (link.bias) {
      link.bias[n - link.taps.count()] = narrow<T>(total);
    }
  }
}

}  // namespace

template <class T>
const char* chain_cuda(const ImageSize& size, const Chain<T>& chain, void* stream) {
  using A = accumulate_t<T>;
  if (size.empty()) {
    return nullptr;
  }
  constexpr int64_t many_blocks = 264;  // two for each multiprocessor of a large GPU
  for (const Region& tile : {Region{16, 16}, Region{8, 16}, Region{8, 8}}) {
    const ChainGeometry geometry = geometry_for(chain, tile);
    const size_t bytes = shared_bytes<A>(geometry);
    const bool smallest = tile.columns == 8;
    if (bytes > most_shared_bytes || (!smallest && tiles_of(size, tile) < many_blocks)) {
      continue;
    }
    const int taps = taps_at_once(chain);
    const auto kernel = taps == 5 ? chain_kernel<T, 5> : taps == 3 ? chain_kernel<T, 3> : chain_kernel<T, 1>;
    allow_shared_memory(kernel, bytes);
    VP_LAUNCH(kernel, dim3(unsigned(tiles_of(size, tile))), dim3(unsigned(geometry.threads)), bytes, stream,
              size, geometry, chain);
    return launch_error();
  }
  // What does not fit into shared memory as a whole goes link by link.
  Planes<const T> in = chain.in;
  for (int l = 0; l < chain.links; ++l) {
    const Chain<T> single{in, 1, {chain.link[l]}};
    if (const char* error = chain_cuda(size, single, stream)) {
      return error;
    }
    const Planes<T>& out = chain.link[l].out;
    in = {out.data, out.batch_stride, out.channel_stride, out.pixel_stride};
  }
  return nullptr;
}

int64_t core_gradient_cuda_sums(const ImageSize& size, const LinkTaps& taps) {
  // Kernels of other sizes have fewer slices or as many.
  return gradient_blocks(size) * gradient_tile_size * sums_of_group(taps);
}

template <class T>
const char* core_gradient_cuda(const ImageSize& size, const CoreGradients<T>& gradients, void* stream) {
  using A = accumulate_t<T>;
  const int taps = taps_at_once(gradients);
  const int64_t blocks = size.empty() ? 0 : gradient_blocks(size);
  size_t bytes = 0;
  int64_t most_sums = 0;
  for (int l = 0; l < gradients.links; ++l) {
    const LinkTaps& link_taps = gradients.link[l].taps;
    const Region seen = gradient_tile().with_margin(int(link_taps.kernel) / 2);
    const int64_t elements =
        link_taps.in_channels * GradientGeometry::channel_pitch(seen) +
        round_up(int(link_taps.out_channels), strip) * gradient_tile_size * gradient_tile_size;
    bytes = std::max(bytes, size_t(elements) * sizeof(A));
    most_sums = std::max(most_sums, sums_of_group(link_taps));
  }
  if (blocks) {
    const auto kernel = taps == 5   ? core_gradient_kernel<T, 5>
                        : taps == 3 ? core_gradient_kernel<T, 3>
                                    : core_gradient_kernel<T, 1>;
    allow_shared_memory(kernel, bytes);
    VP_LAUNCH(kernel, dim3(unsigned(blocks), unsigned(gradients.links)), dim3(most_threads), bytes, stream,
              size, tiles_of(size, gradient_tile()), gradients);
    if (const char* error = launch_error()) {
      return error;
    }
  }
  const dim3 grid(unsigned(divide_up(most_sums, add_up_block.x)), unsigned(gradients.links));
  VP_LAUNCH(add_up_kernel<T>, grid, add_up_block, 0, stream, blocks, taps, gradients);
  return launch_error();
}

#define VP_INSTANTIATE(T)                                                    \
  template const char* chain_cuda(const ImageSize&, const Chain<T>&, void*); \
  template const char* core_gradient_cuda(const ImageSize&, const CoreGradients<T>&, void*);
VP_INSTANTIATE(float)
VP_INSTANTIATE(double)
VP_INSTANTIATE(float16)
VP_INSTANTIATE(bfloat16)
#undef VP_INSTANTIATE

}  // namespace vidpred
