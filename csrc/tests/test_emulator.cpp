// The emulator itself: kernels whose results are known, in every order of threads.
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <csignal>
#include <numeric>
#include <vector>

#include "common/launch.h"
#include "tests/check.h"

using namespace vidpred;

__global__ void write_place(int* out) {
  const int block = blockIdx.x + gridDim.x * (blockIdx.y + gridDim.y * blockIdx.z);
  const int thread = threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z);
  out[block * blockDim.x * blockDim.y * blockDim.z + thread] = 1000 * block + thread;
}

void every_thread_runs_once_in_its_place() {
  const dim3 grid(3, 2, 2), block(5, 3, 4);
  std::vector<int> out(12 * 60, -1);
  VP_LAUNCH(write_place, grid, block, 0, nullptr, out.data());
  for (int n = 0; n < int(out.size()); ++n) {
    CHECK(out[n] == 1000 * (n / 60) + n % 60, "element %d is %d", n, out[n]);
  }
}

template <bool with_barrier>
__global__ void reverse_in_block(int* values) {
  VP_DYNAMIC_SHARED(int, shared);
  const unsigned last = blockDim.x - 1;
  int* const mine = values + blockIdx.x * blockDim.x;
  shared[threadIdx.x] = mine[threadIdx.x];
  if (with_barrier) {
    __syncthreads();
  }
  mine[threadIdx.x] = shared[last - threadIdx.x];
}

template <bool with_barrier>
bool reverses() {
  std::vector<int> values(4 * 96);
  std::iota(values.begin(), values.end(), 0);
  VP_LAUNCH(reverse_in_block<with_barrier>, dim3(4), dim3(96), 96 * sizeof(int), nullptr, values.data());
  bool right = true;
  for (int n = 0; n < int(values.size()); ++n) {
    right &= values[n] == n / 96 * 96 + 95 - n % 96;
  }
  return right;
}

template <class T>
__global__ void sum(const T* values, int count, T* total) {
  T mine = 0;
  for (int n = blockIdx.x * blockDim.x + threadIdx.x; n < count; n += gridDim.x * blockDim.x) {
    mine += values[n];
  }
  for (int offset = 16; offset; offset /= 2) {
    mine += __shfl_xor_sync(~0u, mine, offset);
  }
  T down = T(threadIdx.x % 32);  // lane 0 ends with the sum of all lanes' numbers
  for (int offset = 16; offset; offset /= 2) {
    down += __shfl_down_sync(~0u, down, offset);
  }
  const T sent = __shfl_sync(~0u, down, 0);
  T up = T(1);  // lane 31 ends with the number of lanes
  for (int offset = 1; offset < 32; offset *= 2) {
    const T below = __shfl_up_sync(~0u, up, offset);
    up += threadIdx.x % 32 >= unsigned(offset) ? below : T(0);
  }
  const T lanes = __shfl_sync(~0u, up, 31);
  if (threadIdx.x % 32 == 0) {
    atomicAdd(total, T(mine + (sent - 31 * 16) + (lanes - 32)));
  }
}

template <class T>
void shuffles_and_atomics_sum() {
  std::vector<T> values(1000);
  std::iota(values.begin(), values.end(), T(1));
  T total = 0;
  VP_LAUNCH(sum<T>, dim3(3), dim3(64), 0, nullptr, values.data(), 1000, &total);
  CHECK(total == T(500500), "the sum is %g", double(total));
}

// Which thread of its block came how early, by an atomic counter for every block.
__global__ void write_turn(int* counters, int* turns) {
  turns[blockIdx.x * blockDim.x + threadIdx.x] = atomicAdd(counters + blockIdx.x, 1);
}

void shuffles_are_told_apart_by_their_seed() {
  const auto turns = [](uint64_t seed) {
    emulator::set_order(emulator::Order::shuffled, seed);
    std::vector<int> counters(7), found(7 * 50);
    VP_LAUNCH(write_turn, dim3(7), dim3(50), 0, nullptr, counters.data(), found.data());
    return found;
  };
  const std::vector<int> first = turns(1);
  CHECK(first == turns(1), "the same seed, another order");
  CHECK(first != turns(2), "another seed, the same order");
  CHECK(!std::equal(first.begin(), first.begin() + 50, first.begin() + 50), "two blocks in the same order");
}

__global__ void nothing() {}

void refuses_what_a_gpu_refuses() {
  VP_LAUNCH(nothing, dim3(1), dim3(1025), 0, nullptr);
  CHECK(launch_error() != nullptr, "1025 threads were accepted");
  CHECK(launch_error() == nullptr, "the error stays");
  VP_LAUNCH(nothing, dim3(1, 65536), dim3(1), 0, nullptr);
  CHECK(launch_error() != nullptr, "65536 blocks along y were accepted");
  VP_LAUNCH(nothing, dim3(0), dim3(1), 0, nullptr);
  CHECK(launch_error() != nullptr, "an empty grid was accepted");
  VP_LAUNCH(nothing, dim3(1), dim3(1), 1 << 20, nullptr);
  CHECK(launch_error() != nullptr, "1 MiB of shared memory was accepted");
}

__global__ void fill_shared(int count) {
  VP_DYNAMIC_SHARED(int, shared);
  for (int n = threadIdx.x; n < count; n += blockDim.x) {
    shared[n] = n;
  }
}

void much_shared_memory_must_be_asked_for() {
  constexpr int kilobytes = 100;
  const auto run = [](auto kernel) {
    VP_LAUNCH(kernel, dim3(1), dim3(64), kilobytes << 10, nullptr, kilobytes << 8);
    return launch_error();
  };
  CHECK(run(fill_shared) != nullptr, "100 KiB were given unasked");
  CHECK(cudaFuncSetAttribute(fill_shared, cudaFuncAttributeMaxDynamicSharedMemorySize, 1 << 20) != nullptr,
        "1 MiB was granted");
  CHECK(cudaFuncSetAttribute(fill_shared, cudaFuncAttributeMaxDynamicSharedMemorySize, kilobytes << 10) ==
            cudaSuccess,
        "100 KiB were not granted");
  CHECK(run(fill_shared) == nullptr, "100 KiB were asked for in vain");
}

__global__ void smaller_and_larger(float nan, float* floats, int64_t* integers) {
  floats[0] = min(nan, 2.0f);
  floats[1] = max(1.0f, nan);
  floats[2] = max(-1.0f, min(3.0f, 2.0f));
  floats[3] = rsqrtf(__ldg(floats + 2) * 8) + __fdividef(1.0f, 4.0f);
  integers[0] = min(int64_t(1) << 40, -3);
  integers[1] = max(int64_t(1) << 40, -3);
}

void device_functions_are_those_of_cuda() {
  float floats[4];
  int64_t integers[2];
  VP_LAUNCH(smaller_and_larger, dim3(1), dim3(1), 0, nullptr, NAN, floats, integers);
  CHECK(floats[0] == 2 && floats[1] == 1, "of NaN and a number %g and %g", floats[0], floats[1]);
  CHECK(floats[2] == 2 && floats[3] == 0.5f, "%g and %g", floats[2], floats[3]);
  CHECK(integers[0] == -3 && integers[1] == int64_t(1) << 40, "integers of two sizes");
}

__global__ void a_warp_waits_in_two_places() {
  if (threadIdx.x == 0) {
    __syncwarp();
  } else {
    __syncthreads();
  }
}

void aborts_at_a_barrier_not_all_reach() {
  const pid_t child = fork();
  if (child == 0) {
    std::freopen("/dev/null", "w", stderr);
    VP_LAUNCH(a_warp_waits_in_two_places, dim3(1), dim3(32), 0, nullptr);
    _exit(0);
  }
  int status = 0;
  waitpid(child, &status, 0);
  CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT, "the child's status is %d", status);
}

int main() {
  for (auto order : {emulator::Order::forward, emulator::Order::reverse, emulator::Order::shuffled}) {
    emulator::set_order(order);
    every_thread_runs_once_in_its_place();
    CHECK(reverses<true>(), "a barrier does not hold in order %d", int(order));
    CHECK(!reverses<false>(), "a missing barrier goes unnoticed in order %d", int(order));
    shuffles_and_atomics_sum<float>();
    shuffles_and_atomics_sum<double>();
    shuffles_and_atomics_sum<int>();
  }
  shuffles_are_told_apart_by_their_seed();
  refuses_what_a_gpu_refuses();
  much_shared_memory_must_be_asked_for();
  device_functions_are_those_of_cuda();
  aborts_at_a_barrier_not_all_reach();
  return exit_status();
}
