// Convolutions with a group for each channel, groups = c_in = c_out: no products, but for each channel an FMA chain
// over the taps in a row, 16 channels to a vector.
//
//   forward   y[p, c]    = sum over taps of x[p + tap, c] w[c, tap] + bias[c]
//   input     the same of dy, for one phase of the stride after the other (kernels/conv2d_gemm.cc)
//   weight    dw[c, tap] = sum over positions p of x[p + tap, c] dy[p, c], in the contract's blocks
//
// Threads take rows of pixels; of the weight gradient, channels and taps.
#include "kernels/conv2d_parts.h"
#include "kernels/conv2d_patches.h"
#include "kernels/loops.h"

namespace taut::TAUT_CPU {
namespace {

// to (taps, padded) = the weights (c, kh, kw) of the given taps, in order.
template <class T>
void spread_taps(const T* w, const ConvShape& s, const PhaseTaps& rows, const PhaseTaps& cols, int64_t padded, T* to) {
  for (int64_t i = 0; i < rows.count; ++i) {
    for (int64_t j = 0; j < cols.count; ++j, to += padded) {
      const T* const from = w + rows.tap(i) * s.kw + cols.tap(j);
      for (int64_t c = 0; c < padded; ++c) to[c] = c < s.c_in ? from[c * s.kh * s.kw] : T(0);
    }
  }
}

template <class T>
void depthwise_product(const Patches<T>& p, int64_t images, const T* weights, int64_t padded, const T* bias,
                       const Target<T>& target) {
  const auto one_pixel = [&](int64_t image, int64_t i, int64_t j) {
    const int64_t y0 = i * p.step.h + p.top, x0 = j * p.step.w + p.left;
    T* const to = target.pixel(image, i, j);
    for_vectors(0, p.c, [&](int64_t c, auto lanes) {
      Vec<T> sum = broadcast(T(0));
      const T* w = weights + c;
      for (int64_t r = 0; r < p.taps_h; ++r) {
        const int64_t y = y0 + r * p.tap_step.h;
        const T* const row = p.x + (image * p.h + y) * p.w * p.c + c;
        for (int64_t s = 0; s < p.taps_w; ++s, w += padded) {
          const int64_t x = x0 + s * p.tap_step.w;
          const bool inside = y >= 0 && y < p.h && x >= 0 && x < p.w;
          sum = fma(inside ? lanes.load(row + x * p.c) : broadcast(T(0)), load(w), sum);
        }
      }
      lanes.store(to + c, bias == nullptr ? sum : sum + lanes.load(bias + c));
    });
  };
  const int64_t work = p.rows_w * p.c * larger(p.taps_h * p.taps_w, 1);
  parallel_for(images * p.rows_h, rows_grain(work), [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row)
      for (int64_t j = 0; j < p.rows_w; ++j) one_pixel(row / p.rows_h, row % p.rows_h, j);
  });
}

// The sums of one row of taps, `count` (at most kTaps) from q on, and 16 channels from c on.
constexpr int kTaps = 4;
template <class T, class Lanes>
void tap_sums(const Patches<T>& p, int64_t positions, const T* dy, int64_t r, int64_t q, int count, int64_t c,
              Lanes lanes, Vec<T> (&sums)[kTaps]) {
  const int64_t kb = larger(1, k_block(positions));
  for (int t = 0; t < kTaps; ++t) sums[t] = broadcast(T(0));
  for (int64_t p0 = 0; p0 < positions; p0 += kb) {
    Vec<T> chain[kTaps];
    for (int t = 0; t < kTaps; ++t) chain[t] = broadcast(T(0));
    for (int64_t at = p0; at < smaller(p0 + kb, positions); ++at) {
      const int64_t j = at % p.rows_w, i = at / p.rows_w % p.rows_h, image = at / p.rows_w / p.rows_h;
      const int64_t y = i * p.step.h + p.top + r * p.tap_step.h;
      const T* const row = p.x + (image * p.h + y) * p.w * p.c + c;
      const Vec<T> up = lanes.load(dy + at * p.c + c);
      for (int t = 0; t < kTaps; ++t) {  // the last ones twice where there are fewer
        const int64_t x = j * p.step.w + p.left + (q + (t < count ? t : count - 1)) * p.tap_step.w;
        const bool inside = y >= 0 && y < p.h && x >= 0 && x < p.w;
        chain[t] = fma(inside ? lanes.load(row + x * p.c) : broadcast(T(0)), up, chain[t]);
      }
    }
    for (int t = 0; t < kTaps; ++t) sums[t] = p0 == 0 ? chain[t] : sums[t] + chain[t];
  }
}

}  // namespace

template <class T>
void conv_depthwise_forward(const T* x, const T* w, const T* bias, T* y, const ConvShape& s) {
  const int64_t padded = whole_vectors(s.c_in);
  T* const weights = static_cast<T*>(thread_scratch(2, sizeof(T) * static_cast<size_t>(s.kh * s.kw * padded)));
  spread_taps(w, s, PhaseTaps::all(s.kh), PhaseTaps::all(s.kw), padded, weights);
  depthwise_product(forward_patches(x, s, 0), s.n, weights, padded, bias,
                    Target<T>{y, s.out_h(), s.out_w(), s.c_out, 0, 1, 0, 0});
}

template <class T>
void conv_depthwise_backward_input(const T* dy, const T* w, T* dx, const ConvShape& s) {
  const int64_t padded = whole_vectors(s.c_in);
  T* const weights = static_cast<T*>(thread_scratch(2, sizeof(T) * static_cast<size_t>(s.kh * s.kw * padded)));
  for (int64_t phase = 0; phase < s.stride.h * s.stride.w; ++phase) {
    const int64_t top = phase / s.stride.w, left = phase % s.stride.w;
    if (top >= s.h || left >= s.w) continue;
    const PhaseTaps rows(s.rows(), top), cols(s.columns(), left);
    spread_taps(w, s, rows, cols, padded, weights);
    depthwise_product(phase_patches(dy, s, 0, top, left, rows, cols), s.n, weights, padded,
                      static_cast<const T*>(nullptr), Target<T>{dx, s.h, s.w, s.c_in, 0, s.stride, top, left});
  }
}

template <class T>
void conv_depthwise_backward_weight(const T* dy, const T* x, T* dw, const ConvShape& s) {
  const Patches<T> patches = forward_patches(x, s, 0);
  const int64_t parts = ceil_div(s.kw, kTaps), vectors = ceil_div(s.c_in, kLanes);
  parallel_for(vectors * s.kh * parts, 1, [&](int64_t begin, int64_t end) {
    for (int64_t task = begin; task < end; ++task) {
      const int64_t c0 = task / (s.kh * parts) * kLanes, r = task / parts % s.kh, q = task % parts * kTaps;
      const int count = static_cast<int>(smaller(kTaps, s.kw - q));
      for_vectors(c0, smaller(s.c_in, c0 + kLanes), [&](int64_t c, auto lanes) {
        Vec<T> sums[kTaps];
        tap_sums(patches, s.rows_out(), dy, r, q, count, c, lanes, sums);
        alignas(64) T values[kLanes];
        for (int t = 0; t < count; ++t) {
          store(values, sums[t]);
          for (int64_t i = 0; i < lanes.count; ++i) dw[((c + i) * s.kh + r) * s.kw + q + t] = values[i];
        }
      });
    }
  });
}

#define TAUT_INSTANTIATE(T)                                                                    \
  template void conv_depthwise_forward<T>(const T*, const T*, const T*, T*, const ConvShape&); \
  template void conv_depthwise_backward_input<T>(const T*, const T*, T*, const ConvShape&);    \
  template void conv_depthwise_backward_weight<T>(const T*, const T*, T*, const ConvShape&);
TAUT_INSTANTIATE(float)
TAUT_INSTANTIATE(double)
#undef TAUT_INSTANTIATE

}  // namespace taut::TAUT_CPU
