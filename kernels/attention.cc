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
  const int64_t tiles = ceil_div(m, kRows);
  for (int64_t j = 0; j < n; j += kWidth) {
    const bool wide = n - j > kWidth - kLanes;
    for (int64_t tile = 0; tile < tiles; ++tile) {
      const int64_t i = tile * m / tiles, rows = (tile + 1) * m / tiles - i;
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
        TileKernels<T, TileSize<T>::kVectors>::kKernel[rows - 1][kTransposed](call);
      else
        TileKernels<T, 1>::kKernel[rows - 1][kTransposed](call);
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

// to (rows, d), rows `ldto` apart and padded with zeros to whole vectors, = factor * from.
template <class T>
void pack_rows(const T* from, int64_t ldfrom, int64_t rows, int64_t d, T factor, T* to, int64_t ldto) {
  const Vec<T> f = broadcast(factor);
  for (int64_t i = 0; i < rows; ++i)
    for (int64_t c = 0; c < d; c += kLanes) store(to + i * ldto + c, load_up_to(from + i * ldfrom + c, d - c) * f);
}

// to (d) = factor * from (d).
template <class T>
TAUT_INLINE void unpack_row(const T* from, int64_t d, T factor, T* to) {
  const Vec<T> f = broadcast(factor);
  for (int64_t c = 0; c < d; c += kLanes) store_up_to(to + c, load(from + c) * f, d - c);
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
  const int64_t rows_at_once = smaller(z.tq, kBlockTiles * TileSize<T>::kRows);
  const int64_t elements = (rows_at_once + z.t) * z.ldd + z.d * z.ldt + rows_at_once * (z.ldt + z.ldd);
  Pieces<T> pieces{static_cast<T*>(thread_scratch(2, sizeof(T) * static_cast<size_t>(elements)))};
  T* const scaled_q = pieces.take(rows_at_once * z.ldd);
  T* const packed_v = pieces.take(z.t * z.ldd);
  T* const k_t = pieces.take(z.d * z.ldt);
  T* const s = pieces.take(rows_at_once * z.ldt);
  T* const o = pieces.take(rows_at_once * z.ldd);
  const Mask<T> tail = tail_lanes<T>(z.t);

  pack_b_transposed(k, z.token, z.d, z.t, z.ldt, k_t);
  pack_rows(v, z.token, z.t, z.d, T(1), packed_v, z.ldd);
  for_row_blocks<T>(z.tq, [&](int64_t i0, int64_t rows) {
    pack_rows(q + i0 * z.token, z.token, rows, z.d, z.scale, scaled_q, z.ldd);
    multiply<T>(rows, z.t, z.d, {scaled_q, z.ldd, k_t, z.ldt, s, z.ldt}, ahead);
    T max_of[kBlockTiles * TileSize<T>::kRows], inverse_of[kBlockTiles * TileSize<T>::kRows];
    for (int64_t i = 0; i < rows; ++i) max_of[i] = row_max(s + i * z.ldt, z.t, tail);
    for (int64_t i = 0; i < rows; ++i) {
      T* const row = s + i * z.ldt;
      const Vec<T> m = broadcast(max_of[i]);
      inverse_of[i] = T(1) / row_sum<T>(
                                 z.t, [&](int64_t j, int64_t count) __attribute__((always_inline)) {
                                   Vec<T> p = exp(load(row + j) - m);
                                   if (count < kLanes) p = select(tail, p, broadcast(T(0)));
                                   store(row + j, p);
                                   return p;
                                 });
    }
    multiply<T>(rows, z.d, z.t, {s, z.ldt, packed_v, z.ldd, o, z.ldd}, ahead);
    for (int64_t i = 0; i < rows; ++i) {
      unpack_row(o + i * z.ldd, z.d, inverse_of[i], out + (i0 + i) * ldout);
      if (stats != nullptr) {
        stats[2 * (i0 + i)] = max_of[i];
        stats[2 * (i0 + i) + 1] = inverse_of[i];
      }
    }
  });
}

// ---- backward -------------------------------------------------------------------------------------------------------

// s (rows, t) scores -> P; dp (rows, t) -> dS.
template <class T>
void backward_rows(T* s, T* dp, int64_t rows, int64_t t, int64_t ldt, const T* stats, Mask<T> tail) {
  const Vec<T> zero = broadcast(T(0));
  for (int64_t i = 0; i < rows; ++i) {
    T* const p_row = s + i * ldt;
    T* const dp_row = dp + i * ldt;
    const Vec<T> m = broadcast(stats[2 * i]), inverse = broadcast(stats[2 * i + 1]);
    const Vec<T> mean = broadcast(row_sum<T>(
        t, [&](int64_t j, int64_t count) __attribute__((always_inline)) {
          const Vec<T> p = exp(load(p_row + j) - m) * inverse;
          store(p_row + j, p);
          const Vec<T> product = p * load(dp_row + j);
          return count < kLanes ? select(tail, product, zero) : product;
        }));
    for (int64_t j = 0; j < t; j += kLanes) store(dp_row + j, load(p_row + j) * (load(dp_row + j) - mean));
  }
}

// One head: q, k, v, dq, dk, dv rows `token` apart, dout rows `ldout` apart.
template <class T>
void backward_head(const Sizes<T>& z, const T* q, const T* k, const T* v, const T* stats, const T* dout, int64_t ldout,
                   T* dq, T* dk, T* dv, Ahead<T>& ahead) {
  const int64_t kb = k_block(z.tq);  // dV and dK are sums over the queries: their blocks of k are blocks of score rows
  const int64_t rows_at_once = smaller(z.tq, kBlockTiles * TileSize<T>::kRows);
  const int64_t elements = (2 * kb + 3 * z.t + rows_at_once) * z.ldd + 2 * z.d * z.ldt + 2 * kb * z.ldt;
  Pieces<T> pieces{static_cast<T*>(thread_scratch(2, sizeof(T) * static_cast<size_t>(elements)))};
  T* const scaled_q = pieces.take(kb * z.ldd);
  T* const packed_dout = pieces.take(kb * z.ldd);
  T* const packed_k = pieces.take(z.t * z.ldd);
  T* const k_t = pieces.take(z.d * z.ldt);
  T* const v_t = pieces.take(z.d * z.ldt);
  T* const p = pieces.take(kb * z.ldt);
  T* const ds = pieces.take(kb * z.ldt);
  T* const dq_rows = pieces.take(rows_at_once * z.ldd);
  T* const sum_k = pieces.take(z.t * z.ldd);
  T* const sum_v = pieces.take(z.t * z.ldd);
  const Mask<T> tail = tail_lanes<T>(z.t);

  pack_b_transposed(k, z.token, z.d, z.t, z.ldt, k_t);
  pack_b_transposed(v, z.token, z.d, z.t, z.ldt, v_t);
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
      for (int64_t i = 0; i < rows; ++i) unpack_row(dq_rows + i * z.ldd, z.d, z.scale, dq + (first + i0 + i) * z.token);
    });
    multiply_block<T, true>(z.t, z.d, queries, {p, z.ldt, packed_dout, z.ldd, sum_v, z.ldd}, first > 0, ahead);
    multiply_block<T, true>(z.t, z.d, queries, {ds, z.ldt, scaled_q, z.ldd, sum_k, z.ldd}, first > 0, ahead);
  }
  for (int64_t j = 0; j < z.t; ++j) {
    unpack_row(sum_k + j * z.ldd, z.d, T(1), dk + j * z.token);
    unpack_row(sum_v + j * z.ldd, z.d, T(1), dv + j * z.token);
    if (j >= z.tq) __builtin_memset(dq + j * z.token, 0, sizeof(T) * static_cast<size_t>(z.d));
  }
}

// Where the rows of the at-th (image, head) start, if an image takes `image` elements.
int64_t head_offset(const AttentionShape& s, int64_t image, int64_t at) {
  return at / s.heads * image + at % s.heads * s.d;
}

}  // namespace

template <class T>
void attention_forward(Stream, const T* qkv, T* out, T* stats, const AttentionShape& s) {
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
void attention_backward(Stream, const T* qkv, const T* stats, const T* dout, T* dqkv, const AttentionShape& s) {
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

#define TAUT_INSTANTIATE(T)                                                            \
  template void attention_forward<T>(Stream, const T*, T*, T*, const AttentionShape&); \
  template void attention_backward<T>(Stream, const T*, const T*, const T*, T*, const AttentionShape&);
TAUT_INSTANTIATE(float)
TAUT_INSTANTIATE(double)

}  // namespace taut::TAUT_CPU
