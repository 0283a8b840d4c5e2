// Convolution as a matrix product whose left operand is packed from the images a block at a time:
//
//   forward   y (positions, c_out)            = windows of x (positions, kh kw c_in)     w (kh kw c_in, c_out)
//   input     dx (pixels of a phase, c_in)    = windows of dy (pixels, taps c_out)       w (taps c_out, c_in)
//   weight    dw (kh kw c_in, c_out)          = windows of x, transposed                 dy (positions, c_out)
//
// With strides t and u the input gradient is t u products: pixels whose rows agree mod t and columns mod u see the same
// taps.
// Threads take blocks of rows (of the weight gradient: rectangles); sums are never cut.
#include "kernels/conv2d_parts.h"
#include "kernels/conv2d_patches.h"
#include "kernels/parallel.h"

namespace taut::TAUT_CPU {
namespace {

// Rows of windows packed at a time: 140 x 384 floats are 210 KiB of L2.
constexpr int64_t kRowBlock = 140;
constexpr int64_t kInPlaceTiles = 7;  // as in kernels/matmul_serial.cc

// Rows row0 .. row0 + rows - 1 and panels panel0 .. panel1 - 1 of target = patches b + bias.
template <class T>
void product_block(const Patches<T>& patches, const PackedTaps<T>& b, const T* bias, const Target<T>& target,
                   int64_t row0, int64_t rows, int64_t panel0, int64_t panel1) {
  constexpr int64_t kWidth = PackedTaps<T>::kWidth;
  const Tiles tiles(rows, TileSize<T>::kRows);
  const int64_t pitch = b.kb + 16, j0 = panel0 * kWidth, cols = smaller(panel1 * kWidth, b.padded) - j0;
  // Straight into place where rows lie one after the other and vectors are whole; else by way of `sums`.
  const bool in_place = target.step == 1 && target.c % kLanes == 0 && b.n % kLanes == 0 && target.first % kLanes == 0;
  T* const a = static_cast<T*>(thread_scratch(0, sizeof(T) * static_cast<size_t>(rows * pitch + 16)));
  T* const sums = in_place ? nullptr : static_cast<T*>(thread_scratch(1, sizeof(T) * static_cast<size_t>(rows * cols)));
  T* const out = in_place ? target.y + row0 * target.c + target.first + j0 : sums;
  const int64_t ldout = in_place ? target.c : cols;
  for (int64_t p0 = 0; p0 < b.k || p0 == 0; p0 += b.kb) {
    const int64_t kc = smaller(b.kb, b.k - p0);
    if (kc > 0) patches.pack(row0, rows, p0, p0 + kc, a, pitch);
    const bool last = p0 + kc >= b.k;
    for (int64_t panel = panel0; panel < panel1; ++panel) {
      const int64_t j = panel * kWidth - j0, width = b.width(panel);
      const auto& kernels = kernels_of<T>(width);
      for (int64_t t = 0; t < tiles.count; ++t) {
        const int64_t i = tiles.first(t);
        T* const c = out + i * ldout + j;
        kernels[tiles.first(t + 1) - i - 1][kApart](
            {.k = kc,
             .a = a + i * pitch,
             .lda = pitch,
             .b = b.panel(p0, panel),
             .ldb = width,
             .before = p0 == 0 ? nullptr : c,
             .ldbefore = ldout,
             .bias = last && in_place && bias != nullptr ? bias + j0 + j : nullptr,
             .residual = nullptr,
             .c = c,
             .ldc = ldout,
             .prefetch = {}});
      }
    }
    if (last) break;
  }
  if (in_place) return;
  for (int64_t i = 0; i < rows; ++i) {
    const int64_t row = row0 + i, x = row % patches.rows_w, y = row / patches.rows_w % patches.rows_h;
    const int64_t image = row / patches.rows_w / patches.rows_h;
    T* const to = target.pixel(image, y, x) + j0;
    for (int64_t j = 0; j < smaller(cols, b.n - j0); j += kLanes) {
      const int64_t count = b.n - j0 - j;
      Vec<T> v = load(sums + i * cols + j);
      if (bias != nullptr) v = load_up_to(bias + j0 + j, count) + v;
      store_up_to(to + j, v, count);
    }
  }
}

// The product for all rows, cut for all threads. Uses no scratch of the caller but slots 0 and 1.
template <class T>
void product(const Patches<T>& patches, int64_t images, const PackedTaps<T>& b, const T* bias,
             const Target<T>& target) {
  const int64_t rows = images * patches.rows_h * patches.rows_w;
  if (rows == 0) return;
  const int64_t threads = num_threads();
  int64_t block = kRowBlock;
  // So many blocks that threads finish together; columns are cut where rows alone are too few.
  if (ceil_div(rows, block) < 4 * threads)
    block =
        larger(2 * TileSize<T>::kRows, ceil_div(ceil_div(rows, 4 * threads), TileSize<T>::kRows) * TileSize<T>::kRows);
  const int64_t blocks = ceil_div(rows, block), panels = b.panels();
  const int64_t parts = threads == 1 || blocks >= 2 * threads ? 1 : smaller(panels, ceil_div(2 * threads, blocks));
  parallel_for(blocks * parts, 1, [&](int64_t begin, int64_t end) {
    for (int64_t task = begin; task < end; ++task) {
      const int64_t row0 = task / parts * block, part = task % parts;
      product_block(patches, b, bias, target, row0, smaller(block, rows - row0), part * panels / parts,
                    (part + 1) * panels / parts);
    }
  });
}

}  // namespace

template <class T>
void conv_gemm_forward(const T* x, const T* w, const T* bias, T* y, const ConvShape& s) {
  const int64_t cg = s.group_in(), og = s.group_out(), taps = s.kh * s.kw, k = taps * cg;
  PackedTaps<T> b(k, og);
  b.data = static_cast<T*>(thread_scratch(2, sizeof(T) * static_cast<size_t>(b.size())));
  for (int64_t g = 0; g < s.groups; ++g) {
    // A row of w is (c, tap), a row of b is (tap, c).
    parallel_for(b.padded / kLanes, larger(1, 32768 / (k * kLanes)), [&](int64_t begin, int64_t end) {
      for_transposed(w + g * og * k, k, k, og, begin * kLanes, end * kLanes,
                     [&](int64_t p, int64_t j, Vec<T> v) { store(b.vector(p % taps * cg + p / taps, j), v); });
    });
    const Patches<T> patches = forward_patches(x, s, g);
    product(patches, s.n, b, bias == nullptr ? nullptr : bias + g * og,
            Target<T>{y, s.out_h(), s.out_w(), s.c_out, g * og, 1, 0, 0});
  }
}

template <class T>
void conv_gemm_backward_input(const T* dy, const T* w, T* dx, const ConvShape& s) {
  const int64_t cg = s.group_in(), og = s.group_out(), taps = s.kh * s.kw;
  for (int64_t phase = 0; phase < s.stride.h * s.stride.w; ++phase) {
    const int64_t top = phase / s.stride.w, left = phase % s.stride.w;
    if (top >= s.h || left >= s.w) continue;
    const PhaseTaps rows(s.rows(), top), cols(s.columns(), left);
    PackedTaps<T> b(rows.count * cols.count * og, cg);
    b.data = static_cast<T*>(thread_scratch(2, sizeof(T) * static_cast<size_t>(b.size() + 16)));
    for (int64_t g = 0; g < s.groups; ++g) {
      parallel_for(og, larger(1, 32768 / (cg * taps)), [&](int64_t begin, int64_t end) {
        for (int64_t o = begin; o < end; ++o) {
          for (int64_t t = 0; t < rows.count * cols.count; ++t) {
            const int64_t r = rows.tap(t / cols.count), q = cols.tap(t % cols.count);
            const T* const from = w + (g * og + o) * cg * taps + r * s.kw + q;
            for (int64_t c = 0; c < b.padded; c += kLanes) {
              T* const to = b.vector(t * og + o, c);
              for (int64_t i = 0; i < kLanes; ++i) to[i] = c + i < cg ? from[(c + i) * taps] : T(0);
            }
          }
        }
      });
      const Patches<T> patches = phase_patches(dy, s, g, top, left, rows, cols);
      product<T>(patches, s.n, b, nullptr, Target<T>{dx, s.h, s.w, s.c_in, g * cg, s.stride, top, left});
    }
  }
}

template <class T>
void conv_gemm_backward_weight(const T* dy, const T* x, T* dw, const ConvShape& s) {
  constexpr int64_t kWidth = PackedTaps<T>::kWidth;
  const int64_t cg = s.group_in(), og = s.group_out(), taps = s.kh * s.kw, m = taps * cg;
  const int64_t k = s.rows_out(), kb = larger(1, k_block(k)), padded = whole_vectors(og), panels = ceil_div(og, kWidth);
  T* const sums = static_cast<T*>(thread_scratch(2, sizeof(T) * static_cast<size_t>(m * padded + 16 * kLanes)));
  for (int64_t g = 0; g < s.groups; ++g) {
    const Patches<T> patches = forward_patches(x, s, g);
    // Rows (tap, c) are cut among threads first: that repeats the packing of dy, which is less than that of windows.
    const int64_t threads = num_threads(), most = ceil_div(m, TileSize<T>::kRows);
    const int64_t parts = smaller(threads, most), sides = smaller(panels, larger(1, threads / parts));
    parallel_for(parts * sides, 1, [&](int64_t begin, int64_t end) {
      for (int64_t cell = begin; cell < end; ++cell) {
        const int64_t m0 = cell / sides * m / parts, m1 = (cell / sides + 1) * m / parts;
        const int64_t panel0 = cell % sides * panels / sides, panel1 = (cell % sides + 1) * panels / sides;
        const int64_t j0 = panel0 * kWidth, cols = smaller(panel1 * kWidth, padded) - j0;
        const Tiles blocks(m1 - m0, kRowBlock);
        const int64_t pitch = whole_vectors(blocks.fewer + 1) + 16;
        T* const b = static_cast<T*>(thread_scratch(0, sizeof(T) * static_cast<size_t>(kb * cols + 16)));
        T* const a = static_cast<T*>(thread_scratch(1, sizeof(T) * static_cast<size_t>(kb * pitch + 16)));
        // dy is read where it is if so few rows go over it that packing would cost more.
        const bool in_place = og % kLanes == 0 && ceil_div(m1 - m0, TileSize<T>::kRows) <= kInPlaceTiles;
        for (int64_t p0 = 0; p0 < k || p0 == 0; p0 += kb) {
          const int64_t kc = smaller(kb, k - p0);
          for (int64_t panel = in_place ? panel1 : panel0; panel < panel1; ++panel) {
            const int64_t j = panel * kWidth, width = smaller(kWidth, padded - j);
            pack_b_plain(dy + p0 * s.c_out + g * og + j, s.c_out, kc, smaller(width, og - j), width, b + (j - j0) * kc);
          }
          for (int64_t block = 0; block < blocks.count; ++block) {
            const int64_t i0 = m0 + blocks.first(block), i1 = m0 + blocks.first(block + 1);
            patches.pack(p0, kc, i0, i1, a, pitch);
            const Tiles tiles(i1 - i0, TileSize<T>::kRows);
            for (int64_t panel = panel0; panel < panel1; ++panel) {
              const int64_t j = panel * kWidth, width = smaller(kWidth, padded - j);
              const auto& kernels = kernels_of<T>(width);
              for (int64_t t = 0; t < tiles.count; ++t) {
                const int64_t i = tiles.first(t);
                T* const c = sums + (i0 + i) * padded + j;
                kernels[tiles.first(t + 1) - i - 1][kBeside](
                    {.k = kc,
                     .a = a + i,
                     .lda = pitch,
                     .b = in_place ? dy + p0 * s.c_out + g * og + j : b + (j - j0) * kc,
                     .ldb = in_place ? s.c_out : width,
                     .before = p0 == 0 ? nullptr : c,
                     .ldbefore = padded,
                     .bias = nullptr,
                     .residual = nullptr,
                     .c = c,
                     .ldc = padded,
                     .prefetch = {}});
              }
            }
          }
        }
      }
    });
    // Back to (c_out, c, tap).
    parallel_for(padded / kLanes, larger(1, 32768 / (m * kLanes)), [&](int64_t begin, int64_t end) {
      alignas(64) T block[16 * kLanes];
      for (int64_t j = begin * kLanes; j < end * kLanes; j += kLanes) {
        for (int64_t p0 = 0; p0 < m; p0 += 16) {
          const int64_t steps = smaller(16, m - p0), lanes = smaller(kLanes, og - j);
          for (int64_t p = 0; p < steps; ++p)
            store(block + p * kLanes, load(sums + ((p0 + p) % taps * cg + (p0 + p) / taps) * padded + j));
          T* const to = dw + (g * og + j) * m + p0;
          if (steps == 16 && lanes == kLanes) {
            pack_transposed_block(block, kLanes, to, m);
          } else {
            for (int64_t i = 0; i < lanes; ++i)
              for (int64_t p = 0; p < steps; ++p) to[i * m + p] = block[p * kLanes + i];
          }
        }
      }
    });
  }
}

#define TAUT_INSTANTIATE(T)                                                               \
  template void conv_gemm_forward<T>(const T*, const T*, const T*, T*, const ConvShape&); \
  template void conv_gemm_backward_input<T>(const T*, const T*, T*, const ConvShape&);    \
  template void conv_gemm_backward_weight<T>(const T*, const T*, T*, const ConvShape&);
TAUT_INSTANTIATE(float)
TAUT_INSTANTIATE(double)
#undef TAUT_INSTANTIATE

}  // namespace taut::TAUT_CPU
