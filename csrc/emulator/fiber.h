// A function that runs on a stack of its own and can be suspended in its midst.
#pragma once

#include <cstddef>

namespace vidpred::emulator {

class Fiber {
 public:
  Fiber();
  ~Fiber();
  Fiber(const Fiber&) = delete;
  Fiber& operator=(const Fiber&) = delete;

  // Makes the next resume() call entry(argument). `entry` must end with suspend() and not be resumed again.
  void start(void (*entry)(void*), void* argument);

  // Runs the fiber until it suspends itself.
  void resume();

  // Called from within the fiber: goes back to where it was resumed.
  void suspend();

 private:
  struct Context;
  Context* context_;
};

}  // namespace vidpred::emulator
