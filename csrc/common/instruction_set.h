// Which of a kernel's compiled versions runs on this CPU; per_instruction_set.h compiles them.
#pragma once

// g++ compiles all versions on x86-64; other compilers and machines get the baseline alone.
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#define VP_X86_INSTRUCTION_SETS
#endif

namespace vidpred {

enum class InstructionSet { baseline, avx2, avx512 };

// The best of those compiled in that this CPU has.
InstructionSet best_instruction_set();

// What the environment variable VIDPRED_CPU names, if it can be had; else the best. Read once.
InstructionSet instruction_set();

const char* name(InstructionSet set);

}  // namespace vidpred
