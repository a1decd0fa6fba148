// The formulas of one pixel, seed 001, eq. 3.3 and 3.5, and their derivatives: for the CPU's loop and the
// CUDA thread.
#pragma once

#include <cmath>

#include "common/host_device.h"
#include "kernels/flow_warp/flow_warp.h"

namespace vidpred {

// Where a coordinate falls between two neighbouring pixels, `first` and `first + 1`.
template <class A>
struct Between {
  int32_t first;
  A fraction;
  A slope;  // the derivative of the coordinate that is used to the one that was given: 1, or 0 at a border
};

// Outside the image both neighbours are outside too, or the border is meant. Not-a-number stays one, in the
// fraction; infinity is far outside.
template <FlowPadding padding, class A>
VP_HOST_DEVICE Between<A> between(A coordinate, int32_t size) {
  const A least = padding == FlowPadding::zeros ? -2 : 0;
  const A most = padding == FlowPadding::zeros ? size : size - 1;
  A used = coordinate < least ? least : coordinate;
  used = used > most ? most : used;
  const A number = used == used ? used : least;
  const A below = floor(number);
  const bool moves = (padding == FlowPadding::zeros) | !((coordinate <= least) | (coordinate >= most));
  return {int32_t(below), used - below, A(moves)};
}

// The four pixels around a point, their weights, and what the derivatives need besides.
template <class A>
struct Corners {
  int32_t pixel[4];  // above left, above right, below left, below right, in the image; -1 outside
  A weight[4];
  Between<A> x, y;
};

template <class A>
VP_HOST_DEVICE Corners<A> corners_between(const Between<A>& x, const Between<A>& y, int32_t width,
                                          int32_t height) {
  const auto pixel = [&](int32_t v, int32_t u) {
    // One comparison finds what is below zero too; & instead of && lets the compiler vectorise.
    const bool inside = (uint32_t(v) < uint32_t(height)) & (uint32_t(u) < uint32_t(width));
    return inside ? v * width + u : -1;
  };
  const A right = x.fraction, below = y.fraction;
  return {{pixel(y.first, x.first), pixel(y.first, x.first + 1), pixel(y.first + 1, x.first),
           pixel(y.first + 1, x.first + 1)},
          {(1 - right) * (1 - below), right * (1 - below), (1 - right) * below, right * below},
          x,
          y};
}

// Eq. 3.5: the value between four values.
template <class A>
VP_HOST_DEVICE A interpolate(const A (&weight)[4], const A (&value)[4]) {
  return weight[0] * value[0] + weight[1] * value[1] + weight[2] * value[2] + weight[3] * value[3];
}

// Its derivatives along x and y, where `right` and `below` are the fractions. At a pixel itself they are
// those towards larger coordinates.
template <class A>
VP_HOST_DEVICE A slope_along_x(A below, const A (&value)[4]) {
  return (value[1] - value[0]) * (1 - below) + (value[3] - value[2]) * below;
}

template <class A>
VP_HOST_DEVICE A slope_along_y(A right, const A (&value)[4]) {
  return (value[2] - value[0]) * (1 - right) + (value[3] - value[1]) * right;
}

}  // namespace vidpred
