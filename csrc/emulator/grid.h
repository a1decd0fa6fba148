// Runs a grid of blocks of CUDA threads on the CPU.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>

struct dim3 {
  unsigned x, y, z;
  constexpr dim3(unsigned x = 1, unsigned y = 1, unsigned z = 1) : x(x), y(y), z(z) {}
};

struct uint3 {
  unsigned x, y, z;
};

namespace vidpred::emulator {

constexpr unsigned warp_size = 32;

// The order in which the threads of a block run between two barriers. A correct kernel does not care.
// Each block is shuffled differently, and by the same `seed` always in the same way.
enum class Order { forward, reverse, shuffled };
void set_order(Order order, uint64_t seed = 0);

// Dynamic shared memory of a block: what every kernel may have, and what one may be granted that asks for it
// (on sm_90; sm_80 has 163 KiB).
constexpr size_t default_shared_bytes = 48 << 10;
constexpr size_t most_shared_bytes = 227 << 10;
// Grants `kernel` so much; returns the reason why not, or null.
const char* grant_shared_bytes(const void* kernel, size_t bytes);

// Where the CUDA thread that is running stands.
struct Place {
  uint3 thread, block;
  dim3 block_size, grid_size;
};
const Place& here();

// Runs body() for every thread of the grid and waits for all. Of the grid's `shared_bytes` of dynamic
// shared memory each block has its own, no byte more, filled with a pattern beforehand. What a GPU would
// refuse to launch is not run: last_error() then gives the reason once. A barrier that not all threads reach
// aborts. `kernel` tells kernels apart. Each `cluster` neighbouring blocks along x run at the same time, in
// operating-system threads of their own.
void launch(const void* kernel, dim3 grid, dim3 block, size_t shared_bytes, unsigned cluster,
            const std::function<void()>& body);
const char* last_error();

void* dynamic_shared_memory();
void wait_for_block();
void wait_for_warp();

// The block's number in its cluster, the size of the cluster, and the dynamic shared memory of another.
unsigned cluster_rank();
unsigned cluster_size();
void* dynamic_shared_memory_of(unsigned rank);
void wait_for_cluster();

// Gives `value` to the other lanes of the warp and returns that of lane `source`. The whole warp calls it.
uint64_t exchange(uint64_t value, unsigned source);
unsigned lane();

}  // namespace vidpred::emulator
