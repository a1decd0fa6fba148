// How many pieces of size b cover a.
#pragma once

#include <cstdint>

#include "common/host_device.h"

namespace vidpred {

constexpr VP_HOST_DEVICE int64_t divide_up(int64_t a, int64_t b) { return (a + b - 1) / b; }

}  // namespace vidpred
