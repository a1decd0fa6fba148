// Blocks that run at the same time and reach each other's shared memory: clusters, which GPUs have from
// sm_90 on. Elsewhere only clusters of one block can be launched.
#pragma once

#include "common/launch.h"

#ifdef __CUDACC__
#include <cooperative_groups.h>
#endif

namespace vidpred {

#if defined(__CUDACC__) && defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900

__device__ inline unsigned cluster_rank() { return cooperative_groups::this_cluster().block_rank(); }
__device__ inline unsigned cluster_size() { return cooperative_groups::this_cluster().num_blocks(); }

// What lies at `mine`, in dynamic shared memory, in another block of the cluster.
template <class T>
__device__ T* in_block(unsigned rank, T* mine) {
  return cooperative_groups::this_cluster().map_shared_rank(mine, rank);
}

// Waits for all threads of the cluster, which then see what the others have written.
__device__ inline void wait_for_cluster() { cooperative_groups::this_cluster().sync(); }

#elif defined(__CUDACC__)

__device__ inline unsigned cluster_rank() { return 0; }
__device__ inline unsigned cluster_size() { return 1; }
template <class T>
__device__ T* in_block(unsigned, T* mine) {
  return mine;
}
__device__ inline void wait_for_cluster() { __syncthreads(); }

#else

using emulator::cluster_rank;
using emulator::cluster_size;
using emulator::wait_for_cluster;

template <class T>
T* in_block(unsigned rank, T* mine) {
  const auto offset = reinterpret_cast<char*>(mine) - static_cast<char*>(emulator::dynamic_shared_memory());
  return reinterpret_cast<T*>(static_cast<char*>(emulator::dynamic_shared_memory_of(rank)) + offset);
}

#endif

// The largest cluster, a power of two up to 8, with which `count` clusters fit the current device at once.
inline unsigned cluster_size_for(int64_t count) {
#ifdef __CUDACC__
  int device = 0, generation = 0, multiprocessors = 0;
  cudaGetDevice(&device);
  cudaDeviceGetAttribute(&generation, cudaDevAttrComputeCapabilityMajor, device);
  cudaDeviceGetAttribute(&multiprocessors, cudaDevAttrMultiProcessorCount, device);
#else
  const int generation = 9, multiprocessors = 132;
#endif
  unsigned size = 1;
  while (generation >= 9 && size < 8 && 2 * size * count <= multiprocessors) {
    size *= 2;
  }
  return size;
}

// Launches with clusters of `size` blocks along x. An error is that of launch_error().
template <class... Parameters, class... Arguments>
void launch_clusters(unsigned size, void (*kernel)(Parameters...), dim3 grid, dim3 block, size_t shared_bytes,
                     void* stream, Arguments... arguments) {
#ifdef __CUDACC__
  cudaLaunchAttribute cluster;
  cluster.id = cudaLaunchAttributeClusterDimension;
  cluster.val.clusterDim.x = size;
  cluster.val.clusterDim.y = cluster.val.clusterDim.z = 1;
  cudaLaunchConfig_t launch = {};
  launch.gridDim = grid;
  launch.blockDim = block;
  launch.dynamicSmemBytes = shared_bytes;
  launch.stream = static_cast<cudaStream_t>(stream);
  launch.attrs = &cluster;
  launch.numAttrs = size > 1;
  cudaLaunchKernelEx(&launch, kernel, Parameters(arguments)...);
#else
  emulator::launch_kernel(size, kernel, grid, block, shared_bytes, stream, arguments...);
#endif
}

}  // namespace vidpred
