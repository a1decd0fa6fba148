// The CPU's loops, compiled once for each instruction set (per_instruction_set.h).
//
// With channels side by side the live taps of a row of the kernel are one run of numbers, so that both
// convolutions and the gradient to the weights are matrix products over runs. In their inmost loops the sums
// of some pixels (or weights) for a panel of columns stay in the registers of the CPU. Results do not depend
// on how the work is cut: each sum runs over the elements, or over the pixels, in the same order.

constexpr int at_once = VP_VECTOR_BYTES == 64 ? 8 : 6;  // pixels, or elements of a run
constexpr int vectors_at_once = 2;                      // of columns

template <class A>
struct VectorOf {
  typedef A type __attribute__((vector_size(VP_VECTOR_BYTES), aligned(alignof(A)), may_alias));
};
template <class A>
using Vector = typename VectorOf<A>::type;
template <class A>
constexpr int64_t lanes = VP_VECTOR_BYTES / sizeof(A);

// Columns that are computed together; the last panel of a group is filled up with zeros.
template <class A>
int64_t panel_columns() {
  return vectors_at_once * lanes<A>;
}

// Where the packed weights of a group start: (panels, depth, panel_columns).
template <class A>
int64_t packed_before(const MaskedPass& pass, int64_t group) {
  const int64_t padded_columns = divide_up(pass.group_columns(), panel_columns<A>()) * panel_columns<A>();
  int64_t before = 0;
  for (int64_t g = 0; g < group; ++g) {
    before += padded_columns * pass.depth(g);
  }
  return before;
}

// Calls visit(weight's offset, packed offset within the panel) for the weights of a column.
template <class Visit>
void for_each_weight(const MaskedPass& pass, int64_t group, int64_t column, Visit visit) {
  const int64_t channels = pass.channels(), stride = pass.channel_stride();
  for (int64_t r = 0; r < pass.runs(); ++r) {
    const Run run = pass.run(group, r);
    const int64_t before = pass.depth_before(group, r);
    for (int64_t d = 0; d < run.depth;) {
      const WeightPlace place = pass.weight(run, d, column);
      const int64_t channel = pass.backward ? place.output : place.input;
      const int64_t end = std::min(run.depth, d + channels - channel);
      for (int64_t offset = place.offset(pass.shape); d < end; ++d, offset += stride) {
        visit(offset, before + d);
      }
    }
  }
}

template <class A>
void pack(const MaskedPass& pass, const A* weight, A* packed, int64_t task) {
  const int64_t width = panel_columns<A>(), columns = pass.group_columns();
  const int64_t panels = divide_up(columns, width), group = task / panels, first = task % panels * width;
  A* const panel = packed + packed_before<A>(pass, group) + first * pass.depth(group);
  for (int64_t n = 0; n < width; ++n) {
    if (first + n < columns) {
      for_each_weight(pass, group, group * columns + first + n,
                      [&](int64_t from, int64_t to) { panel[to * width + n] = weight[from]; });
    } else {
      for (int64_t d = 0; d < pass.depth(group); ++d) {
        panel[d * width + n] = 0;
      }
    }
  }
}

// Copies the rows that a band needs, with pixels of zeros around: those of the band and `centre` more, above
// it, or below in the backward pass. Row `first` of the result is `padded[0]`.
template <class A>
int64_t copy_rows(const MaskedPass& pass, const A* from, const Band& band, A* padded) {
  const MaskedConvShape& shape = pass.shape;
  const int64_t first = band.first_row - (pass.backward ? 0 : shape.centre());
  const int64_t end = band.end_row + (pass.backward ? shape.centre() : 0);
  const int64_t margin = shape.centre() * pass.channels(), inner = shape.width * pass.channels();
  for (int64_t y = first; y < end; ++y, padded += padded_row(pass)) {
    if (y < 0 || y >= shape.height) {
      std::fill_n(padded, padded_row(pass), A(0));
      continue;
    }
    std::fill_n(padded, margin, A(0));
    std::memcpy(padded + margin, from + (band.sample * shape.height + y) * inner, inner * sizeof(A));
    std::fill_n(padded + margin + inner, margin, A(0));
  }
  return first;
}

// Adds to sums[i], for i < count: a[i * stride_of_a] * b, term by term, where a moves on by `step_of_a` and b
// by `step_of_b`.
template <int count, class A>
VP_HOST_DEVICE void add_products(const A* a, int64_t stride_of_a, int64_t step_of_a, const A* b,
                                 int64_t step_of_b, int64_t terms,
                                 Vector<A> (&sums)[count][vectors_at_once]) {
  for (int64_t n = 0; n < terms; ++n, a += step_of_a, b += step_of_b) {
    const Vector<A> columns[vectors_at_once] = {reinterpret_cast<const Vector<A>*>(b)[0],
                                                reinterpret_cast<const Vector<A>*>(b)[1]};
#pragma GCC unroll 16
    for (int i = 0; i < count; ++i) {
      const A factor = a[i * stride_of_a];
      for (int v = 0; v < vectors_at_once; ++v) {
        sums[i][v] += factor * columns[v];
      }
    }
  }
}

// `pixels` neighbouring pixels of a row, from the one whose left margin `from` points to.
template <int pixels, class A>
void convolve_pixels(const MaskedPass& pass, int64_t group, const A* from, int64_t row_stride,
                     const A* packed, const A* bias, A* results) {
  const int64_t margin = pass.shape.centre() * pass.channels();
  Vector<A> sums[pixels][vectors_at_once];
#pragma GCC unroll 16
  for (int p = 0; p < pixels; ++p) {
    for (int v = 0; v < vectors_at_once; ++v) {
      sums[p][v] = reinterpret_cast<const Vector<A>*>(bias)[v];
    }
  }
  for (int64_t r = 0; r < pass.runs(); ++r) {
    const Run run = pass.run(group, r);
    add_products(from + run.row * row_stride + margin + run.start, pass.channels(), 1, packed,
                 panel_columns<A>(), run.depth, sums);
    packed += run.depth * panel_columns<A>();
  }
#pragma GCC unroll 16
  for (int p = 0; p < pixels; ++p) {
    for (int v = 0; v < vectors_at_once; ++v) {
      reinterpret_cast<Vector<A>*>(results + p * panel_columns<A>())[v] = sums[p][v];
    }
  }
}

template <class A>
using ConvolvePixels = void (*)(const MaskedPass&, int64_t, const A*, int64_t, const A*, const A*, A*);

template <class A, int... less_one>
ConvolvePixels<A> convolve_pixels_for(int64_t pixels, std::integer_sequence<int, less_one...>) {
  constexpr ConvolvePixels<A> versions[] = {convolve_pixels<less_one + 1, A>...};
  return versions[pixels - 1];
}

template <class A>
void convolve(const MaskedPass& pass, const A* from, const A* packed, const A* bias, A* to, A* padded,
              const Band& band) {
  const int64_t width = panel_columns<A>(), columns = pass.group_columns(), row_stride = padded_row(pass);
  const int64_t first_row = copy_rows(pass, from, band, padded);
  A panel_bias[vectors_at_once * lanes<A>];
  A results[at_once * vectors_at_once * lanes<A>];
  for (int64_t y = band.first_row; y < band.end_row; ++y) {
    const A* const row = padded + (y - first_row) * row_stride;
    A* const to_row = to + (band.sample * pass.shape.height + y) * pass.shape.width * pass.columns();
    for (int64_t group = 0; group < pass.shape.colors; ++group) {
      const A* panel = packed + packed_before<A>(pass, group);
      for (int64_t first = 0; first < columns; first += width, panel += width * pass.depth(group)) {
        const int64_t column = group * columns + first, count = std::min(width, columns - first);
        for (int64_t n = 0; n < width; ++n) {
          panel_bias[n] = bias && n < count ? bias[column + n] : A(0);
        }
        for (int64_t x = 0; x < pass.shape.width; x += at_once) {
          const int64_t pixels = std::min<int64_t>(at_once, pass.shape.width - x);
          const auto run = convolve_pixels_for<A>(pixels, std::make_integer_sequence<int, at_once>());
          run(pass, group, row + x * pass.channels(), row_stride, panel, panel_bias, results);
          for (int64_t p = 0; p < pixels; ++p) {
            std::memcpy(to_row + (x + p) * pass.columns() + column, results + p * width, count * sizeof(A));
          }
        }
      }
    }
  }
}

// Adds what `rows` rows of pixels contribute to the gradients of `elements` weights for a panel of columns.
template <int elements, class A>
void sum_elements(const A* inputs, int64_t row_stride, int64_t channels, const A* grad, int64_t rows,
                  int64_t pixels, A* totals) {
  Vector<A> sums[elements][vectors_at_once];
#pragma GCC unroll 16
  for (int d = 0; d < elements; ++d) {
    for (int v = 0; v < vectors_at_once; ++v) {
      sums[d][v] = reinterpret_cast<const Vector<A>*>(totals + d * panel_columns<A>())[v];
    }
  }
  for (int64_t row = 0; row < rows; ++row) {
    add_products(inputs + row * row_stride, 1, channels, grad + row * pixels * panel_columns<A>(),
                 panel_columns<A>(), pixels, sums);
  }
#pragma GCC unroll 16
  for (int d = 0; d < elements; ++d) {
    for (int v = 0; v < vectors_at_once; ++v) {
      reinterpret_cast<Vector<A>*>(totals + d * panel_columns<A>())[v] = sums[d][v];
    }
  }
}

template <class A>
using SumElements = void (*)(const A*, int64_t, int64_t, const A*, int64_t, int64_t, A*);

template <class A, int... less_one>
SumElements<A> sum_elements_for(int64_t elements, std::integer_sequence<int, less_one...>) {
  constexpr SumElements<A> versions[] = {sum_elements<less_one + 1, A>...};
  return versions[elements - 1];
}

// The gradients that the rows of a band contribute, added to `totals`, which are in the order of the packed
// weights, and to `bias_totals` unless that is null.
template <class A>
void sum_band(const MaskedPass& pass, const A* x, const A* grad_y, const Band& band, A* padded, A* grad_panel,
              A* totals, A* bias_totals) {
  const int64_t width = panel_columns<A>(), columns = pass.group_columns(), pixels = pass.shape.width;
  const int64_t row_stride = padded_row(pass), margin = pass.shape.centre() * pass.channels();
  const int64_t first_row = copy_rows(pass, x, band, padded);
  for (int64_t y = band.first_row; y < band.end_row; y += rows_at_once) {
    const int64_t rows = std::min(rows_at_once, band.end_row - y);
    const A* const row = padded + (y - first_row) * row_stride + margin;
    const A* const grad_row = grad_y + (band.sample * pass.shape.height + y) * pixels * pass.columns();
    for (int64_t group = 0; group < pass.shape.colors; ++group) {
      A* panel = totals + packed_before<A>(pass, group);
      for (int64_t first = 0; first < columns; first += width) {
        const int64_t column = group * columns + first, count = std::min(width, columns - first);
        for (int64_t p = 0; p < rows * pixels; ++p) {
          for (int64_t n = 0; n < width; ++n) {
            grad_panel[p * width + n] = n < count ? grad_row[p * pass.columns() + column + n] : A(0);
          }
        }
        for (int64_t p = 0; bias_totals && p < rows * pixels; ++p) {
          for (int64_t n = 0; n < count; ++n) {
            bias_totals[column + n] += grad_panel[p * width + n];
          }
        }
        for (int64_t r = 0; r < pass.runs(); ++r) {
          const Run run = pass.run(group, r);
          const A* const from = row + run.row * row_stride + run.start;
          for (int64_t d = 0; d < run.depth; d += at_once) {
            const int64_t elements = std::min<int64_t>(at_once, run.depth - d);
            sum_elements_for<A>(elements, std::make_integer_sequence<int, at_once>())(
                from + d, row_stride, pass.channels(), grad_panel, rows, pixels, panel + d * width);
          }
          panel += run.depth * width;
        }
      }
    }
  }
}

template <class A>
void sum_up(const MaskedPass& pass, const A* x, const A* grad_y, A* weight_sums, A* bias_sums, A* scratch,
            const Bands& bands, int64_t group_of_bands, int64_t groups) {
  const MaskedConvShape& shape = pass.shape;
  const int64_t width = panel_columns<A>(), columns = pass.group_columns();
  const int64_t weights = shape.c_out * shape.c_in * shape.size * shape.size;
  A* const padded = scratch;
  A* const grad_panel = padded + (rows_per_band + shape.centre()) * padded_row(pass);
  A* const totals = grad_panel + rows_at_once * shape.width * width;
  A* const bias_totals = bias_sums ? bias_sums + group_of_bands * shape.c_out : nullptr;
  std::fill_n(totals, packed_before<A>(pass, shape.colors), A(0));
  if (bias_totals) {
    std::fill_n(bias_totals, shape.c_out, A(0));
  }
  const int64_t first = bands.count() * group_of_bands / groups;
  const int64_t end = bands.count() * (group_of_bands + 1) / groups;
  for (int64_t band = first; band < end; ++band) {
    sum_band(pass, x, grad_y, bands[band], padded, grad_panel, totals, bias_totals);
  }
  A* const unpacked = weight_sums + group_of_bands * weights;
  std::fill_n(unpacked, weights, A(0));
  for (int64_t column = 0; column < pass.columns(); ++column) {
    const int64_t group = column / columns, n = column % columns, depth = pass.depth(group);
    const A* const panel = totals + packed_before<A>(pass, group) + n / width * width * depth;
    for_each_weight(pass, group, column,
                    [&](int64_t to, int64_t from) { unpacked[to] = panel[from * width + n % width]; });
  }
}
