// The half types: every value there is, and rounding at every midpoint between two.
#include <cmath>
#include <limits>

#include "common/half.h"
#include "tests/check.h"

using namespace vidpred;

// The value of a bit pattern by its definition.
double value_of(uint32_t bits, int exponent_bits, int mantissa_bits) {
  const int bias = (1 << (exponent_bits - 1)) - 1;
  const int exponent = (bits >> mantissa_bits) & ((1 << exponent_bits) - 1);
  const double mantissa = bits & ((1u << mantissa_bits) - 1);
  const double sign = bits >> 15 ? -1 : 1;
  if (exponent == (1 << exponent_bits) - 1) {
    return mantissa ? std::numeric_limits<double>::quiet_NaN()
                    : sign * std::numeric_limits<double>::infinity();
  }
  const double fraction = std::ldexp(mantissa, -mantissa_bits);
  return sign * (exponent ? std::ldexp(1 + fraction, exponent - bias) : std::ldexp(fraction, 1 - bias));
}

template <class Half>
void check(int exponent_bits, int mantissa_bits) {
  const uint32_t infinity = ((1u << exponent_bits) - 1) << mantissa_bits;
  for (uint32_t bits = 0; bits < 65536; ++bits) {
    const double expected = value_of(bits, exponent_bits, mantissa_bits);
    const float value = widen(Half{uint16_t(bits)});
    const Half back = narrow<Half>(value);
    if (std::isnan(expected)) {
      CHECK(std::isnan(value) && std::isnan(widen(back)), "NaN %#x is lost", bits);
      continue;
    }
    CHECK(value == expected, "%#x is %g instead of %g", bits, value, expected);
    CHECK(back.bits == bits, "%#x comes back as %#x", bits, back.bits);
    if ((bits & 0x7fff) >= infinity - 1) {
      continue;
    }
    // Midway to the neighbour above in magnitude: ties go to the even one, all else to the nearer.
    const float above = widen(Half{uint16_t(bits + 1)});
    const float middle = value / 2 + above / 2;
    const float inward = std::nextafter(middle, value), outward = std::nextafter(middle, above);
    CHECK(narrow<Half>(middle).bits == bits + (bits & 1), "the tie above %#x goes the wrong way", bits);
    CHECK(narrow<Half>(inward).bits == bits, "below the tie above %#x", bits);
    CHECK(narrow<Half>(outward).bits == bits + 1, "above the tie above %#x", bits);
  }
  CHECK(narrow<Half>(std::numeric_limits<float>::max()).bits == infinity, "overflow is not infinity");
  CHECK(narrow<Half>(-std::numeric_limits<float>::max()).bits == (infinity | 0x8000), "nor below");
}

int main() {
  check<float16>(5, 10);
  check<bfloat16>(8, 7);
  return exit_status();
}
