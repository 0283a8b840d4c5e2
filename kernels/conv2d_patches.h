// The two operands of a convolution as a matrix product, read from where they are:
//
//   Patches      (positions, taps_h taps_w channels): the windows of images (n, h, w, c), packed a block at a time; the
//                whole matrix never exists
//   PackedTaps   (k, n): weights, as the panels of the micro-kernel (kernels/matmul_micro.h)
//
// Only for the per-instruction-set files of kernels/.
#pragma once

#include "kernels/matmul_micro.h"
#include "kernels/matmul_pack.h"
#include "kernels/matmul_tile.h"

namespace taut::TAUT_CPU {

constexpr int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }
constexpr int64_t larger(int64_t a, int64_t b) { return a > b ? a : b; }
constexpr int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }
constexpr int64_t whole_vectors(int64_t n) { return ceil_div(n, kLanes) * kLanes; }

// dst[0 .. length) = src; whole vectors are stored, so up to 15 elements behind are overwritten.
template <class T>
TAUT_INLINE void copy_run(const T* src, int64_t length, T* dst) {
  int64_t i = 0;
  for (; i + kLanes <= length; i += kLanes) store(dst + i, load(src + i));
  if (i < length) store(dst + i, load_partial(src + i, length - i));
}

template <class T>
TAUT_INLINE void zero_run(int64_t length, T* dst) {
  for (int64_t i = 0; i < length; i += kLanes) store(dst + i, broadcast(T(0)));
}

// Row (image, i, j), row-major over rows_h x rows_w; column (r, s, c), c < channels:
//   x[image, i step + top + r tap_step, j step + left + s tap_step, first + c], 0 outside the image.
template <class T>
struct Patches {
  const T* x = nullptr;  // (n, h, w, c)
  int64_t h = 0, w = 0, c = 0;
  int64_t first = 0, channels = 0;  // the channels of a group
  int64_t rows_h = 0, rows_w = 0;   // positions in an image
  int64_t step = 1, top = 0, left = 0;
  int64_t taps_h = 0, taps_w = 0, tap_step = 1;

  int64_t cols() const { return taps_h * taps_w * channels; }

  // dst[i pitch + k - k0] for `rows` rows from row0 on and columns k0 .. k1-1. pitch >= k1 - k0 + 15, and 15 elements
  // behind the last are overwritten.
  void pack(int64_t row0, int64_t rows, int64_t k0, int64_t k1, T* dst, int64_t pitch) const {
    const int64_t line = taps_w * channels;              // columns of one r
    const bool joined = tap_step == 1 && channels == c;  // then they lie side by side in the image
    const int64_t r0 = k0 / line, r1 = ceil_div(k1, line);
    int64_t image = row0 / (rows_h * rows_w), i = row0 / rows_w % rows_h, j = row0 % rows_w;
    for (int64_t row = 0; row < rows; ++row, dst += pitch) {
      const int64_t left_x = j * step + left;
      for (int64_t r = r0; r < r1; ++r) {
        const int64_t y = i * step + top + r * tap_step;
        const int64_t lo = larger(k0 - r * line, 0), hi = smaller(k1 - r * line, line);
        T* const to = dst + r * line - k0;
        if (y < 0 || y >= h) {
          zero_run(hi - lo, to + lo);
        } else if (joined) {
          const T* const from = x + ((image * h + y) * w + left_x) * c;
          const int64_t begin = larger(lo, -left_x * c), end = smaller(hi, (w - left_x) * c);
          if (begin >= end) {
            zero_run(hi - lo, to + lo);
          } else {
            if (lo < begin) zero_run(begin - lo, to + lo);
            copy_run(from + begin, end - begin, to + begin);
            if (end < hi) zero_run(hi - end, to + end);
          }
        } else {
          for (int64_t s = lo / channels; s * channels < hi; ++s) {
            const int64_t at = left_x + s * tap_step;
            const int64_t begin = larger(lo, s * channels), end = smaller(hi, (s + 1) * channels);
            if (at < 0 || at >= w)
              zero_run(end - begin, to + begin);
            else
              copy_run(x + ((image * h + y) * w + at) * c + first + begin - s * channels, end - begin, to + begin);
          }
        }
      }
      if (++j == rows_w) {
        j = 0;
        if (++i == rows_h) {
          i = 0;
          ++image;
        }
      }
    }
  }
};

// A (k, n) matrix as panels: for each block of k, for each panel of columns, [k][width]. n is padded with zeros to
// whole vectors.
template <class T>
struct PackedTaps {
  static constexpr int64_t kWidth = 16 * TileSize<T>::kVectors;
  T* data = nullptr;
  int64_t k = 0, n = 0, kb = 0, padded = 0;

  PackedTaps(int64_t k_, int64_t n_) : k(k_), n(n_), kb(k_block(k_)), padded(whole_vectors(n_)) {}
  int64_t size() const { return k * padded; }
  int64_t panels() const { return ceil_div(n, kWidth); }
  int64_t width(int64_t panel) const { return smaller(kWidth, padded - panel * kWidth); }
  const T* panel(int64_t p0, int64_t index) const { return data + p0 * padded + index * kWidth * smaller(kb, k - p0); }
  // Where the 16 columns from j on (a multiple of 16) of row p lie.
  T* vector(int64_t p, int64_t j) const {
    const int64_t p0 = p / kb * kb, index = j / kWidth;
    return data + p0 * padded + index * kWidth * smaller(kb, k - p0) + (p - p0) * width(index) + j % kWidth;
  }
};

// Calls visit(p, j, v) with the vectors v of a transposed matrix: v[lane] = src[(j + lane) ld + p] for p < k, the lanes
// from n on zero, j in steps of 16 from j0 to below j1.
template <class T, class Visit>
void for_transposed(const T* src, int64_t ld, int64_t k, int64_t n, int64_t j0, int64_t j1, Visit&& visit) {
  alignas(64) T block[16 * kLanes];
  for (int64_t j = j0; j < j1; j += kLanes) {
    for (int64_t p0 = 0; p0 < k; p0 += 16) {
      const int64_t steps = smaller(16, k - p0), lanes = smaller(kLanes, n - j);
      if (steps == 16 && lanes == kLanes) {
        pack_transposed_block(src + j * ld + p0, ld, block, kLanes);
      } else {
        for (int64_t p = 0; p < steps; ++p)
          for (int64_t i = 0; i < kLanes; ++i) block[p * kLanes + i] = i < lanes ? src[(j + i) * ld + p0 + p] : T(0);
      }
      for (int64_t p = 0; p < steps; ++p) visit(p0 + p, j, load(block + p * kLanes));
    }
  }
}

}  // namespace taut::TAUT_CPU
