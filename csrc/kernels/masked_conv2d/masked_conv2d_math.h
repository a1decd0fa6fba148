// Which taps of a masked convolution are live, as runs of memory (seed 001, eq. 3.11, 3.12).
//
// In channels-last memory all channels of neighbouring pixels follow one another, so that the live taps of
// one row of the kernel are one run of elements, and with them the channels that the centre tap lets
// through. Seen from a pixel, with k the middle of the kernel and c the channels:
//
//   forward:          k runs of (2k + 1) c elements from the rows above, then one of k c elements and the
//                     first few of the pixel itself, from its own row
//   input gradient:   the mirror image: the last few of the pixel itself and k c elements, then k runs of
//                     (2k + 1) c elements from the rows below
//
// Runs of all groups of columns (`colors`) differ in that one number of channels alone. A convolution is a
// matrix product over the elements of all runs, its depth, and no masked weight occurs in it.
#pragma once

#include <cstdint>

#include "common/host_device.h"

namespace vidpred {

struct MaskedConvShape {
  int64_t batch, c_in, c_out, height, width;
  int64_t size;      // of the kernel, odd
  bool sees_centre;  // mask B
  int64_t colors;    // groups of channels, a divisor of c_in and c_out

  VP_HOST_DEVICE int64_t centre() const { return size / 2; }
  VP_HOST_DEVICE int64_t pixels() const { return height * width; }
};

// Elements from `start` on, counted from the pixel's own first channel, in the row `row` below the pixel's.
struct Run {
  int64_t row, start, depth;
};

// Where a weight lies in the kernel of size (c_out, c_in, size, size).
struct WeightPlace {
  int64_t output, input, row, column;

  VP_HOST_DEVICE int64_t offset(const MaskedConvShape& shape) const {
    return ((output * shape.c_in + input) * shape.size + row) * shape.size + column;
  }
};

// One of the two convolutions: forward reads x and writes y, the other reads y's gradient and writes x's.
// Its columns are the channels that it writes, its channels those that it reads.
struct MaskedPass {
  MaskedConvShape shape;
  bool backward;

  VP_HOST_DEVICE int64_t channels() const { return backward ? shape.c_out : shape.c_in; }
  VP_HOST_DEVICE int64_t columns() const { return backward ? shape.c_in : shape.c_out; }
  VP_HOST_DEVICE int64_t group_columns() const { return columns() / shape.colors; }
  // How far apart the weights of neighbouring channels are.
  VP_HOST_DEVICE int64_t channel_stride() const {
    return (backward ? shape.c_in : 1) * shape.size * shape.size;
  }
  VP_HOST_DEVICE int64_t runs() const { return shape.centre() + 1; }

  VP_HOST_DEVICE Run run(int64_t group, int64_t number) const {
    const int64_t c = channels(), k = shape.centre(), full = shape.size * c;
    if (backward) {
      const int64_t first = (group + (shape.sees_centre ? 0 : 1)) * (c / shape.colors);
      return number == 0 ? Run{0, first, c - first + k * c} : Run{number, -k * c, full};
    }
    const int64_t visible = (group + (shape.sees_centre ? 1 : 0)) * (c / shape.colors);
    return number == k ? Run{0, -k * c, k * c + visible} : Run{number - k, -k * c, full};
  }

  // Where run `number` begins among the elements of all runs of a group.
  VP_HOST_DEVICE int64_t depth_before(int64_t group, int64_t number) const {
    const int64_t full = shape.size * channels();
    return backward && number > 0 ? run(group, 0).depth + (number - 1) * full : number * full;
  }

  VP_HOST_DEVICE int64_t depth(int64_t group) const { return depth_before(group, runs() - 1) + last(group); }

  // The weight that element `d` of a run is multiplied by for a column.
  VP_HOST_DEVICE WeightPlace weight(const Run& run, int64_t d, int64_t column) const {
    const int64_t c = channels(), k = shape.centre();
    const int64_t along = run.start + d + k * c;  // from the left end of the kernel
    const int64_t channel = along % c, tap = along / c;
    return backward ? WeightPlace{channel, column, k - run.row, 2 * k - tap}
                    : WeightPlace{column, channel, k + run.row, tap};
  }

 private:
  VP_HOST_DEVICE int64_t last(int64_t group) const { return run(group, runs() - 1).depth; }
};

}  // namespace vidpred
