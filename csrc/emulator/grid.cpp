#include "emulator/grid.h"

#include <algorithm>
#include <atomic>
#include <barrier>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <mutex>
#include <numeric>
#include <random>
#include <thread>
#include <utility>
#include <vector>

#include "emulator/fiber.h"

namespace vidpred::emulator {
namespace {

constexpr int shared_memory_pattern = 0xCD;

enum class State { ready, at_block_barrier, at_warp_barrier, at_cluster_barrier, done };

struct Thread {
  Fiber fiber;
  uint3 index;
  unsigned number;  // within the block, x fastest
  State state;
  bool second_exchange;  // exchanges alternate between two sets of slots, so that none is overwritten early

  unsigned warp() const { return number / warp_size; }
  unsigned lane() const { return number % warp_size; }
};

std::atomic<Order> chosen_order{Order::forward};
std::atomic<uint64_t> chosen_seed{0};
thread_local const char* refusal = nullptr;

std::mutex grants_mutex;
std::map<const void*, size_t> grants;  // of dynamic shared memory, by kernel

// What the blocks of a cluster share: each runs on an operating-system thread of its own.
struct Cluster {
  explicit Cluster(unsigned size) : barrier(size), shared(size) {}

  std::barrier<> barrier;
  std::vector<void*> shared;
};

// One block at a time, on one operating-system thread, always with the same rank in its cluster.
class Block {
 public:
  Block(dim3 grid, dim3 block, size_t shared_bytes, Cluster& cluster, unsigned rank,
        const std::function<void()>& body)
      : body_(body),
        cluster_(cluster),
        rank_(rank),
        place_{{}, {}, block, grid},
        threads_(size_t(block.x) * block.y * block.z),
        order_(threads_.size()),
        shared_bytes_(shared_bytes),
        shared_(new unsigned char[shared_bytes]) {
    for (unsigned n = 0; n < threads_.size(); ++n) {
      threads_[n].number = n;
      threads_[n].index = {n % block.x, n / block.x % block.y, n / (block.x * block.y)};
    }
    const unsigned warps = (threads_.size() + warp_size - 1) / warp_size;
    slots_[0].resize(warps * warp_size);
    slots_[1].resize(warps * warp_size);
    std::iota(order_.begin(), order_.end(), 0u);
    if (chosen_order == Order::reverse) {
      std::reverse(order_.begin(), order_.end());
    }
    cluster_.shared[rank_] = shared_.get();
  }

  void run(uint3 index) {
    running = this;
    place_.block = index;
    std::memset(shared_.get(), shared_memory_pattern, shared_bytes_);
    if (chosen_order == Order::shuffled) {
      // By the block's own number, so that it does not matter which blocks ran before on this thread.
      const uint64_t number =
          index.x + place_.grid_size.x * (index.y + uint64_t(place_.grid_size.y) * index.z);
      std::mt19937_64 random(chosen_seed + number);
      std::iota(order_.begin(), order_.end(), 0u);
      std::shuffle(order_.begin(), order_.end(), random);
    }
    for (Thread& thread : threads_) {
      thread.state = State::ready;
      thread.second_exchange = false;
      thread.fiber.start(&Block::run_thread, this);
    }
    cluster_.barrier.arrive_and_wait();
    while (run_ready_threads()) {
      open_barriers();
    }
    cluster_.barrier.arrive_and_wait();
    running = nullptr;
  }

  void wait(State barrier) {
    Thread& thread = *current_;
    thread.state = barrier;
    thread.fiber.suspend();
  }

  uint64_t exchange(uint64_t value, unsigned source) {
    Thread& thread = *current_;
    std::vector<uint64_t>& slots = slots_[thread.second_exchange];
    thread.second_exchange = !thread.second_exchange;
    slots[thread.number] = value;
    wait(State::at_warp_barrier);
    return slots[thread.warp() * warp_size + source % warp_size];
  }

  const Place& place() const { return place_; }
  void* shared() { return shared_.get(); }
  unsigned lane() const { return current_->lane(); }
  unsigned rank() const { return rank_; }
  const Cluster& cluster() const { return cluster_; }

  static inline thread_local Block* running = nullptr;

 private:
  static void run_thread(void* block) {
    static_cast<Block*>(block)->body_();
    static_cast<Block*>(block)->wait(State::done);
  }

  // Whether any thread is left.
  bool run_ready_threads() {
    for (unsigned n : order_) {
      if (threads_[n].state == State::ready) {
        current_ = &threads_[n];
        place_.thread = current_->index;
        current_->fiber.resume();
      }
    }
    return std::any_of(threads_.begin(), threads_.end(),
                       [](const Thread& thread) { return thread.state != State::done; });
  }

  // Lets those go on whose barrier all have reached that are not done.
  void open_barriers() {
    const bool cluster_opens = all_wait(0, threads_.size(), State::at_cluster_barrier);
    if (cluster_opens) {
      cluster_.barrier.arrive_and_wait();
    }
    const bool block_opens = cluster_opens || all_wait(0, threads_.size(), State::at_block_barrier);
    bool any_opens = block_opens;
    for (size_t first = 0; first < threads_.size(); first += warp_size) {
      const size_t end = std::min(first + warp_size, threads_.size());
      const bool warp_opens = all_wait(first, end, State::at_warp_barrier);
      any_opens |= warp_opens;
      for (size_t n = first; n < end; ++n) {
        if (threads_[n].state != State::done && (block_opens || warp_opens)) {
          threads_[n].state = State::ready;
        }
      }
    }
    if (!any_opens) {
      std::fprintf(stderr,
                   "emulator: in block (%u, %u, %u) some threads wait at a barrier that others never reach\n",
                   place_.block.x, place_.block.y, place_.block.z);
      std::abort();
    }
  }

  // Whether all of the threads [first, end) that are not done wait at `barrier`, and at least one does.
  bool all_wait(size_t first, size_t end, State barrier) const {
    bool any = false;
    for (size_t n = first; n < end; ++n) {
      if (threads_[n].state != barrier && threads_[n].state != State::done) {
        return false;
      }
      any |= threads_[n].state == barrier;
    }
    return any;
  }

  const std::function<void()>& body_;
  Cluster& cluster_;
  const unsigned rank_;
  Place place_;
  std::vector<Thread> threads_;
  std::vector<unsigned> order_;
  size_t shared_bytes_;
  std::unique_ptr<unsigned char[]> shared_;  // exactly so many, so that a sanitizer sees what lies beyond
  std::vector<uint64_t> slots_[2];
  Thread* current_ = nullptr;
};

size_t granted_shared_bytes(const void* kernel) {
  const std::lock_guard lock(grants_mutex);
  const auto grant = grants.find(kernel);
  return grant == grants.end() ? default_shared_bytes : grant->second;
}

const char* why_refused(const void* kernel, dim3 grid, dim3 block, size_t shared_bytes, unsigned cluster) {
  const uint64_t threads = uint64_t(block.x) * block.y * block.z;
  if (threads == 0 || threads > 1024 || block.z > 64) {
    return "a block must have 1 to 1024 threads, at most 64 of them along z";
  }
  if (grid.x == 0 || grid.y == 0 || grid.z == 0 || grid.x > 0x7fffffff || grid.y > 65535 || grid.z > 65535) {
    return "a grid must have at least one block, and at most 2^31-1, 65535 and 65535 of them along x, y and "
           "z";
  }
  if (cluster == 0 || cluster > 8 || grid.x % cluster) {
    return "a cluster must have 1 to 8 blocks, and the grid whole clusters along x";
  }
  return shared_bytes > granted_shared_bytes(kernel)
             ? "more than 48 KiB of dynamic shared memory must be asked for by cudaFuncSetAttribute"
             : nullptr;
}

}  // namespace

void set_order(Order order, uint64_t seed) {
  chosen_order = order;
  chosen_seed = seed;
}

const char* grant_shared_bytes(const void* kernel, size_t bytes) {
  if (bytes > most_shared_bytes) {
    return "a block can have at most 227 KiB of dynamic shared memory";
  }
  const std::lock_guard lock(grants_mutex);
  grants[kernel] = std::max(bytes, default_shared_bytes);
  return nullptr;
}

const Place& here() { return Block::running->place(); }
void* dynamic_shared_memory() { return Block::running->shared(); }
void wait_for_block() { Block::running->wait(State::at_block_barrier); }
void wait_for_warp() { Block::running->wait(State::at_warp_barrier); }
unsigned cluster_rank() { return Block::running->rank(); }
unsigned cluster_size() { return unsigned(Block::running->cluster().shared.size()); }
void* dynamic_shared_memory_of(unsigned rank) { return Block::running->cluster().shared[rank]; }
void wait_for_cluster() { Block::running->wait(State::at_cluster_barrier); }
uint64_t exchange(uint64_t value, unsigned source) { return Block::running->exchange(value, source); }
unsigned lane() { return Block::running->lane(); }

void launch(const void* kernel, dim3 grid, dim3 block, size_t shared_bytes, unsigned cluster,
            const std::function<void()>& body) {
  refusal = why_refused(kernel, grid, block, shared_bytes, cluster);
  if (refusal) {
    return;
  }
  const uint64_t clusters = uint64_t(grid.x) / cluster * grid.y * grid.z;
  std::atomic<uint64_t> next{0};
  // Runs clusters as long as there are any, in `cluster` threads of which this is the first.
  const auto work = [&] {
    Cluster shared(cluster);
    uint64_t number = 0;
    const auto run_rank = [&](unsigned rank) {
      Block emulated(grid, block, shared_bytes, shared, rank, body);
      while (true) {
        if (rank == 0) {
          number = next++;
        }
        shared.barrier.arrive_and_wait();
        const uint64_t mine = number;
        if (mine >= clusters) {
          return;
        }
        const uint64_t n = mine * cluster + rank;
        emulated.run({unsigned(n % grid.x), unsigned(n / grid.x % grid.y), unsigned(n / grid.x / grid.y)});
      }
    };
    std::vector<std::thread> others;
    for (unsigned rank = 1; rank < cluster; ++rank) {
      others.emplace_back(run_rank, rank);
    }
    run_rank(0);
    for (std::thread& other : others) {
      other.join();
    }
  };
  std::vector<std::thread> helpers;
  const uint64_t workers = std::min<uint64_t>(clusters, std::max(1u, std::thread::hardware_concurrency()));
  for (uint64_t n = 1; n < workers; ++n) {
    helpers.emplace_back(work);
  }
  work();
  for (std::thread& helper : helpers) {
    helper.join();
  }
}

const char* last_error() { return std::exchange(refusal, nullptr); }

}  // namespace vidpred::emulator
