// The input gradient of a convolution with few input channels, the first one of a network. As a product over windows of
// dy its result would be c_in wide, 3 lanes of 16. Instead, for every row of outputs
//
//   d (kh kw c_in, out_w) = w (kh kw c_in, c_out) dy (out_w, c_out)T
//
// and every pixel of dx adds what it sent: the elements of d for its taps, in ascending order of the outputs. That is
// done on channels apart and on the columns of one phase of the stride together, so that vectors run along a row.
// Threads take images or bands of them; a band computes the rows of d again that it shares.
#include "kernels/conv2d_parts.h"
#include "kernels/conv2d_patches.h"
#include "kernels/loops.h"

namespace taut::TAUT_CPU {
namespace {

// Where the rows of one band are added up: sums[y - y0][c][column mod stride][column / stride].
template <class T>
struct Band {
  int64_t y0, y1, phases, width;  // width: of a phase, whole vectors
  T* sums;
  T* row(int64_t y, int64_t c, int64_t channels, int64_t phase) const {
    return sums + (((y - y0) * channels + c) * phases + phase) * width;
  }
};

}  // namespace

template <class T>
void conv_few_backward_input(const T* dy, const T* w, T* dx, const ConvShape& s) {
  const int64_t taps = s.kh * s.kw, terms = taps * s.c_in, out_h = s.out_h(), out_w = s.out_w();
  // Rows (r, s, c) of weights, whole columns c_out side by side.
  T* const weights = static_cast<T*>(thread_scratch(2, sizeof(T) * static_cast<size_t>(terms * s.c_out)));
  for (int64_t o = 0; o < s.c_out; ++o)
    for (int64_t c = 0; c < s.c_in; ++c)
      for (int64_t t = 0; t < taps; ++t) weights[(t * s.c_in + c) * s.c_out + o] = w[(o * s.c_in + c) * taps + t];

  // A row of d has zeros on both sides for columns that no output has.
  const int64_t phases = s.stride.w, width = whole_vectors(ceil_div(s.w, phases));
  const int64_t margin = (s.kw - 1) * s.dilation.w;
  const int64_t pitch = whole_vectors(margin + larger(out_w, width + s.padding.w) + kLanes);
  const int64_t reach = s.rows().reach();
  int64_t bands = 1;
  if (s.n < 4 * num_threads())
    bands = larger(1, smaller(ceil_div(4 * num_threads(), larger(s.n, 1)), s.h / (2 * reach)));
  const int64_t band_rows = ceil_div(s.h, bands);
  parallel_for(s.n * bands, 1, [&](int64_t begin, int64_t end) {
    const size_t size = static_cast<size_t>(terms * pitch + band_rows * s.c_in * phases * width);
    T* const d = static_cast<T*>(thread_scratch(3, sizeof(T) * size));
    for (int64_t i = 0; i < terms * pitch; i += kLanes) store(d + i, broadcast(T(0)));
    for (int64_t task = begin; task < end; ++task) {
      const int64_t image = task / bands, index = task % bands;
      const Band<T> band{index * band_rows, smaller(s.h, (index + 1) * band_rows), phases, width, d + terms * pitch};
      const int64_t size_of_sums = (band.y1 - band.y0) * s.c_in * phases * width;
      for (int64_t i = 0; i < size_of_sums; i += kLanes) store(band.sums + i, broadcast(T(0)));
      for (int64_t i = 0; i < out_h; ++i) {
        const int64_t top = i * s.stride.h - s.padding.h;
        if (top + reach <= band.y0 || top >= band.y1) continue;
        matmul_serial<T>({.m = terms,
                          .n = out_w,
                          .k = s.c_out,
                          .a = weights,
                          .b = dy + (image * out_h + i) * out_w * s.c_out,
                          .c = d + margin,
                          .lda = s.c_out,
                          .ldb = s.c_out,
                          .ldc = pitch,
                          .transpose_b = true});
        for (int64_t r = 0; r < s.kh; ++r) {
          const int64_t y = top + r * s.dilation.h;
          if (y < band.y0 || y >= band.y1) continue;
          for (int64_t phase = 0; phase < phases && phase < s.w; ++phase) {
            const PhaseTaps cols(s.columns(), phase);
            for (int64_t c = 0; c < s.c_in; ++c) {
              T* const to = band.row(y, c, s.c_in, phase);
              for (int64_t x = 0; x < width; x += kLanes) {
                Vec<T> sum = load(to + x);
                for (int64_t t = 0; t < cols.count; ++t) {
                  const int64_t term = (r * s.kw + cols.tap(t)) * s.c_in + c;
                  sum = sum + load(d + term * pitch + margin + x + cols.offset + t * cols.step);
                }
                store(to + x, sum);
              }
            }
          }
        }
      }
      for (int64_t y = band.y0; y < band.y1; ++y) {
        T* const to = dx + (image * s.h + y) * s.w * s.c_in;
        for (int64_t c = 0; c < s.c_in; ++c)
          for (int64_t phase = 0; phase < phases; ++phase) {
            const T* const from = band.row(y, c, s.c_in, phase);
            for (int64_t x = phase, q = 0; x < s.w; x += phases, ++q) to[x * s.c_in + c] = from[q];
          }
      }
    }
  });
}

template void conv_few_backward_input<float>(const float*, const float*, float*, const ConvShape&);
template void conv_few_backward_input<double>(const double*, const double*, double*, const ConvShape&);

}  // namespace taut::TAUT_CPU
