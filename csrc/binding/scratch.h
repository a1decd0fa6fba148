// Memory for intermediate results of a CPU kernel.
#pragma once

#include <cstddef>
#include <memory>
#include <new>

namespace vidpred {

// Room for `count` elements, aligned to 64 bytes, for the calling thread until its next call. It is kept for
// that: a fresh allocation of this size costs more than the work it is for.
template <class T>
T* scratch(size_t count) {
  constexpr std::align_val_t alignment{64};
  struct Free {
    void operator()(void* memory) const { ::operator delete(memory, alignment); }
  };
  thread_local std::unique_ptr<void, Free> memory;
  thread_local size_t bytes = 0;
  if (count * sizeof(T) > bytes) {
    memory.reset();
    bytes = 0;
    memory.reset(::operator new(count * sizeof(T), alignment));
    bytes = count * sizeof(T);
  }
  return static_cast<T*>(memory.get());
}

}  // namespace vidpred
