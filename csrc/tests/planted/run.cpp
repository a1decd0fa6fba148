// Runs a planted kernel, for tests that look at how the process ends: planted KERNEL [bug]
#include <cstdio>
#include <string>
#include <vector>

#include "tests/planted/planted.h"

using namespace vidpred::planted;

int main(int count, char** arguments) {
  const std::string kernel = count > 1 ? arguments[1] : "";
  const bool bug = count > 2;
  const char* error = "expected store, overrun or barrier, and what else is given plants the bug";
  if (kernel == "store") {
    std::vector<float> values(67);
    error = store(values.data(), int(values.size()), bug);
  } else if (kernel == "overrun") {
    error = overrun_shared(101, bug);
  } else if (kernel == "barrier") {
    error = meet(bug);
  }
  if (error) {
    std::fprintf(stderr, "%s\n", error);
  }
  return error != nullptr;
}
