// The least that a test needs: CHECK and an exit status.
#pragma once

#include <cstdio>

inline int failures = 0;

// Reports a condition that does not hold, with printf-like words for the values.
#define CHECK(condition, ...)                                                  \
  do {                                                                         \
    if (!(condition)) {                                                        \
      ++failures;                                                              \
      std::fprintf(stderr, "%s:%d: not %s: ", __FILE__, __LINE__, #condition); \
      std::fprintf(stderr, __VA_ARGS__);                                       \
      std::fprintf(stderr, "\n");                                              \
    }                                                                          \
  } while (false)

// What main() returns.
inline int exit_status() { return failures ? 1 : 0; }
