// Compiles the file named by VP_LOOPS once for each instruction set, in a namespace of that name:
//
//   #define VP_LOOPS "kernels/my_op/my_op_cpu_loops.h"
//   #include "common/per_instruction_set.h"
//   ... VP_VERSION(set, my_loop<float>)(arguments) ...
//
// In the file VP_VECTOR_BYTES is the size of a vector register: g++ 12 does not yet define __AVX2__ and the
// like for a part of a file.
//
// All other headers come first: what they define must not be compiled for more than the baseline, since
// the linker keeps one copy for all. The functions of VP_LOOPS have internal linkage, so that the
// versions of one op do not meet those of another.

#include "common/instruction_set.h"

#define VP_VECTOR_BYTES 16
namespace vidpred::baseline {
namespace {
#include VP_LOOPS
}  // namespace
}  // namespace vidpred::baseline
#undef VP_VECTOR_BYTES

#ifdef VP_X86_INSTRUCTION_SETS

#pragma GCC push_options
#pragma GCC target("avx2,fma")
#define VP_VECTOR_BYTES 32
namespace vidpred::avx2 {
namespace {
#include VP_LOOPS
}  // namespace
}  // namespace vidpred::avx2
#undef VP_VECTOR_BYTES
#pragma GCC pop_options

#pragma GCC push_options
#pragma GCC target("avx2,fma,avx512f,avx512bw,avx512dq,avx512vl,prefer-vector-width=512")
#define VP_VECTOR_BYTES 64
namespace vidpred::avx512 {
namespace {
#include VP_LOOPS
}  // namespace
}  // namespace vidpred::avx512
#undef VP_VECTOR_BYTES
#pragma GCC pop_options

// The version of a function of VP_LOOPS for an InstructionSet.
#define VP_VERSION(set, ...)                                        \
  ((set) == ::vidpred::InstructionSet::avx512 ? avx512::__VA_ARGS__ \
   : (set) == ::vidpred::InstructionSet::avx2 ? avx2::__VA_ARGS__   \
                                              : baseline::__VA_ARGS__)
#else
#define VP_VERSION(set, ...) ((void)(set), baseline::__VA_ARGS__)
#endif
