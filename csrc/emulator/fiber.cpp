#include "emulator/fiber.h"

#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <mutex>
#include <vector>

namespace vidpred::emulator {
namespace {

constexpr size_t stack_bytes = 64 << 10;

// A stack below which lies a page that must not be touched, so that an overflow does not go unnoticed.
unsigned char* map_stack(size_t guard_bytes) {
  void* memory = mmap(nullptr, guard_bytes + stack_bytes, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED || mprotect(memory, guard_bytes, PROT_NONE) != 0) {
    std::abort();
  }
  return static_cast<unsigned char*>(memory) + guard_bytes;
}

// Stacks are used again: to map one costs more than most fibers' work.
class Stacks {
 public:
  unsigned char* take() {
    const std::lock_guard lock(mutex_);
    if (free_.empty()) {
      return map_stack(sysconf(_SC_PAGESIZE));
    }
    unsigned char* const stack = free_.back();
    free_.pop_back();
    return stack;
  }

  void give_back(unsigned char* stack) {
    const std::lock_guard lock(mutex_);
    free_.push_back(stack);
  }

 private:
  std::mutex mutex_;
  std::vector<unsigned char*> free_;
};

Stacks& stacks() {
  static auto* const all = new Stacks;  // never destroyed: fibers may end later than static objects
  return *all;
}

}  // namespace

#ifdef __x86_64__

// Saves the registers that a call preserves on the stack, keeps that stack's pointer in *from, and
// continues on the stack `to` where it left off. swapcontext does the same, with a system call each time.
extern "C" void vidpred_switch_stack(void** from, void* to);
asm(R"(
.text
.globl vidpred_switch_stack
.hidden vidpred_switch_stack
vidpred_switch_stack:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
)");

struct Fiber::Context {
  unsigned char* stack = stacks().take();
  void* here = nullptr;   // the fiber's stack pointer while it is suspended
  void* there = nullptr;  // the resumer's, while it runs
  void (*entry)(void*) = nullptr;
  void* argument = nullptr;

  static inline thread_local Context* starting = nullptr;
  static void run() { starting->entry(starting->argument); }
};

void Fiber::start(void (*entry)(void*), void* argument) {
  context_->entry = entry;
  context_->argument = argument;
  // As if run() had called vidpred_switch_stack: a return address and six registers lie on the stack, which
  // is aligned as at a call once they are gone.
  void** top = reinterpret_cast<void**>(context_->stack + stack_bytes);
  *--top = nullptr;
  *--top = reinterpret_cast<void*>(&Context::run);
  for (int i = 0; i < 6; ++i) {
    *--top = nullptr;
  }
  context_->here = top;
}

void Fiber::resume() {
  Context::starting = context_;
  vidpred_switch_stack(&context_->there, context_->here);
}

void Fiber::suspend() { vidpred_switch_stack(&context_->here, context_->there); }

#else

struct Fiber::Context {
  unsigned char* stack = stacks().take();
  ucontext_t here, there;
  void (*entry)(void*) = nullptr;
  void* argument = nullptr;

  static inline thread_local Context* starting = nullptr;
  static void run() { starting->entry(starting->argument); }
};

void Fiber::start(void (*entry)(void*), void* argument) {
  context_->entry = entry;
  context_->argument = argument;
  getcontext(&context_->here);
  context_->here.uc_stack = {};
  context_->here.uc_stack.ss_sp = context_->stack;
  context_->here.uc_stack.ss_size = stack_bytes;
  makecontext(&context_->here, &Context::run, 0);
}

void Fiber::resume() {
  Context::starting = context_;
  swapcontext(&context_->there, &context_->here);
}

void Fiber::suspend() { swapcontext(&context_->here, &context_->there); }

#endif

Fiber::Fiber() : context_(new Context) {}

Fiber::~Fiber() {
  stacks().give_back(context_->stack);
  delete context_;
}

}  // namespace vidpred::emulator
