// The CUDA kernels. In contiguous tensors a thread owns a pixel and goes through the channels of its group,
// so that neighbouring threads read and write neighbouring pixels. In channels-last ones a warp owns a pixel
// and its lanes the channels, several side by side where their number allows.
#include <algorithm>

#include "common/divide_up.h"
#include "common/launch.h"
#include "common/vector_access.h"
#include "kernels/flow_warp/flow_warp.h"
#include "kernels/flow_warp/flow_warp_math.h"

namespace vidpred {
namespace {

constexpr int threads_per_block = 256;
constexpr int lanes = 32;
constexpr int64_t most_blocks = 65535;  // of the y and z dimensions of a grid

// Pixel `pixel` of a sample, moved along the flow.
template <FlowPadding padding, class T>
__device__ Corners<accumulate_t<T>> find_corners(const FlowWarpShape& shape, const T* flow, int64_t sample,
                                                 int64_t pixel) {
  using A = accumulate_t<T>;
  const T* const flow_x = flow + sample * 2 * shape.pixels() + pixel;
  const A x = A(pixel % shape.width) + widen(flow_x[0]);
  const A y = A(pixel / shape.width) + widen(flow_x[shape.pixels()]);
  const int32_t width = int32_t(shape.width), height = int32_t(shape.height);
  return corners_between(between<padding>(x, width), between<padding>(y, height), width, height);
}

// Of a plane of pixels.
template <class T, class A>
__device__ void load_corners(const Corners<A>& corners, const T* plane, A (&value)[4]) {
#pragma unroll
  for (int k = 0; k < 4; ++k) {
    value[k] = corners.pixel[k] < 0 ? A(0) : widen(plane[corners.pixel[k]]);
  }
}

// Channels [first, end) of a group.
struct Channels {
  int64_t first, end;
};

__device__ Channels channels_of(const FlowWarpShape& shape, int64_t group, int64_t groups) {
  return {shape.channels * group / groups, shape.channels * (group + 1) / groups};
}

template <class T, FlowPadding padding>
__global__ void __launch_bounds__(threads_per_block, 1)
    forward_contiguous_kernel(FlowWarpShape shape, const T* features, const T* flow, T* warped) {
  using A = accumulate_t<T>;
  const int64_t pixel = int64_t(blockIdx.x) * blockDim.x + threadIdx.x;
  if (pixel >= shape.pixels()) {
    return;
  }
  const Channels channels = channels_of(shape, blockIdx.y, gridDim.y);
  for (int64_t sample = blockIdx.z; sample < shape.batch; sample += gridDim.z) {
    const Corners<A> corners = find_corners<padding>(shape, flow, sample, pixel);
#pragma unroll 4
    for (int64_t c = channels.first; c < channels.end; ++c) {
      const int64_t plane = (sample * shape.channels + c) * shape.pixels();
      A value[4];
      load_corners(corners, features + plane, value);
      warped[plane + pixel] = narrow<T>(interpolate(corners.weight, value));
    }
  }
}

template <class T, FlowPadding padding>
__global__ void __launch_bounds__(threads_per_block, 1)
    backward_contiguous_kernel(FlowWarpShape shape, const T* features, const T* flow, const T* grad_warped,
                               FlowWarpCudaGradients<T> wanted) {
  using A = accumulate_t<T>;
  const int64_t pixel = int64_t(blockIdx.x) * blockDim.x + threadIdx.x;
  if (pixel >= shape.pixels()) {
    return;
  }
  const int64_t group = blockIdx.y, pixels = shape.pixels();
  const Channels channels = channels_of(shape, group, gridDim.y);
  for (int64_t sample = blockIdx.z; sample < shape.batch; sample += gridDim.z) {
    const Corners<A> corners = find_corners<padding>(shape, flow, sample, pixel);
    A along_x = 0, along_y = 0;
#pragma unroll 4
    for (int64_t c = channels.first; c < channels.end; ++c) {
      const int64_t plane = (sample * shape.channels + c) * pixels;
      const A grad = widen(grad_warped[plane + pixel]);
      A value[4];
      load_corners(corners, features + plane, value);
      along_x += grad * slope_along_x(corners.y.fraction, value);
      along_y += grad * slope_along_y(corners.x.fraction, value);
#pragma unroll
      for (int k = 0; k < 4; ++k) {
        if (corners.pixel[k] >= 0) {
          atomicAdd(wanted.features + plane + corners.pixel[k], corners.weight[k] * grad);
        }
      }
    }
    A* const grad_flow = wanted.flow + (group * shape.batch + sample) * 2 * pixels + pixel;
    grad_flow[0] = along_x * corners.x.slope;
    grad_flow[pixels] = along_y * corners.y.slope;
  }
}

// The pixels of all samples are shared out to the warps of the grid.
template <class T, FlowPadding padding, int width>
__global__ void __launch_bounds__(threads_per_block, 1)
    forward_channels_last_kernel(FlowWarpShape shape, const T* features, const T* flow, T* warped) {
  using A = accumulate_t<T>;
  const int64_t warps = int64_t(gridDim.x) * blockDim.y;
  for (int64_t n = int64_t(blockIdx.x) * blockDim.y + threadIdx.y; n < shape.batch * shape.pixels();
       n += warps) {
    const int64_t sample = n / shape.pixels();
    const Corners<A> corners = find_corners<padding>(shape, flow, sample, n % shape.pixels());
    const T* const start = features + sample * shape.pixels() * shape.channels;
    for (int64_t c = threadIdx.x * width; c < shape.channels; c += lanes * width) {
      A value[4][width] = {}, result[width];
#pragma unroll
      for (int k = 0; k < 4; ++k) {
        if (corners.pixel[k] >= 0) {
          load<width>(start + corners.pixel[k] * shape.channels + c, value[k]);
        }
      }
#pragma unroll
      for (int v = 0; v < width; ++v) {
        result[v] = interpolate(corners.weight, {value[0][v], value[1][v], value[2][v], value[3][v]});
      }
      store(result, warped + n * shape.channels + c);
    }
  }
}

template <class A>
__device__ A sum_over_warp(A value) {
  for (int distance = lanes / 2; distance; distance /= 2) {
    value += __shfl_xor_sync(~0u, value, distance);
  }
  return value;
}

template <class T, FlowPadding padding, int width>
__global__ void __launch_bounds__(threads_per_block, 1)
    backward_channels_last_kernel(FlowWarpShape shape, const T* features, const T* flow, const T* grad_warped,
                                  FlowWarpCudaGradients<T> wanted) {
  using A = accumulate_t<T>;
  const int64_t warps = int64_t(gridDim.x) * blockDim.y, pixels = shape.pixels();
  for (int64_t n = int64_t(blockIdx.x) * blockDim.y + threadIdx.y; n < shape.batch * pixels; n += warps) {
    const int64_t sample = n / pixels, pixel = n % pixels;
    const Corners<A> corners = find_corners<padding>(shape, flow, sample, pixel);
    const int64_t start = sample * pixels * shape.channels;
    A along_x = 0, along_y = 0;
    for (int64_t c = threadIdx.x * width; c < shape.channels; c += lanes * width) {
      A value[4][width] = {}, grad[width];
      load<width>(grad_warped + n * shape.channels + c, grad);
#pragma unroll
      for (int k = 0; k < 4; ++k) {
        if (corners.pixel[k] >= 0) {
          const int64_t place = start + corners.pixel[k] * shape.channels + c;
          load<width>(features + place, value[k]);
#pragma unroll
          for (int v = 0; v < width; ++v) {
            atomicAdd(wanted.features + place + v, corners.weight[k] * grad[v]);
          }
        }
      }
#pragma unroll
      for (int v = 0; v < width; ++v) {
        const A around[4] = {value[0][v], value[1][v], value[2][v], value[3][v]};
        along_x += grad[v] * slope_along_x(corners.y.fraction, around);
        along_y += grad[v] * slope_along_y(corners.x.fraction, around);
      }
    }
    along_x = sum_over_warp(along_x);
    along_y = sum_over_warp(along_y);
    if (threadIdx.x == 0) {
      A* const grad_flow = wanted.flow + sample * 2 * pixels + pixel;
      grad_flow[0] = along_x * corners.x.slope;
      grad_flow[pixels] = along_y * corners.y.slope;
    }
  }
}

// Enough threads to fill a large GPU, and at least four channels for each.
int64_t groups_of(const FlowWarpShape& shape) {
  constexpr int64_t threads = 1 << 18;
  const int64_t pixels = std::max<int64_t>(shape.batch * shape.pixels(), 1);
  const int64_t most = std::max<int64_t>(shape.channels / 4, 1);
  return std::clamp<int64_t>(divide_up(threads, pixels), 1, std::min<int64_t>(most, 16));
}

struct Geometry {
  dim3 grid, block;
};

Geometry contiguous_geometry(const FlowWarpShape& shape) {
  return {dim3(unsigned(divide_up(shape.pixels(), threads_per_block)), unsigned(groups_of(shape)),
               unsigned(std::min(shape.batch, most_blocks))),
          dim3(threads_per_block)};
}

Geometry channels_last_geometry(const FlowWarpShape& shape) {
  constexpr int64_t warps_per_block = threads_per_block / lanes, most = 1 << 16;
  const int64_t blocks = divide_up(shape.batch * shape.pixels(), warps_per_block);
  return {dim3(unsigned(std::min(blocks, most))), dim3(lanes, warps_per_block)};
}

// How many channels a lane takes at once.
template <class T>
constexpr int widest = widest_access / sizeof(T);

template <class T, FlowPadding padding>
void launch_forward(const FlowWarpShape& shape, const T* features, const T* flow, T* warped, void* stream) {
  if (!shape.channels_last) {
    const Geometry geometry = contiguous_geometry(shape);
    VP_LAUNCH((forward_contiguous_kernel<T, padding>), geometry.grid, geometry.block, 0, stream, shape,
              features, flow, warped);
    return;
  }
  const Geometry geometry = channels_last_geometry(shape);
  const auto kernel = shape.channels % widest<T> == 0 ? forward_channels_last_kernel<T, padding, widest<T>>
                                                      : forward_channels_last_kernel<T, padding, 1>;
  VP_LAUNCH(kernel, geometry.grid, geometry.block, 0, stream, shape, features, flow, warped);
}

template <class T, FlowPadding padding>
void launch_backward(const FlowWarpShape& shape, const T* features, const T* flow, const T* grad_warped,
                     const FlowWarpCudaGradients<T>& wanted, void* stream) {
  if (!shape.channels_last) {
    const Geometry geometry = contiguous_geometry(shape);
    VP_LAUNCH((backward_contiguous_kernel<T, padding>), geometry.grid, geometry.block, 0, stream, shape,
              features, flow, grad_warped, wanted);
    return;
  }
  const Geometry geometry = channels_last_geometry(shape);
  const auto kernel = shape.channels % widest<T> == 0 ? backward_channels_last_kernel<T, padding, widest<T>>
                                                      : backward_channels_last_kernel<T, padding, 1>;
  VP_LAUNCH(kernel, geometry.grid, geometry.block, 0, stream, shape, features, flow, grad_warped, wanted);
}

}  // namespace

int64_t flow_warp_cuda_groups(const FlowWarpShape& shape) {
  return shape.channels_last ? 1 : groups_of(shape);
}

template <class T>
const char* flow_warp_forward_cuda(const FlowWarpShape& shape, const T* features, const T* flow, T* warped,
                                   void* stream) {
  if (shape.batch * shape.pixels() == 0) {
    return nullptr;
  }
  (shape.padding == FlowPadding::zeros
       ? launch_forward<T, FlowPadding::zeros>
       : launch_forward<T, FlowPadding::border>)(shape, features, flow, warped, stream);
  return launch_error();
}

template <class T>
const char* flow_warp_backward_cuda(const FlowWarpShape& shape, const T* features, const T* flow,
                                    const T* grad_warped, const FlowWarpCudaGradients<T>& wanted,
                                    void* stream) {
  if (shape.batch * shape.pixels() == 0) {
    return nullptr;
  }
  (shape.padding == FlowPadding::zeros
       ? launch_backward<T, FlowPadding::zeros>
       : launch_backward<T, FlowPadding::border>)(shape, features, flow, grad_warped, wanted, stream);
  return launch_error();
}

#define VP_INSTANTIATE(T)                                                                           \
  template const char* flow_warp_forward_cuda(const FlowWarpShape&, const T*, const T*, T*, void*); \
  template const char* flow_warp_backward_cuda(const FlowWarpShape&, const T*, const T*, const T*,  \
                                               const FlowWarpCudaGradients<T>&, void*);
VP_INSTANTIATE(float)
VP_INSTANTIATE(double)
VP_INSTANTIATE(float16)
VP_INSTANTIATE(bfloat16)
#undef VP_INSTANTIATE

}  // namespace vidpred
