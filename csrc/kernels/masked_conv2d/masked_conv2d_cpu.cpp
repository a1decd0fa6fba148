#include <algorithm>
#include <cstring>
#include <utility>

#include "common/divide_up.h"
#include "kernels/masked_conv2d/masked_conv2d.h"

namespace vidpred {
namespace {

constexpr int64_t rows_per_band =
    8;  // some 100 us at the sizes of a VPN: much longer than it takes to hand out

constexpr int64_t rows_at_once = 2;  // of a band, whose sums are then fetched once for both

// Some neighbouring rows of a sample.
struct Band {
  int64_t sample, first_row, end_row;
};

struct Bands {
  const MaskedConvShape& shape;

  int64_t per_sample() const { return divide_up(shape.height, rows_per_band); }
  int64_t count() const { return shape.pixels() ? shape.batch * per_sample() : 0; }

  Band operator[](int64_t index) const {
    const int64_t row = index % per_sample() * rows_per_band;
    return {index / per_sample(), row, std::min(row + rows_per_band, shape.height)};
  }
};

// The gradient to the weights is summed up for so many groups of bands, which the shape alone decides.
int64_t groups_of(const MaskedConvShape& shape) {
  constexpr int64_t most_groups = 8;
  return std::min(Bands{shape}.count(), most_groups);
}

// A row of `shape.width` pixels with `centre` pixels of zeros on both sides.
int64_t padded_row(const MaskedPass& pass) {
  return (pass.shape.width + 2 * pass.shape.centre()) * pass.channels();
}

}  // namespace
}  // namespace vidpred

#define VP_LOOPS "kernels/masked_conv2d/masked_conv2d_cpu_loops.h"
#include "common/per_instruction_set.h"

namespace vidpred {

template <class T>
MaskedConvCpuWork masked_conv2d_cpu_work(InstructionSet set, const MaskedPass& pass) {
  const int64_t panel = VP_VERSION(set, panel_columns<T>)();
  const int64_t panels = divide_up(pass.group_columns(), panel);
  int64_t packed = 0;
  for (int64_t group = 0; group < pass.shape.colors; ++group) {
    packed += panels * panel * pass.depth(group);
  }
  // Rows of the input; for sums also a panel of some rows of the gradient, and the sums themselves.
  const int64_t rows = (rows_per_band + pass.shape.centre()) * padded_row(pass);
  const int64_t scratch = rows + rows_at_once * pass.shape.width * panel + packed;
  return {packed, pass.shape.colors * panels, Bands{pass.shape}.count(), scratch, groups_of(pass.shape)};
}

template <class T>
void masked_conv2d_pack_cpu(InstructionSet set, const MaskedPass& pass, const T* weight, T* packed,
                            int64_t begin, int64_t end) {
  for (int64_t task = begin; task < end; ++task) {
    VP_VERSION(set, pack<T>)(pass, weight, packed, task);
  }
}

template <class T>
void masked_conv2d_cpu(InstructionSet set, const MaskedPass& pass, const T* from, const T* packed,
                       const T* bias, T* to, T* scratch, int64_t begin, int64_t end) {
  const Bands bands{pass.shape};
  for (int64_t task = begin; task < end; ++task) {
    VP_VERSION(set, convolve<T>)(pass, from, packed, bias, to, scratch, bands[task]);
  }
}

template <class T>
void masked_conv2d_sums_cpu(InstructionSet set, const MaskedPass& pass, const T* x, const T* grad_y,
                            T* weight_sums, T* bias_sums, T* scratch, int64_t begin, int64_t end) {
  const Bands bands{pass.shape};
  const int64_t groups = groups_of(pass.shape);
  for (int64_t group = begin; group < end; ++group) {
    VP_VERSION(set, sum_up<T>)(pass, x, grad_y, weight_sums, bias_sums, scratch, bands, group, groups);
  }
}

#define VP_INSTANTIATE(T)                                                                                  \
  template MaskedConvCpuWork masked_conv2d_cpu_work<T>(InstructionSet, const MaskedPass&);                 \
  template void masked_conv2d_pack_cpu(InstructionSet, const MaskedPass&, const T*, T*, int64_t, int64_t); \
  template void masked_conv2d_cpu(InstructionSet, const MaskedPass&, const T*, const T*, const T*, T*, T*, \
                                  int64_t, int64_t);                                                       \
  template void masked_conv2d_sums_cpu(InstructionSet, const MaskedPass&, const T*, const T*, T*, T*, T*,  \
                                       int64_t, int64_t);
VP_INSTANTIATE(float)
VP_INSTANTIATE(double)
#undef VP_INSTANTIATE

}  // namespace vidpred
