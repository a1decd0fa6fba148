// Reading and writing several neighbouring elements in one access of up to 16 bytes, the widest there is.
#pragma once

#include <cstdint>

#include "common/half.h"
#include "common/launch.h"

namespace vidpred {

constexpr int widest_access = 16;  // bytes

template <int bytes>
struct RawAccess;
template <>
struct RawAccess<2> {
  using type = uint16_t;
};
template <>
struct RawAccess<4> {
  using type = uint32_t;
};
template <>
struct RawAccess<8> {
  using type = uint2;
};
template <>
struct RawAccess<16> {
  using type = uint4;
};

// Reads `width` elements from an address that is a multiple of their joint size.
template <int width, class T>
VP_HOST_DEVICE void load(const T* from, accumulate_t<T> (&values)[width]) {
  using Raw = typename RawAccess<width * sizeof(T)>::type;
  const Raw raw = *reinterpret_cast<const Raw*>(from);
  T elements[width];
  memcpy(elements, &raw, sizeof(raw));
  for (int v = 0; v < width; ++v) {
    values[v] = widen(elements[v]);
  }
}

// Rounds and writes `width` elements to such an address.
template <int width, class T>
VP_HOST_DEVICE void store(const accumulate_t<T> (&values)[width], T* to) {
  using Raw = typename RawAccess<width * sizeof(T)>::type;
  T elements[width];
  for (int v = 0; v < width; ++v) {
    elements[v] = narrow<T>(values[v]);
  }
  Raw raw;
  memcpy(&raw, elements, sizeof(raw));
  *reinterpret_cast<Raw*>(to) = raw;
}

}  // namespace vidpred
