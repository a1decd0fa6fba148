// Clusters in the emulator: blocks that write to each other's shared memory.
#include <numeric>
#include <vector>

#include "common/cluster.h"
#include "tests/check.h"

using namespace vidpred;

// Each block hands its values on to the next of its cluster, around, and writes those it was handed.
__global__ void hand_on(const int* values, int* results, unsigned* ranks) {
  VP_DYNAMIC_SHARED(int, shared);
  const int n = blockIdx.x * blockDim.x + threadIdx.x;
  in_block((cluster_rank() + 1) % cluster_size(), shared)[threadIdx.x] = values[n];
  wait_for_cluster();
  results[n] = shared[threadIdx.x];
  ranks[n] = cluster_rank();
}

void blocks_reach_each_other(unsigned size) {
  constexpr unsigned threads = 70;
  const unsigned blocks = 3 * size;
  std::vector<int> values(blocks * threads), results(values.size(), -1);
  std::vector<unsigned> ranks(values.size(), ~0u);
  std::iota(values.begin(), values.end(), 0);
  launch_clusters(size, hand_on, blocks, threads, threads * sizeof(int), nullptr, values.data(),
                  results.data(), ranks.data());
  CHECK(!launch_error(), "clusters of %u are refused", size);
  for (unsigned n = 0; n < values.size(); ++n) {
    const unsigned block = n / threads, rank = block % size;
    const unsigned giver = block - rank + (rank + size - 1) % size;
    CHECK(results[n] == values[giver * threads + n % threads], "size %u: element %u is %d", size, n,
          results[n]);
    CHECK(ranks[n] == rank, "size %u: block %u has rank %u", size, block, ranks[n]);
  }
}

__global__ void nothing() {}

int main() {
  for (auto order : {emulator::Order::forward, emulator::Order::reverse, emulator::Order::shuffled}) {
    emulator::set_order(order);
    for (unsigned size : {1, 2, 4, 8}) {
      blocks_reach_each_other(size);
    }
  }
  launch_clusters(3, nothing, 8, 32, 0, nullptr);
  CHECK(launch_error() != nullptr, "a grid of parts of clusters was accepted");
  launch_clusters(16, nothing, 16, 32, 0, nullptr);
  CHECK(launch_error() != nullptr, "a cluster of 16 was accepted");
  return exit_status();
}
