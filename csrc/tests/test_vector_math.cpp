// sigmoid and tanh against long double.
#include <cmath>
#include <limits>

#include "common/vector_math.h"
#include "tests/check.h"

using namespace vidpred;

template <class T>
void check_values() {
  constexpr T epsilon = std::numeric_limits<T>::epsilon();
  for (int step = -200000; step <= 200000; ++step) {
    const T x = T(step) * T(1e-4);
    const long double exact_sigmoid = 1 / (1 + std::exp(-(long double)(x)));
    const long double exact_tanh = std::tanh((long double)(x));
    // Where sigmoid is small its relative error grows with x, since x log2(e) is rounded.
    const T sigmoid_error = T(std::abs(sigmoid(x) - exact_sigmoid) / exact_sigmoid);
    const T tanh_error = T(std::abs(vidpred::tanh(x) - exact_tanh));
    CHECK(sigmoid_error <= (3 + std::abs(x)) * epsilon, "sigmoid(%g) is off by %g", double(x),
          double(sigmoid_error));
    CHECK(tanh_error <= 5 * epsilon * std::abs(exact_tanh), "tanh(%g) is off by %g", double(x),
          double(tanh_error));
  }
}

template <class T>
void check_limits() {
  const T infinity = std::numeric_limits<T>::infinity();
  const T nan = std::numeric_limits<T>::quiet_NaN();
  CHECK(std::isnan(sigmoid(nan)) && std::isnan(vidpred::tanh(nan)), "NaN is lost");
  CHECK(sigmoid(infinity) == 1 && vidpred::tanh(infinity) == 1, "wrong at infinity");
  CHECK(sigmoid(-infinity) < T(1e-37) && vidpred::tanh(-infinity) == -1, "wrong at minus infinity");
  CHECK(sigmoid(T(1e30)) == 1 && sigmoid(T(-1e30)) < T(1e-37), "wrong far out");
  CHECK(sigmoid(T(0)) == T(0.5) && vidpred::tanh(T(0)) == 0, "wrong at zero");
  const T tiny = T(1e-30);
  CHECK(std::abs(vidpred::tanh(tiny) - tiny) <= 4 * std::numeric_limits<T>::epsilon() * tiny,
        "not x near zero");
}

int main() {
  check_values<float>();
  check_values<double>();
  check_limits<float>();
  check_limits<double>();
  return exit_status();
}
