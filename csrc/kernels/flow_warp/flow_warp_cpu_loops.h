// The CPU's loops, compiled once for each instruction set (per_instruction_set.h).
//
// Where the channels of a pixel lie side by side, its four neighbours are four vectors, and its place and
// weights, which all channels share, serve them all at once. Channels-last tensors are like that; of
// contiguous ones a block of channels is laid out so, warped, and put back.

constexpr int64_t tile_pixels = 128;

// The corners of neighbouring pixels of a row, each kind of number together.
template <class A>
struct CornersTile {
  int32_t left[tile_pixels], above[tile_pixels];
  A right[tile_pixels], below[tile_pixels];  // fractions
  A along_x[tile_pixels], along_y[tile_pixels];
  int32_t pixel[4][tile_pixels];
  A weight[4][tile_pixels];
};

// Where coordinates start, start + step, start + 2 * step, ... fall when moved along the flow.
template <FlowPadding padding, class T, class A>
void find_between(const T* flow, int32_t start, int32_t step, int32_t size, int32_t count, int32_t* first,
                  A* fraction, A* slope) {
#pragma omp simd
  for (int32_t j = 0; j < count; ++j) {
    const Between<A> place = between<padding>(A(start + j * step) + widen(flow[j]), size);
    first[j] = place.first;
    fraction[j] = place.fraction;
    slope[j] = place.slope;
  }
}

// In three loops, each simple enough for the compiler to vectorise.
template <FlowPadding padding, class T, class A>
void find_corners(const FlowWarpShape& shape, const T* flow, int64_t y, int64_t start, int64_t length,
                  CornersTile<A>& tile) {
  const T* const flow_x = flow + y * shape.width + start;
  const int32_t width = int32_t(shape.width), height = int32_t(shape.height), count = int32_t(length);
  find_between<padding>(flow_x, int32_t(start), 1, width, count, tile.left, tile.right, tile.along_x);
  find_between<padding>(flow_x + shape.pixels(), int32_t(y), 0, height, count, tile.above, tile.below,
                        tile.along_y);
#pragma omp simd
  for (int32_t j = 0; j < count; ++j) {
    const Corners<A> corners = corners_between<A>({tile.left[j], tile.right[j], 1},
                                                  {tile.above[j], tile.below[j], 1}, width, height);
    for (int k = 0; k < 4; ++k) {
      tile.pixel[k][j] = corners.pixel[k];
      tile.weight[k][j] = corners.weight[k];
    }
  }
}

// Calls visit(y, first, count) for the pieces of all rows that a tile can hold.
template <class Visit>
void for_each_tile(const FlowWarpShape& shape, Visit visit) {
  for (int64_t y = 0; y < shape.height; ++y) {
    for (int64_t first = 0; first < shape.width; first += tile_pixels) {
      visit(y, first, std::min(tile_pixels, shape.width - first));
    }
  }
}

typedef float Four __attribute__((vector_size(16), aligned(4), may_alias));

// Writes the columns of a 4 x 4 matrix as rows; rows are so far apart in memory.
VP_HOST_DEVICE void transpose(const float* from, int64_t from_stride, float* to, int64_t to_stride) {
  Four m[4];
  for (int k = 0; k < 4; ++k) {
    m[k] = *reinterpret_cast<const Four*>(from + k * from_stride);
  }
  const Four ab_low = __builtin_shufflevector(m[0], m[1], 0, 4, 1, 5);
  const Four ab_high = __builtin_shufflevector(m[0], m[1], 2, 6, 3, 7);
  const Four cd_low = __builtin_shufflevector(m[2], m[3], 0, 4, 1, 5);
  const Four cd_high = __builtin_shufflevector(m[2], m[3], 2, 6, 3, 7);
  const Four columns[4] = {__builtin_shufflevector(ab_low, cd_low, 0, 1, 4, 5),
                           __builtin_shufflevector(ab_low, cd_low, 2, 3, 6, 7),
                           __builtin_shufflevector(ab_high, cd_high, 0, 1, 4, 5),
                           __builtin_shufflevector(ab_high, cd_high, 2, 3, 6, 7)};
  for (int k = 0; k < 4; ++k) {
    *reinterpret_cast<Four*>(to + k * to_stride) = columns[k];
  }
}

// Lays out pixels of up to `block_channels` channels as (count, block_channels), with zeros for the rest.
// `from` is the first channel of the first pixel, and channels are `stride` apart.
template <class T, class A>
void pack(const T* from, int64_t stride, int64_t count, int64_t channels, A* block) {
  int64_t done = 0;
  if constexpr (std::is_same_v<T, float>) {
    done = channels == block_channels ? count / 4 * 4 : 0;
    for (int64_t c = 0; c < block_channels; c += 4) {
      for (int64_t p = 0; p < done; p += 4) {
        transpose(from + c * stride + p, stride, block + p * block_channels + c, block_channels);
      }
    }
  }
  for (int64_t p = done; p < count; ++p) {
    for (int64_t c = 0; c < block_channels; ++c) {
      block[p * block_channels + c] = c < channels ? widen(from[c * stride + p]) : A(0);
    }
  }
}

// The reverse.
template <class T, class A>
void unpack(const A* block, int64_t stride, int64_t count, int64_t channels, T* to) {
  int64_t done = 0;
  if constexpr (std::is_same_v<T, float>) {
    done = channels == block_channels ? count / 4 * 4 : 0;
    for (int64_t c = 0; c < block_channels; c += 4) {
      for (int64_t p = 0; p < done; p += 4) {
        transpose(block + p * block_channels + c, block_channels, to + c * stride + p, stride);
      }
    }
  }
  for (int64_t p = done; p < count; ++p) {
    for (int64_t c = 0; c < channels; ++c) {
      to[c * stride + p] = narrow<T>(block[p * block_channels + c]);
    }
  }
}

// The corners of pixel `j` of a tile, each the first of its channels; `outside` for those that are outside.
template <class V, class A>
VP_HOST_DEVICE void find_values(const CornersTile<A>& tile, int64_t j, V* pixels, int64_t stride, V* outside,
                                V* (&corner)[4]) {
  for (int k = 0; k < 4; ++k) {
    const int64_t pixel = tile.pixel[k][j];
    corner[k] = pixel < 0 ? outside : pixels + pixel * stride;
  }
}

// Warps pixel `j` of a tile: results[n] for each channel, from corners `stride` apart.
template <class V, class A, class R>
VP_HOST_DEVICE void warp_pixel(const CornersTile<A>& tile, int64_t j, const V* pixels, int64_t stride,
                               const V* outside, int64_t channels, R* results) {
  const V* corner[4];
  find_values(tile, j, pixels, stride, outside, corner);
  const A weight[4] = {tile.weight[0][j], tile.weight[1][j], tile.weight[2][j], tile.weight[3][j]};
#pragma omp simd
  for (int64_t n = 0; n < channels; ++n) {
    const A value[4] = {widen(corner[0][n]), widen(corner[1][n]), widen(corner[2][n]), widen(corner[3][n])};
    results[n] = narrow<R>(interpolate(weight, value));
  }
}

// Adds the gradients of pixel `j` of a tile to those of its flow and of its corners.
template <class V, class A, class G>
VP_HOST_DEVICE void unwarp_pixel(const CornersTile<A>& tile, int64_t j, const V* pixels, int64_t stride,
                                 const V* outside, int64_t channels, const G* grad, A* grad_pixels,
                                 A* grad_outside, A& grad_x, A& grad_y) {
  const V* corner[4];
  A* grad_corner[4];
  find_values(tile, j, pixels, stride, outside, corner);
  find_values(tile, j, grad_pixels, stride, grad_outside, grad_corner);
  const A right = tile.right[j], below = tile.below[j];
  A along_x = 0, along_y = 0;
#pragma omp simd reduction(+ : along_x, along_y)
  for (int64_t n = 0; n < channels; ++n) {
    const A value[4] = {widen(corner[0][n]), widen(corner[1][n]), widen(corner[2][n]), widen(corner[3][n])};
    along_x += widen(grad[n]) * slope_along_x(below, value);
    along_y += widen(grad[n]) * slope_along_y(right, value);
  }
  grad_x += along_x * tile.along_x[j];
  grad_y += along_y * tile.along_y[j];
  for (int k = 0; k < 4; ++k) {
    const A weight = tile.weight[k][j];
#pragma omp simd
    for (int64_t n = 0; n < channels; ++n) {
      grad_corner[k][n] += weight * widen(grad[n]);
    }
  }
}

template <class T, FlowPadding padding>
void forward_contiguous(const FlowWarpShape& shape, const T* features, const T* flow, T* warped,
                        accumulate_t<T>* scratch, const FlowWarpTask& task) {
  using A = accumulate_t<T>;
  const int64_t pixels = shape.pixels();
  const A zeros[block_channels] = {};
  CornersTile<A> tile;
  alignas(64) A results[tile_pixels * block_channels];
  for (int64_t c = task.first_channel; c < task.end_channel; c += block_channels) {
    const int64_t channels = std::min(block_channels, task.end_channel - c);
    const int64_t offset = (task.sample * shape.channels + c) * pixels;
    pack(features + offset, pixels, pixels, channels, scratch);
    for_each_tile(shape, [&](int64_t y, int64_t first, int64_t count) {
      find_corners<padding>(shape, flow + task.sample * 2 * pixels, y, first, count, tile);
      for (int64_t j = 0; j < count; ++j) {
        warp_pixel(tile, j, scratch, block_channels, zeros, block_channels, results + j * block_channels);
      }
      unpack(results, pixels, count, channels, warped + offset + y * shape.width + first);
    });
  }
}

template <class T, FlowPadding padding>
void backward_contiguous(const FlowWarpShape& shape, const T* features, const T* flow, const T* grad_warped,
                         const FlowWarpGradients<T>& wanted, accumulate_t<T>* scratch,
                         const FlowWarpTask& task) {
  using A = accumulate_t<T>;
  const int64_t pixels = shape.pixels();
  A* const grad_block = scratch + pixels * block_channels;
  A* const grad_flow = wanted.flow + (task.group * shape.batch + task.sample) * 2 * pixels;
  std::fill_n(grad_flow, 2 * pixels, A(0));
  const A zeros[block_channels] = {};
  A unused[block_channels] = {};
  CornersTile<A> tile;
  alignas(64) A given[tile_pixels * block_channels];
  for (int64_t c = task.first_channel; c < task.end_channel; c += block_channels) {
    const int64_t channels = std::min(block_channels, task.end_channel - c);
    const int64_t offset = (task.sample * shape.channels + c) * pixels;
    pack(features + offset, pixels, pixels, channels, scratch);
    std::fill_n(grad_block, pixels * block_channels, A(0));
    for_each_tile(shape, [&](int64_t y, int64_t first, int64_t count) {
      const int64_t start = y * shape.width + first;
      find_corners<padding>(shape, flow + task.sample * 2 * pixels, y, first, count, tile);
      pack(grad_warped + offset + start, pixels, count, channels, given);
      for (int64_t j = 0; j < count; ++j) {
        unwarp_pixel(tile, j, scratch, block_channels, zeros, block_channels, given + j * block_channels,
                     grad_block, unused, grad_flow[start + j], grad_flow[pixels + start + j]);
      }
    });
    unpack(grad_block, pixels, pixels, channels, wanted.features + offset);
  }
}

template <class T, FlowPadding padding>
void forward_channels_last(const FlowWarpShape& shape, const T* features, const T* flow, T* warped,
                           accumulate_t<T>* scratch, const FlowWarpTask& task) {
  using A = accumulate_t<T>;
  const int64_t pixels = shape.pixels(), channels = task.end_channel - task.first_channel;
  const int64_t offset = task.sample * pixels * shape.channels + task.first_channel;
  T* const zeros = reinterpret_cast<T*>(scratch);
  std::fill_n(zeros, channels, narrow<T>(0));
  CornersTile<A> tile;
  for_each_tile(shape, [&](int64_t y, int64_t first, int64_t count) {
    find_corners<padding>(shape, flow + task.sample * 2 * pixels, y, first, count, tile);
    T* const results = warped + offset + (y * shape.width + first) * shape.channels;
    for (int64_t j = 0; j < count; ++j) {
      warp_pixel(tile, j, features + offset, shape.channels, zeros, channels, results + j * shape.channels);
    }
  });
}

template <class T, FlowPadding padding>
void backward_channels_last(const FlowWarpShape& shape, const T* features, const T* flow,
                            const T* grad_warped, const FlowWarpGradients<T>& wanted,
                            accumulate_t<T>* scratch, const FlowWarpTask& task) {
  using A = accumulate_t<T>;
  const int64_t pixels = shape.pixels(), channels = task.end_channel - task.first_channel;
  const int64_t offset = task.sample * pixels * shape.channels + task.first_channel;
  T* const zeros = reinterpret_cast<T*>(scratch);
  std::fill_n(zeros, channels, narrow<T>(0));
  A* const unused = scratch + shape.channels;
  std::fill_n(unused, channels, A(0));
  // Gradients are added up in A: in the result itself, or beside it for half types.
  A* grad_features = nullptr;
  if constexpr (std::is_same_v<T, A>) {
    grad_features = wanted.features + offset;
  } else {
    grad_features = scratch + 2 * shape.channels + task.first_channel;
  }
  for (int64_t p = 0; p < pixels; ++p) {
    std::fill_n(grad_features + p * shape.channels, channels, A(0));
  }
  A* const grad_flow = wanted.flow + (task.group * shape.batch + task.sample) * 2 * pixels;
  std::fill_n(grad_flow, 2 * pixels, A(0));
  CornersTile<A> tile;
  for_each_tile(shape, [&](int64_t y, int64_t first, int64_t count) {
    const int64_t start = y * shape.width + first;
    find_corners<padding>(shape, flow + task.sample * 2 * pixels, y, first, count, tile);
    for (int64_t j = 0; j < count; ++j) {
      unwarp_pixel(tile, j, features + offset, shape.channels, zeros, channels,
                   grad_warped + offset + (start + j) * shape.channels, grad_features, unused,
                   grad_flow[start + j], grad_flow[pixels + start + j]);
    }
  });
  if constexpr (!std::is_same_v<T, A>) {
    for (int64_t p = 0; p < pixels; ++p) {
      for (int64_t n = 0; n < channels; ++n) {
        wanted.features[offset + p * shape.channels + n] = narrow<T>(grad_features[p * shape.channels + n]);
      }
    }
  }
}
