#include <algorithm>
#include <cstring>
#include <type_traits>

#include "common/divide_up.h"
#include "kernels/tensor_train_conv/tensor_train_conv.h"

namespace vidpred {
namespace {

constexpr int64_t channels_per_block = 4;  // that a loop computes at once
constexpr int64_t most_lanes = 16;         // of a vector: 64 bytes of floats

// Images cut into bands of rows.
class Bands {
 public:
  Bands(const ImageSize& size, int64_t rows)
      : size_(size), rows_(std::min(rows, std::max<int64_t>(size.height, 1))) {}

  int64_t count() const { return size_.empty() ? 0 : size_.batch * per_image(); }
  int64_t rows() const { return rows_; }

  int64_t image(int64_t index) const { return index / per_image(); }
  int64_t first_row(int64_t index) const { return index % per_image() * rows_; }
  int64_t end_row(int64_t index) const { return std::min(first_row(index) + rows_, size_.height); }

 private:
  int64_t per_image() const { return divide_up(size_.height, rows_); }

  const ImageSize& size_;
  int64_t rows_;
};

Bands link_bands(const ImageSize& size) { return {size, 16}; }
Bands gradient_bands(const ImageSize& size) { return {size, 32}; }

// A band of an image in scratch memory, channel by channel, with `margin` rows and columns around it and
// room for whole vectors at the end of a row.
struct Tile {
  Tile(const ImageSize& size, int64_t rows, int64_t margin)
      : margin(margin),
        pitch(divide_up(divide_up(size.width, most_lanes) * most_lanes + 2 * margin, most_lanes) *
              most_lanes),
        channel_pitch((rows + 2 * margin) * pitch) {}

  int64_t margin, pitch, channel_pitch;
};

// For a band of what a link takes, and one of what it gives.
int64_t scratch_size(const ImageSize& size, const LinkTaps& taps, const Bands& bands) {
  return taps.in_channels * Tile(size, bands.rows(), taps.kernel / 2).channel_pitch +
         taps.out_channels * Tile(size, bands.rows(), 0).channel_pitch;
}

}  // namespace
}  // namespace vidpred

#define VP_LOOPS "kernels/tensor_train_conv/tensor_train_conv_cpu_loops.h"
#include "common/per_instruction_set.h"

namespace vidpred {

int64_t packed_core_size(const LinkTaps& taps) {
  return divide_up(taps.out_channels, channels_per_block) * channels_per_block * taps.in_channels *
         taps.kernel * taps.kernel;
}

template <class T>
void pack_core(const LinkTaps& taps, const T* core, accumulate_t<T>* packed) {
  for (int64_t block = 0; block < taps.out_channels; block += channels_per_block) {
    for (int64_t i = 0; i < taps.in_channels; ++i) {
      for (int64_t ky = 0; ky < taps.kernel; ++ky) {
        for (int64_t kx = 0; kx < taps.kernel; ++kx) {
          for (int64_t o = block; o < block + channels_per_block; ++o) {
            *packed++ = o < taps.out_channels ? widen(core[taps.at(o, i, ky, kx)]) : 0;
          }
        }
      }
    }
  }
}

int64_t link_cpu_tasks(const ImageSize& size) { return link_bands(size).count(); }

int64_t link_cpu_scratch(const ImageSize& size, const LinkTaps& taps) {
  return scratch_size(size, taps, link_bands(size));
}

template <class T>
void link_cpu(InstructionSet set, const ImageSize& size, const LinkTaps& taps, const Link<T>& link,
              accumulate_t<T>* scratch, int64_t begin, int64_t end) {
  const auto task_function = VP_VERSION(set, compute_link<T>);
  const Bands bands = link_bands(size);
  for (int64_t index = begin; index < end; ++index) {
    task_function(size, taps, link, bands, index, scratch);
  }
}

int64_t core_gradient_cpu_groups(const ImageSize& size) { return gradient_bands(size).count(); }

int64_t core_gradient_cpu_scratch(const ImageSize& size, const LinkTaps& taps) {
  return scratch_size(size, taps, gradient_bands(size));
}

template <class T>
void core_gradient_cpu(InstructionSet set, const ImageSize& size, const LinkTaps& taps,
                       const CoreGradient<T>& gradient, accumulate_t<T>* scratch, int64_t begin,
                       int64_t end) {
  const auto task_function = VP_VERSION(set, compute_core_gradient<T>);
  const Bands bands = gradient_bands(size);
  for (int64_t index = begin; index < end; ++index) {
    task_function(size, taps, gradient, bands, index, scratch);
  }
}

#define VP_INSTANTIATE(T)                                                                                    \
  template void pack_core(const LinkTaps&, const T*, accumulate_t<T>*);                                      \
  template void link_cpu(InstructionSet, const ImageSize&, const LinkTaps&, const Link<T>&,                  \
                         accumulate_t<T>*, int64_t, int64_t);                                                \
  template void core_gradient_cpu(InstructionSet, const ImageSize&, const LinkTaps&, const CoreGradient<T>&, \
                                  accumulate_t<T>*, int64_t, int64_t);
VP_INSTANTIATE(float)
VP_INSTANTIATE(double)
VP_INSTANTIATE(float16)
VP_INSTANTIATE(bfloat16)
#undef VP_INSTANTIATE

}  // namespace vidpred
