// The two operands of a convolution as a matrix product, read from where they are:
//
//   Patches      (positions, taps_h taps_w channels): the windows of images (n, h, w, c), packed a block at a time; the
//                whole matrix never exists
//   PackedTaps   (k, n): weights, as the panels of the micro-kernel (kernels/matmul_micro.h)
//
// Only for the per-instruction-set files of kernels/.
#pragma once

#include "kernels/conv2d.h"
#include "kernels/conv2d_phase.h"
#include "kernels/matmul_micro.h"
#include "kernels/matmul_pack.h"
#include "kernels/matmul_tile.h"

namespace taut::TAUT_CPU {

constexpr int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }
constexpr int64_t larger(int64_t a, int64_t b) { return a > b ? a : b; }
constexpr int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }
constexpr int64_t whole_vectors(int64_t n) { return ceil_div(n, kLanes) * kLanes; }

// The even cut of `rows` into tiles of at most kRows.
struct Tiles {
  int64_t count, fewer, more;
  Tiles(int64_t rows, int64_t most) : count(ceil_div(rows, most)), fewer(rows / count), more(rows % count) {}
  int64_t first(int64_t tile) const { return tile * fewer + smaller(tile, more); }
};

template <class T>
const TileKernel<T> (&kernels_of(int64_t width))[TileSize<T>::kRows][kTileRowsCount] {
  return width == 16 * TileSize<T>::kVectors ? TileKernels<T, TileSize<T>::kVectors>::kKernel
                                             : TileKernels<T, 1>::kKernel;
}

// dst[i pitch + q] = src[i step + q] for i < rows, q < length; up to 15 elements behind each row are overwritten.
template <class T>
TAUT_INLINE void copy_runs(const T* src, int64_t step, int64_t rows, int64_t length, T* dst, int64_t pitch) {
  const int64_t whole = length / kLanes * kLanes, rest = length - whole;
  if (whole == 0) {  // the first layer of a network
    for (int64_t i = 0; i < rows; ++i) store(dst + i * pitch, load_partial(src + i * step, rest));
    return;
  }
  for (int64_t i = 0; i < rows; ++i, src += step, dst += pitch) {
    int64_t q = 0;
    for (; q < whole; q += kLanes) store(dst + q, load(src + q));
    if (rest > 0) store(dst + q, load_partial(src + q, rest));
  }
}

template <class T>
TAUT_INLINE void zero_runs(int64_t rows, int64_t length, T* dst, int64_t pitch) {
  for (int64_t i = 0; i < rows; ++i, dst += pitch)
    for (int64_t q = 0; q < length; q += kLanes) store(dst + q, broadcast(T(0)));
}

// Row (image, i, j), row-major over rows_h x rows_w; column (r, s, c), c < channels:
//   x[image, i step.h + top + r tap_step.h, j step.w + left + s tap_step.w, first + c], 0 outside the image.
template <class T>
struct Patches {
  const T* x = nullptr;  // (n, h, w, c)
  int64_t h = 0, w = 0, c = 0;
  int64_t first = 0, channels = 0;  // the channels of a group
  int64_t rows_h = 0, rows_w = 0;   // positions in an image
  HW step = 1;
  int64_t top = 0, left = 0;
  int64_t taps_h = 0, taps_w = 0;
  HW tap_step = 1;

  int64_t cols() const { return taps_h * taps_w * channels; }

  // dst[i pitch + k - k0] for `rows` rows from row0 on and columns k0 .. k1-1. pitch >= k1 - k0 + 15, and 15 elements
  // behind the last are overwritten.
  void pack(int64_t row0, int64_t rows, int64_t k0, int64_t k1, T* dst, int64_t pitch) const {
    const int64_t line = taps_w * channels;                // columns of one r
    const bool joined = tap_step.w == 1 && channels == c;  // then they lie side by side in the image
    while (rows > 0) {
      // As many rows as lie in one row of the image, for one r after the other.
      const int64_t j = row0 % rows_w, i = row0 / rows_w % rows_h, image = row0 / rows_w / rows_h;
      const int64_t count = smaller(rows, rows_w - j);
      for (int64_t r = k0 / line; r * line < k1; ++r) {
        const int64_t y = i * step.h + top + r * tap_step.h;
        const int64_t lo = larger(k0 - r * line, 0), hi = smaller(k1 - r * line, line);
        T* const to = dst + r * line - k0;
        if (y < 0 || y >= h) {
          zero_runs(count, hi - lo, to + lo, pitch);
        } else if (joined) {
          pack_run(x + (image * h + y) * w * c, j, count, taps_w, lo, hi, left, to, pitch);
        } else {
          for (int64_t s = lo / channels; s * channels < hi; ++s) {
            const int64_t begin = larger(lo - s * channels, 0), end = smaller(hi - s * channels, channels);
            pack_run(x + (image * h + y) * w * c + first, j, count, 1, begin, end, left + s * tap_step.w,
                     to + s * channels, pitch);
          }
        }
      }
      dst += count * pitch;
      row0 += count;
      rows -= count;
    }
  }

 private:
  // Elements lo .. hi-1 of the `width` pixels from column j step.w + from on of an image row, for `count` j from j0 on.
  void pack_run(const T* row, int64_t j0, int64_t count, int64_t width, int64_t lo, int64_t hi, int64_t from, T* dst,
                int64_t pitch) const {
    const int64_t stride = step.w;
    // Whole windows are in the middle.
    const int64_t inside0 = from >= 0 ? 0 : ceil_div(-from, stride);
    const int64_t inside1 = w - width - from < 0 ? 0 : (w - width - from) / stride + 1;
    const int64_t j1 = j0 + count;
    const int64_t middle0 = smaller(larger(j0, inside0), j1), middle1 = larger(middle0, smaller(j1, inside1));
    for (int64_t j = j0; j < j1; ++j, dst += pitch) {
      const T* const src = row + (j * stride + from) * c;
      if (j == middle0 && middle1 > middle0) {
        copy_runs(src + lo, stride * c, middle1 - middle0, hi - lo, dst + lo, pitch);
        dst += (middle1 - middle0 - 1) * pitch;
        j = middle1 - 1;
        continue;
      }
      const int64_t x0 = j * stride + from;
      const int64_t begin = smaller(larger(lo, -x0 * c), hi), end = larger(begin, smaller(hi, (w - x0) * c));
      zero_runs(1, begin - lo, dst + lo, pitch);
      copy_runs(src + begin, 0, 1, end - begin, dst + begin, pitch);
      zero_runs(1, hi - end, dst + end, pitch);
    }
  }
};

// Row (image, i, j) of a product goes to pixel (image, top + i step.h, left + j step.w), channels first .. first + n
// - 1.
template <class T>
struct Target {
  T* y;  // (n, h, w, c)
  int64_t h, w, c, first;
  HW step;
  int64_t top, left;
  T* pixel(int64_t image, int64_t i, int64_t j) const {
    return y + ((image * h + top + i * step.h) * w + left + j * step.w) * c + first;
  }
};

// The windows of x that the outputs of a group see, and those of dy that the pixels of a phase see.
template <class T>
Patches<T> forward_patches(const T* x, const ConvShape& s, int64_t group) {
  return {.x = x,
          .h = s.h,
          .w = s.w,
          .c = s.c_in,
          .first = group * s.group_in(),
          .channels = s.group_in(),
          .rows_h = s.out_h(),
          .rows_w = s.out_w(),
          .step = s.stride,
          .top = -s.padding.h,
          .left = -s.padding.w,
          .taps_h = s.kh,
          .taps_w = s.kw,
          .tap_step = s.dilation};
}
template <class T>
Patches<T> phase_patches(const T* dy, const ConvShape& s, int64_t group, int64_t top, int64_t left,
                         const PhaseTaps& rows, const PhaseTaps& cols) {
  return {.x = dy,
          .h = s.out_h(),
          .w = s.out_w(),
          .c = s.c_out,
          .first = group * s.group_out(),
          .channels = s.group_out(),
          .rows_h = ceil_div(s.h - top, s.stride.h),
          .rows_w = ceil_div(s.w - left, s.stride.w),
          .step = 1,
          .top = rows.offset,
          .left = cols.offset,
          .taps_h = rows.count,
          .taps_w = cols.count,
          .tap_step = {rows.step, cols.step}};
}

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
