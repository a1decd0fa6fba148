#include "common/instruction_set.h"

#include <cstdlib>
#include <cstring>
#include <initializer_list>

namespace vidpred {

InstructionSet best_instruction_set() {
#ifdef VP_X86_INSTRUCTION_SETS
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl")) {
    return InstructionSet::avx512;
  }
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
    return InstructionSet::avx2;
  }
#endif
  return InstructionSet::baseline;
}

InstructionSet instruction_set() {
  static const InstructionSet chosen = [] {
    const InstructionSet best = best_instruction_set();
    const char* asked = std::getenv("VIDPRED_CPU");
    for (auto set : {InstructionSet::baseline, InstructionSet::avx2, InstructionSet::avx512}) {
      if (asked && std::strcmp(asked, name(set)) == 0 && set <= best) {
        return set;
      }
    }
    return best;
  }();
  return chosen;
}

const char* name(InstructionSet set) {
  switch (set) {
    case InstructionSet::avx512:
      return "avx512";
    case InstructionSet::avx2:
      return "avx2";
    default:
      return "baseline";
  }
}

}  // namespace vidpred
