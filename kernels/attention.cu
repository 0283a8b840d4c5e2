// Attention in the numeric contract's order (kernels/attention.h). A block of four warps works on a few queries of one
// head (backward: on a few queries for dQ, then on a few keys for dK and dV, so that nothing is added by two blocks).
// Rows of K and V come through shared memory 32 at a time, a lane a row; whole rows of scores stay in shared memory, so
// the softmax needs no second pass and no rescaling.
#include <initializer_list>

#include "kernels/attention_head.cuh"
#include "kernels/sums.cuh"

namespace taut::TAUT_GPU {
namespace {

constexpr int kWarps = 4, kThreads = kWarps * kWarpSize;
constexpr int kKeys = 16;  // of a block, backward for keys

// to[r][e] (rows `line` apart) = factor from[first + r][e] for r < rows; zeros from row `end` on.
template <class T>
__device__ void load_rows(const T* from, int64_t distance, int64_t first, int64_t end, int rows, int64_t d, T factor,
                          T* to, int64_t line) {
  for (int64_t e = threadIdx.x; e < rows * d; e += kThreads) {
    const int64_t r = e / d, column = e % d;
    to[r * line + column] = first + r < end ? factor * from[(first + r) * distance + column] : T(0);
  }
}

// ---- forward --------------------------------------------------------------------------------------------------------

template <class T, int kQueries>
__global__ void attention_forward_kernel(const T* qkv, T* out, T* stats, AttentionShape s, T scale) {
  constexpr int kEach = kQueries / kWarps;
  Shared shared;
  T* const q = shared.take<T>(kQueries * s.d);
  T* const keys = shared.take<T>(kWarpSize * (s.d + 1));
  T* const scores = shared.take<T>(kQueries * s.t);
  const unsigned across = pieces(s.tq, kQueries);
  const int64_t at = blockIdx.x / across, first = static_cast<int64_t>(blockIdx.x % across) * kQueries;
  const Head<T> head(qkv, s, at);
  const int mine = static_cast<int>(threadIdx.x) / kWarpSize * kEach;  // this warp's first query
  load_rows(head.q, head.token, first, s.tq, kQueries, s.d, scale, q, s.d);
  for (int64_t j0 = 0; j0 < s.t; j0 += kWarpSize) {
    __syncthreads();
    load_rows(head.k, head.token, j0, s.t, kWarpSize, s.d, T(1), keys, s.d + 1);
    __syncthreads();
    if (j0 + lane() >= s.t) continue;
    const T* const key = keys + lane() * (s.d + 1);
    for (int i = mine; i < mine + kEach; ++i)
      scores[i * s.t + j0 + lane()] = product<T>(
          s.d, [&](int64_t e) { return q[i * s.d + e]; }, [&](int64_t e) { return key[e]; });
  }
  // A lane has the scores of the keys it will ask for.
  for (int i = mine; i < mine + kEach && first + i < s.tq; ++i) {
    T* const row = scores + i * s.t;
    const T m = row_max<T>(s.t, [&](int64_t j) { return row[j]; });
    const T z = T(1) / row_sum<T>(s.t, [&](int64_t j) { return row[j] = exp(row[j] - m); });
    __syncwarp();
    multiply_row(row, s.t, head.v, head.token, s.d, z,
                 out + ((at / s.heads * s.tq + first + i) * s.heads + at % s.heads) * s.d);
    if (stats == nullptr || lane() != 0) continue;
    stats[2 * (at * s.tq + first + i)] = m;
    stats[2 * (at * s.tq + first + i) + 1] = z;
  }
}

// ---- backward -------------------------------------------------------------------------------------------------------

// P and dP of one pair from what a lane holds of both sides.
template <class T>
__device__ __forceinline__ void pair(const T* q, const T* k, const T* dout, const T* v, int64_t d, T m, T z, T* p,
                                     T* dp) {
  const T score = product<T>(
      d, [&](int64_t e) { return q[e]; }, [&](int64_t e) { return k[e]; });
  *p = exp(score - m) * z;
  *dp = product<T>(
      d, [&](int64_t e) { return dout[e]; }, [&](int64_t e) { return v[e]; });
}

// dQ, and mean (b, heads, tq) = D for the kernel of keys. Queries from tq on get zeros.
template <class T, int kQueries>
__global__ void attention_backward_queries_kernel(const T* qkv, const T* stats, const T* dout, T* dqkv, T* mean,
                                                  AttentionShape s, T scale) {
  constexpr int kEach = kQueries / kWarps;
  Shared shared;
  T* const q = shared.take<T>(kQueries * s.d);
  T* const dout_rows = shared.take<T>(kQueries * s.d);
  T* const keys = shared.take<T>(kWarpSize * (s.d + 1));
  T* const values = shared.take<T>(kWarpSize * (s.d + 1));
  T* const p = shared.take<T>(kQueries * s.t);
  T* const ds = shared.take<T>(kQueries * s.t);
  const unsigned across = pieces(s.t, kQueries);
  const int64_t at = blockIdx.x / across, first = static_cast<int64_t>(blockIdx.x % across) * kQueries;
  const Head<T> head(qkv, s, at);
  T* const dq = dqkv + (head.q - qkv);
  const T* const dout_head = dout + (at / s.heads * s.tq * s.heads + at % s.heads) * s.d;
  const int mine = static_cast<int>(threadIdx.x) / kWarpSize * kEach;
  load_rows(head.q, head.token, first, s.tq, kQueries, s.d, scale, q, s.d);
  load_rows(dout_head, s.heads * s.d, first, s.tq, kQueries, s.d, T(1), dout_rows, s.d);
  for (int64_t j0 = 0; j0 < s.t; j0 += kWarpSize) {
    __syncthreads();
    load_rows(head.k, head.token, j0, s.t, kWarpSize, s.d, T(1), keys, s.d + 1);
    load_rows(head.v, head.token, j0, s.t, kWarpSize, s.d, T(1), values, s.d + 1);
    __syncthreads();
    if (j0 + lane() >= s.t) continue;
    for (int i = mine; i < mine + kEach && first + i < s.tq; ++i) {
      const T* const row_stats = stats + 2 * (at * s.tq + first + i);
      pair(q + i * s.d, keys + lane() * (s.d + 1), dout_rows + i * s.d, values + lane() * (s.d + 1), s.d, row_stats[0],
           row_stats[1], p + i * s.t + j0 + lane(), ds + i * s.t + j0 + lane());
    }
  }
  for (int i = mine; i < mine + kEach && first + i < s.t; ++i) {
    T* const to = dq + (first + i) * head.token;
    if (first + i >= s.tq) {
      for (int64_t e = lane(); e < s.d; e += kWarpSize) to[e] = 0;
      continue;
    }
    T *const p_row = p + i * s.t, *const ds_row = ds + i * s.t;
    const T d = row_sum<T>(s.t, [&](int64_t j) { return p_row[j] * ds_row[j]; });
    if (lane() == 0) mean[at * s.tq + first + i] = d;
    for (int64_t j = lane(); j < s.t; j += kWarpSize) ds_row[j] = p_row[j] * (ds_row[j] - d);
    __syncwarp();
    multiply_row(ds_row, s.t, head.k, head.token, s.d, scale, to);
  }
}

// dK and dV of kKeys keys: the queries go by 32 at a time, a lane a query, and every thread keeps the chains of its
// elements of dK and dV in shared memory from one to the next.
template <class T>
__global__ void attention_backward_keys_kernel(const T* qkv, const T* stats, const T* dout, const T* mean, T* dqkv,
                                               AttentionShape s, T scale) {
  constexpr int kEach = kKeys / kWarps;
  Shared shared;
  T* const keys = shared.take<T>(kKeys * s.d);
  T* const values = shared.take<T>(kKeys * s.d);
  T* const q = shared.take<T>(kWarpSize * (s.d + 1));
  T* const dout_rows = shared.take<T>(kWarpSize * (s.d + 1));
  T* const p = shared.take<T>(kKeys * (kWarpSize + 1));
  T* const ds = shared.take<T>(kKeys * (kWarpSize + 1));
  T* const chains = shared.take<T>(4 * kKeys * s.d);  // (dK, dV) chains, then sums of blocks
  const unsigned across = pieces(s.t, kKeys);
  const int64_t at = blockIdx.x / across, first = static_cast<int64_t>(blockIdx.x % across) * kKeys;
  const int64_t size = 2 * kKeys * s.d;
  const Head<T> head(qkv, s, at);
  const T* const dout_head = dout + (at / s.heads * s.tq * s.heads + at % s.heads) * s.d;
  T* const sums = chains + size;
  const int mine = static_cast<int>(threadIdx.x) / kWarpSize * kEach;
  load_rows(head.k, head.token, first, s.t, kKeys, s.d, T(1), keys, s.d);
  load_rows(head.v, head.token, first, s.t, kKeys, s.d, T(1), values, s.d);
  for (int64_t e = threadIdx.x; e < size; e += kThreads) chains[e] = sums[e] = 0;
  const int64_t block = k_block(s.tq);
  for (int64_t begin = 0; begin < s.tq; begin += block) {
    const int64_t end = begin + block < s.tq ? begin + block : s.tq;
    for (int64_t i0 = begin; i0 < end; i0 += kWarpSize) {
      __syncthreads();
      load_rows(head.q, head.token, i0, end, kWarpSize, s.d, scale, q, s.d + 1);
      load_rows(dout_head, s.heads * s.d, i0, end, kWarpSize, s.d, T(1), dout_rows, s.d + 1);
      __syncthreads();
      const int64_t row = at * s.tq + i0 + lane();
      if (i0 + lane() < end) {
        const T m = stats[2 * row], z = stats[2 * row + 1], d = mean[row];
        for (int j = mine; j < mine + kEach; ++j) {
          T* const p_of = p + j * (kWarpSize + 1) + lane();
          T* const ds_of = ds + j * (kWarpSize + 1) + lane();
          pair(q + lane() * (s.d + 1), keys + j * s.d, dout_rows + lane() * (s.d + 1), values + j * s.d, s.d, m, z,
               p_of, ds_of);
          *ds_of = *p_of * (*ds_of - d);
        }
      }
      __syncthreads();
      const int queries = static_cast<int>(end - i0 < kWarpSize ? end - i0 : kWarpSize);
      for (int64_t e = threadIdx.x; e < kKeys * s.d; e += kThreads) {
        const int64_t j = e / s.d, column = e % s.d;
        T dk = chains[e], dv = chains[kKeys * s.d + e];
        for (int i = 0; i < queries; ++i) {
          dk = fma(ds[j * (kWarpSize + 1) + i], q[i * (s.d + 1) + column], dk);
          dv = fma(p[j * (kWarpSize + 1) + i], dout_rows[i * (s.d + 1) + column], dv);
        }
        chains[e] = dk;
        chains[kKeys * s.d + e] = dv;
      }
    }
    for (int64_t e = threadIdx.x; e < kKeys * s.d; e += kThreads)
      for (int64_t at_sum = e; at_sum < size; at_sum += kKeys * s.d) {
        sums[at_sum] = begin == 0 ? chains[at_sum] : sums[at_sum] + chains[at_sum];
        chains[at_sum] = 0;
      }
  }
  T* const dk = dqkv + (head.k - qkv);
  T* const dv = dqkv + (head.v - qkv);
  for (int64_t e = threadIdx.x; e < kKeys * s.d; e += kThreads) {
    const int64_t j = e / s.d, column = e % s.d;
    if (first + j >= s.t) continue;
    dk[(first + j) * head.token + column] = sums[e];
    dv[(first + j) * head.token + column] = sums[kKeys * s.d + e];
  }
}

template <class T>
size_t bytes(std::initializer_list<int64_t> counts) {
  size_t sum = 0;
  for (const int64_t count : counts) sum += (static_cast<size_t>(count) * sizeof(T) + 15) / 16 * 16;
  return sum;
}

constexpr size_t kMostShared = size_t{96} << 10;  // what every GPU from sm_80 on gives a block

// Shared memory of each kernel's block.
template <class T>
size_t forward_bytes(const AttentionShape& s, int64_t queries) {
  return bytes<T>({queries * s.d, kWarpSize * (s.d + 1), queries * s.t});
}
template <class T>
size_t queries_bytes(const AttentionShape& s, int64_t queries) {
  return bytes<T>(
      {queries * s.d, queries * s.d, kWarpSize * (s.d + 1), kWarpSize * (s.d + 1), queries * s.t, queries * s.t});
}
template <class T>
size_t keys_bytes(const AttentionShape& s) {
  return bytes<T>({kKeys * s.d, kKeys * s.d, kWarpSize * (s.d + 1), kWarpSize * (s.d + 1), kKeys * (kWarpSize + 1),
                   kKeys * (kWarpSize + 1), 4 * kKeys * s.d});
}

}  // namespace

template <class T>
void attention_forward(Stream stream, const T* qkv, T* out, Real<T>* stats, const AttentionShape& s) {
  if (s.b * s.heads * s.tq * s.d == 0) return;
  if (forward_bytes<T>(s, 4) > most_shared_bytes()) return long_forward(stream, qkv, out, stats, s);
  const auto run = [&](auto kernel, int64_t queries) {
    launch(kernel, rows_of_blocks(pieces(s.tq, queries), static_cast<unsigned>(s.b * s.heads)), kThreads,
           forward_bytes<T>(s, queries), stream, qkv, out, stats, s, static_cast<T>(s.scale));
  };
  if (forward_bytes<T>(s, 16) <= kMostShared)
    run(attention_forward_kernel<T, 16>, 16);
  else
    run(attention_forward_kernel<T, 4>, 4);
}

template <class T>
void attention_backward(Stream stream, const T* qkv, const Real<T>* stats, const T* dout, T* dqkv,
                        const AttentionShape& s) {
  if (s.b * s.heads * s.t * s.d == 0) return;
  const DeviceScratch<T> mean(s.b * s.heads * s.tq);
  const auto heads = static_cast<unsigned>(s.b * s.heads);
  const auto run = [&](auto kernel, int64_t queries) {
    launch(kernel, rows_of_blocks(pieces(s.t, queries), heads), kThreads, queries_bytes<T>(s, queries), stream, qkv,
           stats, dout, dqkv, static_cast<T*>(mean), s, static_cast<T>(s.scale));
  };
  if (queries_bytes<T>(s, 4) > most_shared_bytes())
    long_queries<T>(stream, qkv, stats, dout, dqkv, mean, s);
  else if (queries_bytes<T>(s, 16) <= kMostShared)
    run(attention_backward_queries_kernel<T, 16>, 16);
  else
    run(attention_backward_queries_kernel<T, 4>, 4);
  if (keys_bytes<T>(s) > most_shared_bytes()) return long_keys<T>(stream, qkv, stats, dout, mean, dqkv, s);
  launch(attention_backward_keys_kernel<T>, rows_of_blocks(pieces(s.t, kKeys), heads), kThreads, keys_bytes<T>(s),
         stream, qkv, stats, dout, static_cast<const T*>(mean), dqkv, s, static_cast<T>(s.scale));
}

TAUT_INSTANTIATE_ATTENTION(float)
TAUT_INSTANTIATE_ATTENTION(double)

}  // namespace taut::TAUT_GPU
