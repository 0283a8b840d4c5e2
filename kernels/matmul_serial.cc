// The matrix product on one thread (kernels/matmul_tile.h): for each block of k, for each block of about 140 rows (so
// that a's part stays in L2), for each panel of n: pack the panel of b once, then go through the row tiles.
//
// a is packed too where enough panels go over it: from rows in place every tile reads 6 to 14 streams, which costs an
// Intel core 5-12 %, and more where rows collide in L1. While the tiles of one panel run they prefetch the next one,
// raw or packed: cold packing costs 12-20 % otherwise (Zen 4).
#include "kernels/math.h"
#include "kernels/matmul_micro.h"
#include "kernels/matmul_pack.h"
#include "kernels/matmul_tile.h"
#include "kernels/parallel.h"

namespace taut::TAUT_CPU {
namespace {

// Rows of a that share one pass over the packed b: 140 x 384 floats are 210 KiB of L2. Up to 238 rows go in one block,
// so that no panel is kept packed longer than it is hot (ViT's 197 rows).
constexpr int64_t kRowBlock = 140, kOneBlock = 238;
// With no more row tiles than this, packing an untransposed b costs more than it saves.
constexpr int64_t kInPlaceTiles = 7;

// Whether a is read where it is rather than packed: that pays if few panels of b go over it. Rows a multiple of 2 KiB
// apart share cache sets; of a transposed a every step of k is on another line, and if those are far apart the cost of
// packing is repaid sooner.
template <class T>
bool reads_a_in_place(const Product<T>& q, int64_t tiles, int64_t panels) {
  const int64_t bytes = q.lda * int64_t{sizeof(T)};
  if (!q.transpose_a) return q.m == 1 || (panels < kPackedPanels && bytes % 2048 != 0);
  return tiles == 1 || panels <= (bytes > 1024 ? 3 : 8);
}

// What comes between the registers and memory: TileCall's sum, for a tile whose right edge is no multiple of 16. Its
// kernel wrote whole vectors into `tile`.
template <class T>
void store_edge_tile(const T* tile, int64_t ldtile, int64_t rows, int64_t cols, const TileCall<T>& to) {
  for (int64_t j = 0; j < cols; j += kLanes) {
    const int64_t count = cols - j;
    for (int64_t i = 0; i < rows; ++i) {
      Vec<T> s = load(tile + i * ldtile + j);
      if (to.before != nullptr) s = load_up_to(to.before + i * to.ldbefore + j, count) + s;
      if (to.bias != nullptr) s = load_up_to(to.bias + j, count) + s;
      if (to.residual != nullptr) s = load_up_to(to.residual + i * to.ldc + j, count) + s;
      store_up_to(to.c + i * to.ldc + j, s, count);
    }
  }
}

// c = gelu(x) on a panel that its tiles have just written.
template <class T>
void gelu_panel(const T* x, T* c, int64_t ld, int64_t rows, int64_t cols) {
  for (int64_t i = 0; i < rows; ++i) {
    for (int64_t j = 0; j < cols; j += kLanes)
      store_up_to(c + i * ld + j, gelu_erf(load_up_to(x + i * ld + j, cols - j)), cols - j);
  }
}

template <class T>
using PackSteps = void (*)(const T*, int64_t, int64_t, T*);

template <class T, int kRows>
PackSteps<T> pack_steps_of(int64_t rows) {
  if constexpr (kRows == 1)
    return &pack_a_steps<T, 1>;
  else
    return rows == kRows ? &pack_a_steps<T, kRows> : pack_steps_of<T, kRows - 1>(rows);
}

int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }
int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

// How the product is cut, and where its packed operands lie.
template <class T>
struct Plan {
  static constexpr int64_t kRows = TileSize<T>::kRows, kWidth = 16 * TileSize<T>::kVectors;

  int64_t tiles, blocks, panels, kb;
  int64_t fewer_rows, larger_tiles;
  bool a_in_place;
  bool b_in_place;     // but for a last panel that is not a multiple of 16 wide
  bool sum_elsewhere;  // residual is c: partial sums must not overwrite it
  T *packed_a = nullptr, *packed_b = nullptr, *sums = nullptr;
  int64_t ldsums = 0;

  explicit Plan(const Product<T>& q) {
    tiles = ceil_div(q.m, kRows);
    fewer_rows = q.m / tiles;
    larger_tiles = q.m - fewer_rows * tiles;
    blocks = q.m <= kOneBlock ? 1 : ceil_div(tiles, kRowBlock / kRows);
    panels = ceil_div(q.n, kWidth);
    kb = k_block(q.k);
    a_in_place = reads_a_in_place(q, tiles, panels);
    b_in_place = !q.transpose_b && tiles <= kInPlaceTiles;
    sum_elsewhere =
        q.residual == q.c && q.k > kb && (q.epilogue == Epilogue::kResidual || q.epilogue == Epilogue::kBiasResidual);

    const int64_t b_panels = blocks == 1 ? 1 : panels;
    packed_b = static_cast<T*>(thread_scratch(0, sizeof(T) * static_cast<size_t>(b_panels * kb * kWidth + 16)));
    const int64_t block_tiles = ceil_div(tiles, blocks);
    const int64_t a_size = a_in_place ? 0 : ceil_div(block_tiles * kRows * kb, 16) * 16 + 16;
    ldsums = sum_elsewhere ? panels * kWidth + 16 : 0;
    T* scratch = static_cast<T*>(thread_scratch(1, sizeof(T) * static_cast<size_t>(a_size + q.m * ldsums + 16)));
    packed_a = scratch;
    if (sum_elsewhere) sums = scratch + a_size;
  }

  // Tiles have m / tiles rows or one more; the larger come first.
  int64_t first_row(int64_t tile) const { return tile * fewer_rows + smaller(tile, larger_tiles); }
  int64_t first_tile(int64_t block) const { return block * tiles / blocks; }
};

// What the tiles of one panel prefetch for the next: the raw panel of b, or the packed one of an earlier row block.
// Shares are equal, so the last may reach past the panel; a prefetch never faults.
template <class T>
struct NextPanel {
  Prefetch<T> first;     // of tile 0
  int64_t per_tile = 0;  // from one tile's share to the next
  int64_t shares = 0;    // later tiles have none

  Prefetch<T> share(int64_t tile) const {
    if (tile >= shares) return {};
    Prefetch<T> p = first;
    p.next += tile * per_tile;
    return p;
  }

  // A transposed panel, cols rows of k: a tile fetches some rows, a line of each at every 16 steps of k.
  static NextPanel transposed(const T* b, int64_t ld, int64_t cols, int64_t tiles) {
    const int64_t each = ceil_div(cols, tiles), pairs = ceil_div(each, 2);
    return {.first = {.next = b, .pairs = pairs, .stride = ld, .second = each / 2 * ld, .step = 16},
            .per_tile = each * ld,
            .shares = ceil_div(cols, each)};
  }
  // A panel as stored, k rows of cols: a tile fetches some steps of k, first and last line of each.
  static NextPanel plain(const T* b, int64_t ld, int64_t k, int64_t cols, int64_t tiles) {
    const int64_t each = ceil_div(k, tiles), pairs = ceil_div(each, k / 16 + 1);
    return {.first = {.next = b, .pairs = pairs, .stride = ld, .second = cols - 1, .step = pairs * ld},
            .per_tile = each * ld,
            .shares = ceil_div(k, each)};
  }
  // A packed panel of `size` elements: a tile fetches a piece, from its start and from its middle on.
  static NextPanel packed(const T* b, int64_t k, int64_t size, int64_t tiles) {
    constexpr int64_t kLine = 64 / int64_t{sizeof(T)};
    const int64_t half = ceil_div(ceil_div(size, 2 * kLine), tiles), pairs = ceil_div(half, k / 16 + 1);
    return {.first = {.next = b, .pairs = pairs, .stride = kLine, .second = half * kLine, .step = pairs * kLine},
            .per_tile = 2 * half * kLine,
            .shares = tiles};
  }
};

template <class T>
void pack_a_block(const Product<T>& q, const Plan<T>& plan, int64_t tile0, int64_t tile1, int64_t p0, int64_t kc) {
  if (plan.a_in_place) return;
  const int64_t row0 = plan.first_row(tile0);
  if (!q.transpose_a) {
    for (int64_t t = tile0; t < tile1; ++t) {
      const int64_t i = plan.first_row(t), rows = plan.first_row(t + 1) - i;
      pack_a_rows(q.a + i * q.lda + p0, q.lda, rows, kc, plan.packed_a + (i - row0) * kc);
    }
  } else {
    const PackSteps<T> pack[2] = {pack_steps_of<T, TileSize<T>::kRows>(plan.fewer_rows),
                                  pack_steps_of<T, TileSize<T>::kRows>(plan.fewer_rows + 1)};
    // Eight steps of k across all tiles, then the next eight: reads whole lines of a while they are in L1.
    for (int64_t p = 0; p < kc; p += 8) {
      const int64_t steps = smaller(8, kc - p);
      for (int64_t t = tile0, i = row0; t < tile1; ++t) {
        const int64_t rows = plan.first_row(t + 1) - i;
        pack[rows - plan.fewer_rows](q.a + (p0 + p) * q.lda + i, q.lda, steps,
                                     plan.packed_a + (i - row0) * kc + p * rows);
        i += rows;
      }
    }
  }
}

// One panel of b at columns j0 .. j0+cols-1 and steps p0 .. p0+kc-1, against the row tiles tile0 .. tile1-1.
template <class T>
void run_panel(const Product<T>& q, const Plan<T>& plan, int64_t tile0, int64_t tile1, int64_t p0, int64_t kc,
               int64_t j0, int64_t cols, const T* b, int64_t ldb, const NextPanel<T>& next) {
  const bool last = p0 + kc >= q.k, gelu = last && q.epilogue == Epilogue::kBiasGelu;
  const bool bias = last && (gelu || q.epilogue == Epilogue::kBias || q.epilogue == Epilogue::kBiasResidual);
  const bool residual = last && (q.epilogue == Epilogue::kResidual || q.epilogue == Epilogue::kBiasResidual);
  T* const out = gelu && q.pre != nullptr ? q.pre : q.c;  // what GELU will read
  T* const sums = plan.sum_elsewhere ? plan.sums : q.c;   // where partial sums live
  const int64_t ldsums = plan.sum_elsewhere ? plan.ldsums : q.ldc;
  const int64_t row0 = plan.first_row(tile0);
  const bool b_packed = ldb == ceil_div(cols, kLanes) * kLanes;
  const TileRows lie = plan.a_in_place ? (q.transpose_a ? kBeside : kApart) : (b_packed ? kPacked : kBeside);
  const auto& kernels = ceil_div(cols, kLanes) == TileSize<T>::kVectors ? TileKernels<T, TileSize<T>::kVectors>::kKernel
                                                                        : TileKernels<T, 1>::kKernel;
  alignas(64) T tile[Plan<T>::kRows * Plan<T>::kWidth];

  for (int64_t t = tile0; t < tile1; ++t) {
    const int64_t i = plan.first_row(t), rows = plan.first_row(t + 1) - i;
    const int64_t at = i * q.ldc + j0;
    TileCall<T> call{.k = kc,
                     .a = nullptr,
                     .lda = q.lda,
                     .b = b,
                     .ldb = ldb,
                     .before = p0 == 0 ? nullptr : sums + i * ldsums + j0,
                     .ldbefore = ldsums,
                     .bias = bias ? q.bias + j0 : nullptr,
                     .residual = residual ? q.residual + at : nullptr,
                     .c = last ? out + at : sums + i * ldsums + j0,
                     .ldc = last ? q.ldc : ldsums,
                     .prefetch = next.share(t - tile0)};
    if (plan.a_in_place) {
      call.a = q.transpose_a ? q.a + p0 * q.lda + i : q.a + i * q.lda + p0;
    } else {
      call.a = plan.packed_a + (i - row0) * kc;
      call.lda = rows;
    }
    if (cols % kLanes == 0 || (!last && plan.sum_elsewhere)) {
      kernels[rows - 1][lie](call);
    } else {
      TileCall<T> to_tile = call;
      to_tile.before = to_tile.bias = to_tile.residual = nullptr;
      to_tile.c = tile;
      to_tile.ldc = Plan<T>::kWidth;
      kernels[rows - 1][lie](to_tile);
      store_edge_tile(tile, Plan<T>::kWidth, rows, cols, call);
    }
  }
  if (gelu) {
    const int64_t at = row0 * q.ldc + j0;
    gelu_panel(out + at, q.c + at, q.ldc, plan.first_row(tile1) - row0, cols);
  }
}

}  // namespace

template <class T>
void matmul_serial(const Product<T>& q) {
  if (q.m <= 0 || q.n <= 0) return;
  const Plan<T> plan(q);
  constexpr int64_t kWidth = Plan<T>::kWidth;

  const auto raw_b = [&](int64_t p, int64_t j) { return q.b + (q.transpose_b ? j * q.ldb + p : p * q.ldb + j); };
  const auto raw_panel = [&](int64_t p, int64_t j, int64_t tiles) {
    const int64_t cols = smaller(kWidth, q.n - j);
    return q.transpose_b ? NextPanel<T>::transposed(raw_b(p, j), q.ldb, cols, tiles)
                         : NextPanel<T>::plain(raw_b(p, j), q.ldb, smaller(plan.kb, q.k - p), cols, tiles);
  };

  int64_t p0 = 0;
  do {
    const int64_t kc = smaller(plan.kb, q.k - p0);
    for (int64_t block = 0; block < plan.blocks; ++block) {
      const int64_t tile0 = plan.first_tile(block), tile1 = plan.first_tile(block + 1);
      pack_a_block(q, plan, tile0, tile1, p0, kc);
      for (int64_t panel = 0; panel < plan.panels; ++panel) {
        const int64_t j0 = panel * kWidth, cols = smaller(kWidth, q.n - j0);
        const int64_t width = ceil_div(cols, kLanes) * kLanes;
        const T* b;
        int64_t ldb;
        if (plan.b_in_place && cols == width) {
          b = q.b + p0 * q.ldb + j0;
          ldb = q.ldb;
        } else {
          T* const packed = plan.packed_b + (plan.blocks == 1 ? 0 : panel * kc * kWidth);
          if (block == 0) {
            if (q.transpose_b)
              pack_b_transposed(raw_b(p0, j0), q.ldb, kc, cols, width, packed);
            else
              pack_b_plain(raw_b(p0, j0), q.ldb, kc, cols, width, packed);
          }
          b = packed;
          ldb = width;
        }
        NextPanel<T> next;
        const int64_t tiles = tile1 - tile0;
        if (panel + 1 < plan.panels)
          next = block == 0 ? raw_panel(p0, j0 + kWidth, tiles)
                            : NextPanel<T>::packed(b + kc * kWidth, kc, kc * kWidth, tiles);
        else if (block + 1 < plan.blocks)
          next = NextPanel<T>::packed(plan.packed_b, kc, kc * kWidth, tiles);
        else if (p0 + kc < q.k)
          next = raw_panel(p0 + kc, 0, tiles);
        run_panel(q, plan, tile0, tile1, p0, kc, j0, cols, b, ldb, next);
      }
    }
    p0 += plan.kb;
  } while (p0 < q.k);
}

template void matmul_serial<float>(const Product<float>&);
template void matmul_serial<double>(const Product<double>&);

}  // namespace taut::TAUT_CPU
