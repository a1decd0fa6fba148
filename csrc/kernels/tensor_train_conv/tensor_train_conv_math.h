// What a link of the chain multiplies: the weight that each tap of its convolution has, forward and
// backward, for the CPU's packing and the CUDA blocks that load a core.
#pragma once

#include <cstdint>

#include "common/host_device.h"

namespace vidpred {

// A link V_{l+1} = S_{l+1} + core * V_l of seed 002, eq. 8-9, in Horner's form, is with p = (kernel - 1) / 2
//
//   out[o, y, x] = addend[o, y, x] + bias[o] + sum of w[o, i, ky, kx] in[i, y+ky-p, x+kx-p] over i, ky, kx
//
// Forward w is the core, (out, in, kernel, kernel). The gradient to V_l is again a link, without addend and
// bias, from the gradient to V_{l+1}, with the core transposed and flipped:
//
//   w[o, i, ky, kx] = core[i, o, kernel-1-ky, kernel-1-kx]
struct LinkTaps {
  int64_t in_channels, out_channels, kernel;
  bool transposed;  // the gradient's link

  VP_HOST_DEVICE int64_t count() const { return in_channels * out_channels * kernel * kernel; }

  // Where w[o, i, ky, kx] lies in the core as it is stored.
  VP_HOST_DEVICE int64_t at(int64_t o, int64_t i, int64_t ky, int64_t kx) const {
    return transposed ? ((i * out_channels + o) * kernel + (kernel - 1 - ky)) * kernel + (kernel - 1 - kx)
                      : ((o * in_channels + i) * kernel + ky) * kernel + kx;
  }
};

}  // namespace vidpred
