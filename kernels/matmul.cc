// Matrix products over all threads: every product of the batch is cut into a grid of rectangles, each of which one
// thread computes with the serial code and its own buffers; no barriers, and no cut through k, so the bytes do not
// depend on it.
#include "kernels/matmul.h"

#include "kernels/matmul_micro.h"
#include "kernels/matmul_pack.h"
#include "kernels/matmul_tile.h"
#include "kernels/parallel.h"

namespace taut::TAUT_CPU {
namespace {

// A product of fewer multiply-adds than this is done (about 2 us) before another thread has woken up.
constexpr int64_t kSmallWork = 128 * 1024;

struct Grid {
  int64_t rows = 1, cols = 1;
};

// The grid with rows * cols <= threads whose largest rectangle takes least: its multiply-adds, and packing its part of
// b and, where it is packed, of a, which costs about as much as 16 multiply-adds an element. n is cut between whole
// panels.
Grid best_grid(int64_t m, int64_t panels, int64_t width, bool transpose_a, int64_t threads) {
  Grid best;
  int64_t best_cost = INT64_MAX;
  for (int64_t rows = 1; rows <= threads && rows <= m; ++rows) {
    int64_t cols = threads / rows;
    if (cols > panels) cols = panels;
    const int64_t part_m = (m + rows - 1) / rows, part_panels = (panels + cols - 1) / cols;
    const int64_t part_n = part_panels * width;
    const bool packs_a = transpose_a || part_panels >= kPackedPanels;
    const int64_t cost = part_m * part_n + 16 * part_n + (packs_a ? 16 * part_m : 0);
    if (cost < best_cost) {
      best_cost = cost;
      best = {rows, cols};
    }
  }
  return best;
}

template <class T>
void matmul_core(const T* a, const T* b, const T* bias, const T* residual, T* c, T* pre, const MatmulShape& s,
                 Epilogue epilogue) {
  if (s.m <= 0 || s.n <= 0 || s.batch <= 0) return;
  constexpr int64_t kWidth = 16 * TileSize<T>::kVectors;
  const int64_t threads = num_threads();
  const int64_t work = s.m * s.n * (s.k > 0 ? s.k : 1);
  const int64_t panels = (s.n + kWidth - 1) / kWidth;
  // Many products share the threads among them; few are cut, each into as many rectangles as there are threads.
  Grid grid;
  if (threads > 1 && s.batch < 4 * threads && work > kSmallWork)
    grid = best_grid(s.m, panels, kWidth, s.transpose_a, threads);
  const int64_t cells = grid.rows * grid.cols;
  const int64_t grain = cells > 1 ? 1 : (work >= kSmallWork ? 1 : (kSmallWork + work - 1) / work);

  parallel_for(s.batch * cells, grain, [&](int64_t begin, int64_t end) {
    for (int64_t task = begin; task < end; ++task) {
      const int64_t item = task / cells, row = task % cells / grid.cols, col = task % grid.cols;
      const int64_t i0 = row * s.m / grid.rows, i1 = (row + 1) * s.m / grid.rows;
      const int64_t j0 = col * panels / grid.cols * kWidth;
      const int64_t j_end = (col + 1) * panels / grid.cols * kWidth, j1 = j_end < s.n ? j_end : s.n;
      const int64_t at = item * s.stride_c + i0 * s.ldc + j0;
      matmul_serial<T>({.m = i1 - i0,
                        .n = j1 - j0,
                        .k = s.k,
                        .a = a + item * s.stride_a + (s.transpose_a ? i0 : i0 * s.lda),
                        .b = b + item * s.stride_b + (s.transpose_b ? j0 * s.ldb : j0),
                        .c = c + at,
                        .lda = s.lda,
                        .ldb = s.ldb,
                        .ldc = s.ldc,
                        .transpose_a = s.transpose_a,
                        .transpose_b = s.transpose_b,
                        .epilogue = epilogue,
                        .bias = bias == nullptr ? nullptr : bias + j0,
                        .residual = residual == nullptr ? nullptr : residual + at,
                        .pre = pre == nullptr ? nullptr : pre + at});
    }
  });
}

}  // namespace

template <class T>
void matmul(Stream, const T* a, const T* b, const T* bias, const T* residual, T* c, T* pre, const MatmulShape& shape,
            Epilogue epilogue) {
  matmul_core(a, b, bias, residual, c, pre, shape, epilogue);
}

template <class T>
void linear_forward(Stream, const T* x, const T* w, const T* bias, const T* residual, T* y, T* pre, int64_t rows,
                    int64_t in, int64_t out, Epilogue epilogue) {
  const MatmulShape shape{.m = rows, .n = out, .k = in, .transpose_b = true, .lda = in, .ldb = in, .ldc = out};
  matmul_core(x, w, bias, residual, y, pre, shape, epilogue);
}

template <class T>
void linear_backward_input(Stream, const T* dy, const T* w, T* dx, int64_t rows, int64_t in, int64_t out) {
  const MatmulShape shape{.m = rows, .n = in, .k = out, .lda = out, .ldb = in, .ldc = in};
  matmul_core<T>(dy, w, nullptr, nullptr, dx, nullptr, shape, Epilogue::kNone);
}

template <class T>
void linear_backward_weight(Stream, const T* dy, const T* x, T* dw, int64_t rows, int64_t in, int64_t out) {
  const MatmulShape shape{.m = out, .n = in, .k = rows, .transpose_a = true, .lda = out, .ldb = in, .ldc = in};
  matmul_core<T>(dy, x, nullptr, nullptr, dw, nullptr, shape, Epilogue::kNone);
}

TAUT_INSTANTIATE_MATMUL(float)
TAUT_INSTANTIATE_MATMUL(double)

}  // namespace taut::TAUT_CPU
