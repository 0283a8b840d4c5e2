// Attention on the CPU (kernels/attention.h): threads take (image, head) pairs; what a head needs is packed once into
// scratch that stays in L2, and the score rows of a few tiles go through product, softmax and product while they are
// hot.
//
// Packing costs 1-2 % and buys reads that do not collide in L1 (in place, the rows of a head lie 3 heads d apart) and
// tiles without edges: rows are padded to whole vectors and to an odd number of cache lines.
#include "kernels/attention.h"

#include "kernels/math.h"
#include "kernels/matmul_micro.h"
#include "kernels/matmul_pack.h"
#include "kernels/matmul_tile.h"
#include "kernels/parallel.h"

namespace taut::TAUT_CPU {
namespace {

// Row tiles whose scores are worked on together: 4 x 14 rows of 197 scores are 45 KiB.
constexpr int64_t kBlockTiles = 4;
template <class T>
constexpr int64_t kMaxRows = kBlockTiles* TileSize<T>::kRows;

int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }
int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

// Distance of rows of n elements: whole vectors, an odd number of them.
int64_t padded(int64_t n) { return (ceil_div(n, kLanes) | 1) * kLanes; }

// Rows of memory that will be wanted soon, fetched into L2 from inside the tile kernels, a row every 16 steps of k:
// what a head packs and writes comes from far away, and fetched only then it costs a tenth of the time (197 tokens, Zen
// 4).
template <class T>
class Ahead {
 public:
  explicit Ahead(int64_t width) : pairs_(ceil_div(width, 2 * kLine)) {}
  // `count` rows of `width` elements, `stride` apart; at most 7 times.
  void add(const T* first, int64_t stride, int64_t count) { parts_[size_++] = {first, stride, count}; }
  // The share of the next tile, k steps long.
  Prefetch<T> take(int64_t k) {
    if (part_ == size_) return {};
    const Rows& r = parts_[part_];
    const Prefetch<T> p{.next = r.first + row_ * r.stride,
                        .pairs = pairs_,
                        .stride = kLine,
                        .second = pairs_ * kLine,
                        .step = r.stride};
    row_ += k / 16;
    if (row_ >= r.count) {
      ++part_;
      row_ = 0;
    }
    return p;
  }

 private:
  static constexpr int64_t kLine = 64 / int64_t{sizeof(T)};
  struct Rows {
    const T* first;
    int64_t stride, count;
  };
  Rows parts_[7];
  int64_t pairs_, size_ = 0, part_ = 0, row_ = 0;
};

// Operands of a product in scratch: b and c may be read and written up to whole vectors of columns.
template <class T>
struct Operands {
  const T* a;  // (m, k), or (k, m) if transposed; rows lda apart
  int64_t lda;
  const T* b;  // (k, n)
  int64_t ldb;
  T* c;  // (m, n)
  int64_t ldc;
};

// c = a b, or c + a b, over one block of k.
template <class T, bool kTransposed>
void multiply_block(int64_t m, int64_t n, int64_t k, const Operands<T>& o, bool accumulate, Ahead<T>& ahead) {
  constexpr int64_t kRows = TileSize<T>::kRows, kVectors = TileSize<T>::kVectors, kWidth = kLanes * kVectors;
  const int64_t tiles = ceil_div(m, kRows), least = m / tiles,
                larger = m - least * tiles;  // rows of a tile, or one more
  for (int64_t j = 0; j < n; j += kWidth) {
    const bool wide = n - j > kWidth - kLanes;
    int64_t rows;
    for (int64_t tile = 0, i = 0; tile < tiles; ++tile, i += rows) {
      rows = least + (tile < larger ? 1 : 0);
      T* const c = o.c + i * o.ldc + j;
      const TileCall<T> call{.k = k,
                             .a = o.a + (kTransposed ? i : i * o.lda),
                             .lda = o.lda,
                             .b = o.b + j,
                             .ldb = o.ldb,
                             .before = accumulate ? c : nullptr,
                             .ldbefore = o.ldc,
                             .bias = nullptr,
                             .residual = nullptr,
                             .c = c,
                             .ldc = o.ldc,
                             .prefetch = ahead.take(k)};
      if (wide)
        TileKernels<T, TileSize<T>::kVectors>::kKernel[rows - 1][kTransposed ? kBeside : kApart](call);
      else
        TileKernels<T, 1>::kKernel[rows - 1][kTransposed ? kBeside : kApart](call);
    }
  }
}

// c = a b in the contract's order: blocks of k, summed in c.
template <class T>
void multiply(int64_t m, int64_t n, int64_t k, const Operands<T>& o, Ahead<T>& ahead) {
  const int64_t kb = k_block(k);
  for (int64_t p = 0; p < k; p += kb) {
    Operands<T> block = o;
    block.a += p;
    block.b += p * o.ldb;
    multiply_block<T, false>(m, n, smaller(kb, k - p), block, p > 0, ahead);
  }
}

// to (rows, d) = from (rows, d) times factor(row). kPad: to's rows are padded with zeros to whole vectors.
template <bool kPad, class T, class Factor>
TAUT_INLINE void copy_rows(const T* from, int64_t ldfrom, int64_t rows, int64_t d, Factor&& factor, T* to,
                           int64_t ldto) {
  int64_t c = 0;
  for (; c + kLanes <= d; c += kLanes) {
#pragma GCC unroll 4
    for (int64_t i = 0; i < rows; ++i) store(to + i * ldto + c, load(from + i * ldfrom + c) * broadcast(factor(i)));
  }
  if (c == d) return;
  for (int64_t i = 0; i < rows; ++i) {
    const Vec<T> x = load_partial(from + i * ldfrom + c, d - c) * broadcast(factor(i));
    if (kPad)
      store(to + i * ldto + c, x);
    else
      store_partial(to + i * ldto + c, x, d - c);
  }
}
template <class T>
void pack_rows(const T* from, int64_t ldfrom, int64_t rows, int64_t d, T factor, T* to, int64_t ldto) {
  copy_rows<true>(
      from, ldfrom, rows, d, [&](int64_t) { return factor; }, to, ldto);
}

// to (d, rows) = from (rows, d) transposed, zeros up to whole vectors both ways; `edge` holds kLanes padded rows.
template <class T>
void pack_transposed(const T* from, int64_t ldfrom, int64_t rows, int64_t d, T* to, int64_t ldto, T* edge) {
  for (int64_t j = 0; j < rows; j += kLanes) {
    const T* block = from + j * ldfrom;
    int64_t ld = ldfrom;
    if (rows - j < kLanes || d % kLanes != 0) {
      const int64_t valid = smaller(kLanes, rows - j);
      ld = padded(d);
      pack_rows(block, ldfrom, valid, d, T(1), edge, ld);
      __builtin_memset(edge + valid * ld, 0, sizeof(T) * static_cast<size_t>((kLanes - valid) * ld));
      block = edge;
    }
    for (int64_t p = 0; p < d; p += kLanes) pack_transposed_block(block + p, ld, to + p * ldto + j, ldto);
  }
}

// Which lanes of a row's last vector exist.
template <class T>
Mask<T> tail_lanes(int64_t n) {
  constexpr T kIota[kLanes] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
  const int64_t rest = n % kLanes;
  return less(load(kIota), broadcast(static_cast<T>(rest == 0 ? kLanes : rest)));
}

// Largest element of a row; `tail` as above.
template <class T>
TAUT_INLINE T row_max(const T* s, int64_t n, Mask<T> tail) {
  const Vec<T> lowest = broadcast(-static_cast<T>(__builtin_inf()));
  Vec<T> m0 = lowest, m1 = lowest;
  int64_t j = 0;
  for (; j + 2 * kLanes < n; j += 2 * kLanes) {
    m0 = max(m0, load(s + j));
    m1 = max(m1, load(s + j + kLanes));
  }
  if (j + kLanes < n) {
    m0 = max(m0, load(s + j));
    j += kLanes;
  }
  return fold_max(max(max(m0, m1), select(tail, load(s + j), lowest)));
}

// s (n) -> factor exp(s - m), padding included: a loop without tails keeps the constants of exp in registers.
template <class T>
TAUT_INLINE void exp_row(T* s, int64_t n, T m) {
  const Vec<T> m_v = broadcast(m);
  for (int64_t j = 0; j < n; j += kLanes) store(s + j, exp(load(s + j) - m_v));
}
template <class T>
TAUT_INLINE void exp_row(T* s, int64_t n, T m, T factor) {
  const Vec<T> m_v = broadcast(m), factor_v = broadcast(factor);
  for (int64_t j = 0; j < n; j += kLanes) store(s + j, exp(load(s + j) - m_v) * factor_v);
}

// x, but +0 in the lanes of a row's last vector that do not exist.
template <class T>
TAUT_INLINE Vec<T> existing(Vec<T> x, int64_t count, Mask<T> tail) {
  return count < kLanes ? select(tail, x, broadcast(T(0))) : x;
}

// What is the same for every head of a call.
template <class T>
struct Sizes {
  int64_t t, tq, d, ldt, ldd, token;  // rows of t and of d elements in scratch; distance of tokens in qkv
  int64_t tiles;                      // row tiles over the queries
  T scale;

  explicit Sizes(const AttentionShape& s)
      : t(s.t),
        tq(s.tq),
        d(s.d),
        ldt(padded(s.t)),
        ldd(padded(s.d)),
        token(3 * s.heads * s.d),
        tiles(ceil_div(s.tq, TileSize<T>::kRows)),
        scale(static_cast<T>(s.scale)) {}
};

// Hands out pieces of one scratch buffer, a cache line apart or more.
template <class T>
struct Pieces {
  T* next;
  T* take(int64_t n) {
    T* const p = next;
    next += ceil_div(n, kLanes) * kLanes;
    return p;
  }
};

// Calls body(first row, rows) for groups of kBlockTiles row tiles of m rows.
template <class T, class Body>
TAUT_INLINE void for_row_blocks(int64_t m, Body&& body) {
  const int64_t tiles = ceil_div(m, TileSize<T>::kRows);
  for (int64_t tile = 0; tile < tiles; tile += kBlockTiles) {
    const int64_t i = tile * m / tiles, end = smaller(tile + kBlockTiles, tiles) * m / tiles;
    body(i, end - i);
  }
}

// ---- forward --------------------------------------------------------------------------------------------------------

// One head: q, k, v rows `token` apart, out rows `ldout` apart; stats (tq, 2) or null.
template <class T>
void forward_head(const Sizes<T>& z, const T* q, const T* k, const T* v, T* out, int64_t ldout, T* stats,
                  Ahead<T>& ahead) {
  const int64_t rows_at_once = smaller(z.tq, kMaxRows<T>);
  const int64_t elements = (2 * rows_at_once + z.t + kLanes) * z.ldd + (z.ldd + rows_at_once) * z.ldt;
  Pieces<T> pieces{static_cast<T*>(thread_scratch(2, sizeof(T) * static_cast<size_t>(elements)))};
  T* const scaled_q = pieces.take(rows_at_once * z.ldd);
  T* const packed_v = pieces.take(z.t * z.ldd);
  T* const edge = pieces.take(kLanes * z.ldd);
  T* const k_t = pieces.take(z.ldd * z.ldt);
  T* const s = pieces.take(rows_at_once * z.ldt);
  T* const o = pieces.take(rows_at_once * z.ldd);
  const Mask<T> tail = tail_lanes<T>(z.t);

  pack_transposed(k, z.token, z.t, z.d, k_t, z.ldt, edge);
  pack_rows(v, z.token, z.t, z.d, T(1), packed_v, z.ldd);
  for_row_blocks<T>(z.tq, [&](int64_t i0, int64_t rows) {
    pack_rows(q + i0 * z.token, z.token, rows, z.d, z.scale, scaled_q, z.ldd);
    multiply<T>(rows, z.t, z.d, {scaled_q, z.ldd, k_t, z.ldt, s, z.ldt}, ahead);
    T max_of[kMaxRows<T>];
    Vec<T> sum_of[kMaxRows<T>];
    for (int64_t i = 0; i < rows; ++i) max_of[i] = row_max(s + i * z.ldt, z.t, tail);
    for (int64_t i = 0; i < rows; ++i) exp_row(s + i * z.ldt, z.t, max_of[i]);
    for (int64_t i = 0; i < rows; ++i) {
      const T* const row = s + i * z.ldt;
      sum_of[i] = row_sum_lanes<T>(
          z.t, [&](int64_t j, int64_t count)
                   __attribute__((always_inline)) { return existing(load(row + j), count, tail); });
    }
    multiply<T>(rows, z.d, z.t, {s, z.ldt, packed_v, z.ldd, o, z.ldd}, ahead);
    T inverse_of[kMaxRows<T>];
    for (int64_t i = 0; i < rows; ++i) inverse_of[i] = T(1) / fold_sum(sum_of[i]);
    copy_rows<false>(
        o, z.ldd, rows, z.d, [&](int64_t i) { return inverse_of[i]; }, out + i0 * ldout, ldout);
    if (stats == nullptr) return;
    for (int64_t i = 0; i < rows; ++i) {
      stats[2 * (i0 + i)] = max_of[i];
      stats[2 * (i0 + i) + 1] = inverse_of[i];
    }
  });
}

// ---- backward -------------------------------------------------------------------------------------------------------

// s (rows, t) scores -> P; dp (rows, t) -> dS.
template <class T>
void backward_rows(T* s, T* dp, int64_t rows, int64_t t, int64_t ldt, const T* stats, Mask<T> tail) {
  Vec<T> mean_of[kMaxRows<T>];
  for (int64_t i = 0; i < rows; ++i) exp_row(s + i * ldt, t, stats[2 * i], stats[2 * i + 1]);
  for (int64_t i = 0; i < rows; ++i) {
    const T* const p_row = s + i * ldt;
    const T* const dp_row = dp + i * ldt;
    mean_of[i] = row_sum_lanes<T>(
        t, [&](int64_t j, int64_t count)
               __attribute__((always_inline)) { return existing(load(p_row + j) * load(dp_row + j), count, tail); });
  }
  for (int64_t i = 0; i < rows; ++i) {
    const T* const p_row = s + i * ldt;
    T* const dp_row = dp + i * ldt;
    const Vec<T> mean = broadcast(fold_sum(mean_of[i]));
    for (int64_t j = 0; j < t; j += kLanes) store(dp_row + j, load(p_row + j) * (load(dp_row + j) - mean));
  }
}

// One head: q, k, v, dq, dk, dv rows `token` apart, dout rows `ldout` apart.
template <class T>
void backward_head(const Sizes<T>& z, const T* q, const T* k, const T* v, const T* stats, const T* dout, int64_t ldout,
                   T* dq, T* dk, T* dv, Ahead<T>& ahead) {
  const int64_t kb = k_block(z.tq);  // dV and dK are sums over the queries: their blocks of k are blocks of score rows
  const int64_t rows_at_once = smaller(z.tq, kMaxRows<T>);
  const bool in_place = z.d % kLanes == 0;  // whole vectors of dk and dv can be stored where they belong
  const int64_t sums = in_place ? 0 : z.t * z.ldd;
  const int64_t elements = (2 * kb + z.t + rows_at_once + kLanes) * z.ldd + 2 * (z.ldd + kb) * z.ldt + 2 * sums;
  Pieces<T> pieces{static_cast<T*>(thread_scratch(2, sizeof(T) * static_cast<size_t>(elements)))};
  T* const scaled_q = pieces.take(kb * z.ldd);
  T* const packed_dout = pieces.take(kb * z.ldd);
  T* const packed_k = pieces.take(z.t * z.ldd);
  T* const edge = pieces.take(kLanes * z.ldd);
  T* const k_t = pieces.take(z.ldd * z.ldt);
  T* const v_t = pieces.take(z.ldd * z.ldt);
  T* const p = pieces.take(kb * z.ldt);
  T* const ds = pieces.take(kb * z.ldt);
  T* const dq_rows = pieces.take(rows_at_once * z.ldd);
  T* const sum_k = in_place ? dk : pieces.take(sums);
  T* const sum_v = in_place ? dv : pieces.take(sums);
  const int64_t ldsum = in_place ? z.token : z.ldd;
  const Mask<T> tail = tail_lanes<T>(z.t);

  pack_transposed(k, z.token, z.t, z.d, k_t, z.ldt, edge);
  pack_transposed(v, z.token, z.t, z.d, v_t, z.ldt, edge);
  pack_rows(k, z.token, z.t, z.d, T(1), packed_k, z.ldd);
  for (int64_t first = 0; first < z.tq; first += kb) {
    const int64_t queries = smaller(kb, z.tq - first);
    pack_rows(q + first * z.token, z.token, queries, z.d, z.scale, scaled_q, z.ldd);
    pack_rows(dout + first * ldout, ldout, queries, z.d, T(1), packed_dout, z.ldd);
    for_row_blocks<T>(queries, [&](int64_t i0, int64_t rows) {
      T* const p_block = p + i0 * z.ldt;
      T* const ds_block = ds + i0 * z.ldt;
      multiply<T>(rows, z.t, z.d, {scaled_q + i0 * z.ldd, z.ldd, k_t, z.ldt, p_block, z.ldt}, ahead);
      multiply<T>(rows, z.t, z.d, {packed_dout + i0 * z.ldd, z.ldd, v_t, z.ldt, ds_block, z.ldt}, ahead);
      backward_rows(p_block, ds_block, rows, z.t, z.ldt, stats + 2 * (first + i0), tail);
      multiply<T>(rows, z.d, z.t, {ds_block, z.ldt, packed_k, z.ldd, dq_rows, z.ldd}, ahead);
      copy_rows<false>(
          dq_rows, z.ldd, rows, z.d, [&](int64_t) { return z.scale; }, dq + (first + i0) * z.token, z.token);
    });
    multiply_block<T, true>(z.t, z.d, queries, {p, z.ldt, packed_dout, z.ldd, sum_v, ldsum}, first > 0, ahead);
    multiply_block<T, true>(z.t, z.d, queries, {ds, z.ldt, scaled_q, z.ldd, sum_k, ldsum}, first > 0, ahead);
  }
  if (!in_place) {
    const auto one = [](int64_t) { return T(1); };
    copy_rows<false>(sum_k, z.ldd, z.t, z.d, one, dk, z.token);
    copy_rows<false>(sum_v, z.ldd, z.t, z.d, one, dv, z.token);
  }
  for (int64_t j = z.tq; j < z.t; ++j) __builtin_memset(dq + j * z.token, 0, sizeof(T) * static_cast<size_t>(z.d));
}

// Where the rows of the at-th (image, head) start, if an image takes `image` elements.
int64_t head_offset(const AttentionShape& s, int64_t image, int64_t at) {
  return at / s.heads * image + at % s.heads * s.d;
}

}  // namespace

template <class T>
void attention_forward(Stream, const T* qkv, T* out, Real<T>* stats, const AttentionShape& s) {
  const Sizes<T> z(s);
  const int64_t items = s.b * s.heads, part = s.heads * s.d, threads = num_threads();
  parallel_for(items, 1, [&](int64_t begin, int64_t end) {
    for (int64_t at = begin; at < end; ++at) {
      const T* const q = qkv + head_offset(s, s.t * z.token, at);
      T* const to = out + head_offset(s, s.tq * part, at);
      Ahead<T> ahead(s.d);
      ahead.add(to, part, s.tq);
      if (at + threads < items) {  // most likely the head this thread takes next
        const T* const next = qkv + head_offset(s, s.t * z.token, at + threads);
        ahead.add(next + part, z.token, s.t);
        ahead.add(next + 2 * part, z.token, s.t);
        ahead.add(next, z.token, s.tq);
      }
      forward_head(z, q, q + part, q + 2 * part, to, part, stats == nullptr ? nullptr : stats + 2 * at * s.tq, ahead);
    }
  });
}

template <class T>
void attention_backward(Stream, const T* qkv, const Real<T>* stats, const T* dout, T* dqkv, const AttentionShape& s) {
  const Sizes<T> z(s);
  const int64_t items = s.b * s.heads, part = s.heads * s.d, threads = num_threads();
  if (s.tq == 0) __builtin_memset(dqkv, 0, sizeof(T) * static_cast<size_t>(s.b * s.t * z.token));
  if (s.tq == 0) return;
  parallel_for(items, 1, [&](int64_t begin, int64_t end) {
    for (int64_t at = begin; at < end; ++at) {
      const T* const q = qkv + head_offset(s, s.t * z.token, at);
      T* const dq = dqkv + head_offset(s, s.t * z.token, at);
      Ahead<T> ahead(s.d);
      ahead.add(dq, z.token, s.t);
      if (at + threads < items) {
        const T* const next = qkv + head_offset(s, s.t * z.token, at + threads);
        ahead.add(next + part, z.token, s.t);
        ahead.add(next + 2 * part, z.token, s.t);
        ahead.add(next, z.token, s.tq);
        ahead.add(dout + head_offset(s, s.tq * part, at + threads), part, s.tq);
      }
      ahead.add(dq + part, z.token, s.t);
      ahead.add(dq + 2 * part, z.token, s.t);
      backward_head(z, q, q + part, q + 2 * part, stats + 2 * at * s.tq, dout + head_offset(s, s.tq * part, at), part,
                    dq, dq + part, dq + 2 * part, ahead);
    }
  });
}

TAUT_INSTANTIATE_ATTENTION(float)
TAUT_INSTANTIATE_ATTENTION(double)

}  // namespace taut::TAUT_CPU
