// The CPU's loops, compiled once for each instruction set (per_instruction_set.h).
//
// A vector holds neighbouring pixels of a row, so contiguous images are convolved as they lie. Some vectors
// of sums for several channels stay in registers while all taps are added; every tap loads its pixels once
// and its weights once. The pixels come from a copy of a band of the image, with zeros around it, in the
// second-level cache: there the loops need not know where the image ends.

constexpr int vector_bytes = VP_VECTOR_BYTES;
constexpr bool many_registers = vector_bytes == 64;      // 32 rather than 16
constexpr int vectors_at_once = many_registers ? 4 : 2;  // times channels_per_block
// Of the gradient to a core: channels times neighbouring taps in a row of the kernel.
constexpr int gradient_channels = 4;
constexpr int gradient_taps = many_registers ? 5 : 3;

template <class A>
struct VectorOf {
  typedef A type __attribute__((vector_size(vector_bytes)));
  static constexpr int lanes = vector_bytes / sizeof(A);
};
template <class A>
using Vector = typename VectorOf<A>::type;

template <class A>
VP_HOST_DEVICE Vector<A> load(const A* from) {
  Vector<A> vector;
  memcpy(&vector, from, sizeof(vector));
  return vector;
}

template <class A>
VP_HOST_DEVICE void store(const Vector<A>& vector, A* to) {
  memcpy(to, &vector, sizeof(vector));
}

template <class T, class A>
void read_pixels(const T* from, int64_t stride, int64_t count, A* to) {
  if (stride == 1) {
    for (int64_t x = 0; x < count; ++x) {
      to[x] = widen(from[x]);
    }
  } else {
    for (int64_t x = 0; x < count; ++x) {
      to[x] = widen(from[x * stride]);
    }
  }
}

template <class T, class A>
void write_pixels(const A* from, int64_t stride, int64_t count, T* to) {
  if (stride == 1) {
    for (int64_t x = 0; x < count; ++x) {
      to[x] = narrow<T>(from[x]);
    }
  } else {
    for (int64_t x = 0; x < count; ++x) {
      to[x * stride] = narrow<T>(from[x]);
    }
  }
}

// Copies rows [first_row, end_row) of an image, and the margin around them, of zeros outside the image.
template <class T, class A>
void copy_band(const ImageSize& size, const Planes<const T>& planes, int64_t channels, int64_t image,
               int64_t first_row, int64_t end_row, const Tile& tile, A* scratch) {
  for (int64_t channel = 0; channel < channels; ++channel) {
    A* row = scratch + channel * tile.channel_pitch;
    for (int64_t y = first_row - tile.margin; y < end_row + tile.margin; ++y, row += tile.pitch) {
      if (y < 0 || y >= size.height || !planes.data) {
        std::fill(row, row + tile.pitch, A(0));
        continue;
      }
      std::fill(row, row + tile.margin, A(0));
      read_pixels(planes.row(image, channel, y * size.width), planes.pixel_stride, size.width,
                  row + tile.margin);
      std::fill(row + tile.margin + size.width, row + tile.pitch, A(0));
    }
  }
}

// A band without a margin: its rows in the image itself where they are whole vectors of what is added up,
// else a copy in scratch memory.
template <class A>
struct Place {
  A* data;
  int64_t pitch, channel_pitch;
};

template <class T, class A>
bool is_in_place(const ImageSize& size, const Planes<T>& planes) {
  return std::is_same<std::remove_const_t<T>, A>::value && planes.data && planes.pixel_stride == 1 &&
         size.width % VectorOf<A>::lanes == 0;
}

template <class T, class A>
Place<const A> place_of(const ImageSize& size, const Planes<const T>& planes, int64_t channels, int64_t image,
                        int64_t first_row, int64_t end_row, const Tile& tile, A* scratch) {
  if constexpr (std::is_same<T, A>::value) {
    if (is_in_place<const T, A>(size, planes)) {
      return {planes.row(image, 0, first_row * size.width), size.width, planes.channel_stride};
    }
  }
  copy_band(size, planes, channels, image, first_row, end_row, tile, scratch);
  return {scratch, tile.pitch, tile.channel_pitch};
}

// Adds all taps to the sums of a block of channels; the pixels of vector v begin at from[v].
template <class A>
VP_HOST_DEVICE void add_taps(const LinkTaps& taps, const Tile& tile, const A* const (&from)[vectors_at_once],
                             const A* weights, Vector<A> (&sums)[channels_per_block][vectors_at_once]) {
  for (int64_t i = 0; i < taps.in_channels; ++i) {
    for (int64_t ky = 0; ky < taps.kernel; ++ky) {
      const int64_t offset = i * tile.channel_pitch + ky * tile.pitch;
      for (int64_t kx = 0; kx < taps.kernel; ++kx, weights += channels_per_block) {
        Vector<A> pixels[vectors_at_once];
#pragma GCC unroll 4
        for (int v = 0; v < vectors_at_once; ++v) {
          pixels[v] = load(from[v] + offset + kx);
        }
#pragma GCC unroll 4
        for (int o = 0; o < channels_per_block; ++o) {
#pragma GCC unroll 4
          for (int v = 0; v < vectors_at_once; ++v) {
            sums[o][v] += weights[o] * pixels[v];
          }
        }
      }
    }
  }
}

template <class T>
void compute_link(const ImageSize& size, const LinkTaps& taps, const Link<T>& link, const Bands& bands,
                  int64_t band, accumulate_t<T>* scratch) {
  using A = accumulate_t<T>;
  constexpr int64_t lanes = VectorOf<A>::lanes;
  const int64_t image = bands.image(band), first_row = bands.first_row(band), end_row = bands.end_row(band);
  const Tile tile(size, bands.rows(), taps.kernel / 2), out_tile(size, bands.rows(), 0);
  copy_band(size, link.in, taps.in_channels, image, first_row, end_row, tile, scratch);
  Place<A> out = {scratch + taps.in_channels * tile.channel_pitch, out_tile.pitch, out_tile.channel_pitch};
  const Place<const A> addend =
      place_of(size, link.addend, taps.out_channels, image, first_row, end_row, out_tile, out.data);
  const bool in_place = is_in_place<T, A>(size, link.out);
  if constexpr (std::is_same<T, A>::value) {
    if (in_place) {
      out = {link.out.row(image, 0, first_row * size.width), size.width, link.out.channel_stride};
    }
  }

  const int64_t per_row = divide_up(size.width, lanes);
  const int64_t last = (end_row - first_row) * per_row - 1;
  const int64_t weights_per_block = channels_per_block * taps.in_channels * taps.kernel * taps.kernel;
  for (int64_t index = 0; index <= last; index += vectors_at_once) {
    const A* from[vectors_at_once];
    const A* addend_at[vectors_at_once];
    A* to[vectors_at_once];
    for (int v = 0; v < vectors_at_once; ++v) {
      const int64_t vector = std::min(index + v, last);  // what is missing at the end is computed twice
      const int64_t row = vector / per_row, column = vector % per_row * lanes;
      from[v] = scratch + row * tile.pitch + column;
      addend_at[v] = addend.data + row * addend.pitch + column;
      to[v] = out.data + row * out.pitch + column;
    }
    for (int64_t block = 0; block < taps.out_channels; block += channels_per_block) {
      Vector<A> sums[channels_per_block][vectors_at_once];
#pragma GCC unroll 4
      for (int o = 0; o < channels_per_block; ++o) {
        const int64_t channel = std::min(block + o, taps.out_channels - 1);
        const A bias = link.bias ? widen(link.bias[channel]) : A(0);
#pragma GCC unroll 4
        for (int v = 0; v < vectors_at_once; ++v) {
          sums[o][v] = load(addend_at[v] + channel * addend.channel_pitch) + bias;
        }
      }
      add_taps(taps, tile, from, link.weights + block / channels_per_block * weights_per_block, sums);
#pragma GCC unroll 4
      for (int o = 0; o < channels_per_block; ++o) {
        if (block + o < taps.out_channels) {
#pragma GCC unroll 4
          for (int v = 0; v < vectors_at_once; ++v) {
            store(sums[o][v], to[v] + (block + o) * out.channel_pitch);
          }
        }
      }
    }
  }

  for (int64_t channel = 0; channel < taps.out_channels && !in_place; ++channel) {
    const A* row = out.data + channel * out_tile.channel_pitch;
    for (int64_t y = first_row; y < end_row; ++y, row += out_tile.pitch) {
      write_pixels(row, link.out.pixel_stride, size.width, link.out.row(image, channel, y * size.width));
    }
  }
}

template <class A>
A sum_of(const Vector<A>& vector) {
  constexpr int lanes = VectorOf<A>::lanes;
  A parts[lanes];
  store(vector, parts);
#pragma GCC unroll 4
  for (int half = lanes / 2; half > 0; half /= 2) {  // by halves: one after the other takes far longer
#pragma GCC unroll 8
    for (int lane = 0; lane < half; ++lane) {
      parts[lane] += parts[lane + half];
    }
  }
  return parts[0];
}

// Adds gradient times pixel, of a vector of pixels, or where `part` of its first `count`: beyond them the
// gradient is zero, but a pixel that is not finite would make more of it.
template <int channels, int taps, bool part, class A>
VP_HOST_DEVICE void add_products(const A* grad_out, int64_t grad_channel_pitch, const A* pixels,
                                 int64_t count, Vector<A> (&sums)[channels][taps]) {
  Vector<A> given[channels];
#pragma GCC unroll 4
  for (int o = 0; o < channels; ++o) {
    given[o] = load(grad_out + o * grad_channel_pitch);
  }
#pragma GCC unroll 8
  for (int k = 0; k < taps; ++k) {
    Vector<A> values = load(pixels + k);
    for (int64_t lane = count; part && lane < VectorOf<A>::lanes; ++lane) {
      values[lane] = 0;
    }
#pragma GCC unroll 4
    for (int o = 0; o < channels; ++o) {
      sums[o][k] += given[o] * values;
    }
  }
}

// The sums of gradient times pixel over a band, for `channels` neighbouring output channels and `taps`
// neighbouring taps of one row of the kernel for one input channel.
template <int channels, int taps, class A>
void sum_products(const ImageSize& size, int64_t rows, const Place<const A>& grad_out, const A* pixels,
                  const Tile& tile, A* core_sums, int64_t core_stride) {
  constexpr int64_t lanes = VectorOf<A>::lanes;
  Vector<A> sums[channels][taps] = {};
  const int64_t whole = size.width / lanes * lanes;
  for (int64_t y = 0; y < rows; ++y) {
    const A* const gradient = grad_out.data + y * grad_out.pitch;
    const A* const from = pixels + y * tile.pitch;
    for (int64_t x = 0; x < whole; x += lanes) {
      add_products<channels, taps, false>(gradient + x, grad_out.channel_pitch, from + x, lanes, sums);
    }
    if (whole < size.width) {
      add_products<channels, taps, true>(gradient + whole, grad_out.channel_pitch, from + whole,
                                         size.width - whole, sums);
    }
  }
  for (int o = 0; o < channels; ++o) {
    for (int k = 0; k < taps; ++k) {
      core_sums[o * core_stride + k] = sum_of<A>(sums[o][k]);
    }
  }
}

// The same for the taps of a row of the kernel from `first` on, `taps` at a time while there are so many.
template <int channels, int taps, class A>
void sum_row_products(int64_t first, int64_t kernel, const ImageSize& size, int64_t rows,
                      const Place<const A>& grad_out, const A* pixels, const Tile& tile, A* core_sums,
                      int64_t core_stride) {
  for (; first + taps <= kernel; first += taps) {
    sum_products<channels, taps>(size, rows, grad_out, pixels + first, tile, core_sums + first, core_stride);
  }
  if constexpr (taps > 1) {
    sum_row_products<channels, taps - 1>(first, kernel, size, rows, grad_out, pixels, tile, core_sums,
                                         core_stride);
  }
}

template <class T>
void compute_core_gradient(const ImageSize& size, const LinkTaps& taps, const CoreGradient<T>& gradient,
                           const Bands& bands, int64_t band, accumulate_t<T>* scratch) {
  using A = accumulate_t<T>;
  const int64_t image = bands.image(band), first_row = bands.first_row(band), end_row = bands.end_row(band);
  const int64_t rows = end_row - first_row;
  const Tile tile(size, bands.rows(), taps.kernel / 2), grad_tile(size, bands.rows(), 0);
  A* const pixels = scratch;
  copy_band(size, gradient.in, taps.in_channels, image, first_row, end_row, tile, pixels);
  const Place<const A> grad_out =
      place_of(size, gradient.grad_out, taps.out_channels, image, first_row, end_row, grad_tile,
               scratch + taps.in_channels * tile.channel_pitch);

  const int64_t core_stride = taps.in_channels * taps.kernel * taps.kernel;
  A* const core_sums = gradient.core_sums + band * taps.count();
  for (int64_t o = 0; o < taps.out_channels;) {
    const bool several = o + gradient_channels <= taps.out_channels;
    const auto row_function = several ? sum_row_products<gradient_channels, gradient_taps, A>
                                      : sum_row_products<1, gradient_taps, A>;
    const Place<const A> of_channels = {grad_out.data + o * grad_out.channel_pitch, grad_out.pitch,
                                        grad_out.channel_pitch};
    for (int64_t i = 0; i < taps.in_channels; ++i) {
      for (int64_t ky = 0; ky < taps.kernel; ++ky) {
        row_function(0, taps.kernel, size, rows, of_channels,
                     pixels + i * tile.channel_pitch + ky * tile.pitch, tile,
                     core_sums + o * core_stride + (i * taps.kernel + ky) * taps.kernel, core_stride);
      }
    }
    o += several ? gradient_channels : 1;
  }
  for (int64_t o = 0; o < taps.out_channels && gradient.bias_sums; ++o) {
    Vector<A> sums = {};
    for (int64_t y = 0; y < rows; ++y) {
      for (int64_t x = 0; x < size.width; x += VectorOf<A>::lanes) {
        sums += load(grad_out.data + o * grad_out.channel_pitch + y * grad_out.pitch + x);
      }
    }
    gradient.bias_sums[band * taps.out_channels + o] = sum_of<A>(sums);
  }
}
