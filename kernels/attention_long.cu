// Attention whose rows fit into no block's shared memory: thousands of tokens in f32, or heads of hundreds of numbers.
// A warp works on one row of scores, which lies in device memory, and reads q, k and v where they are. The order of
// additions is that of attention.cu, which is several times faster where it can be.
#include "kernels/attention_head.cuh"
#include "kernels/sums.cuh"

namespace taut::TAUT_GPU {
namespace {

constexpr int kThreads = 128;
// Numbers that lie in device memory at once; few on the runner, so that a warp comes to a second row there.
constexpr int64_t kMostScores = kDeviceKind == DeviceKind::kCuda ? int64_t{64} << 20 : 32;

template <class T>
__global__ void attention_long_forward_kernel(const T* qkv, T* out, T* stats, T* scores, AttentionShape s, T scale) {
  T* const row = scores + warp_in_grid() * s.t;
  for (int64_t at = warp_in_grid(); at < s.b * s.heads * s.tq; at += warps_in_grid()) {
    const int64_t head_at = at / s.tq, i = at % s.tq;
    const Head<T> head(qkv, s, head_at);
    const T* const q = head.q + i * head.token;
    // A lane has the scores of the keys it will ask for.
    for (int64_t j = lane(); j < s.t; j += kWarpSize)
      row[j] = product<T>(
          s.d, [&](int64_t e) { return scale * q[e]; }, [&](int64_t e) { return head.k[j * head.token + e]; });
    const T m = row_max<T>(s.t, [&](int64_t j) { return row[j]; });
    const T z = T(1) / row_sum<T>(s.t, [&](int64_t j) { return row[j] = exp(row[j] - m); });
    __syncwarp();
    multiply_row(row, s.t, head.v, head.token, s.d, z,
                 out + ((head_at / s.heads * s.tq + i) * s.heads + head_at % s.heads) * s.d);
    __syncwarp();
    if (stats == nullptr || lane() != 0) continue;
    stats[2 * at] = m;
    stats[2 * at + 1] = z;
  }
}

// P and dP of query i and key j.
template <class T>
__device__ void long_pair(const Head<T>& head, const T* dout, int64_t i, int64_t j, int64_t d, T scale, const T* stats,
                          T* p, T* dp) {
  const T *const q = head.q + i * head.token, *const k = head.k + j * head.token, *const v = head.v + j * head.token;
  const T score = product<T>(
      d, [&](int64_t e) { return scale * q[e]; }, [&](int64_t e) { return k[e]; });
  *p = exp(score - stats[0]) * stats[1];
  *dp = product<T>(
      d, [&](int64_t e) { return dout[e]; }, [&](int64_t e) { return v[e]; });
}

// dQ and mean. Queries from tq on get zeros.
template <class T>
__global__ void attention_long_queries_kernel(const T* qkv, const T* stats, const T* dout, T* dqkv, T* mean, T* scores,
                                              AttentionShape s, T scale) {
  T *const p = scores + warp_in_grid() * 2 * s.t, *const ds = p + s.t;
  for (int64_t at = warp_in_grid(); at < s.b * s.heads * s.t; at += warps_in_grid()) {
    const int64_t head_at = at / s.t, i = at % s.t;
    const Head<T> head(qkv, s, head_at);
    T* const dq = dqkv + (head.q - qkv) + i * head.token;
    if (i >= s.tq) {
      for (int64_t e = lane(); e < s.d; e += kWarpSize) dq[e] = 0;
      continue;
    }
    const T* const dout_row = dout + ((head_at / s.heads * s.tq + i) * s.heads + head_at % s.heads) * s.d;
    for (int64_t j = lane(); j < s.t; j += kWarpSize)
      long_pair(head, dout_row, i, j, s.d, scale, stats + 2 * (head_at * s.tq + i), p + j, ds + j);
    const T d = row_sum<T>(s.t, [&](int64_t j) { return p[j] * ds[j]; });
    if (lane() == 0) mean[head_at * s.tq + i] = d;
    for (int64_t j = lane(); j < s.t; j += kWarpSize) ds[j] = p[j] * (ds[j] - d);
    __syncwarp();
    multiply_row(ds, s.t, head.k, head.token, s.d, scale, dq);
    __syncwarp();
  }
}

template <class T>
__global__ void attention_long_keys_kernel(const T* qkv, const T* stats, const T* dout, const T* mean, T* dqkv,
                                           T* scores, AttentionShape s, T scale) {
  T *const p = scores + warp_in_grid() * 2 * s.tq, *const ds = p + s.tq;
  for (int64_t at = warp_in_grid(); at < s.b * s.heads * s.t; at += warps_in_grid()) {
    const int64_t head_at = at / s.t, j = at % s.t;
    const Head<T> head(qkv, s, head_at);
    const T* const dout_head = dout + (head_at / s.heads * s.tq * s.heads + head_at % s.heads) * s.d;
    for (int64_t i = lane(); i < s.tq; i += kWarpSize) {
      const int64_t row = head_at * s.tq + i;
      long_pair(head, dout_head + i * s.heads * s.d, i, j, s.d, scale, stats + 2 * row, p + i, ds + i);
      ds[i] = p[i] * (ds[i] - mean[row]);
    }
    __syncwarp();
    const int64_t to = j * head.token;
    for (int64_t e = lane(); e < s.d; e += kWarpSize)
      dqkv[head.k - qkv + to + e] = product<T>(
          s.tq, [&](int64_t i) { return ds[i]; }, [&](int64_t i) { return scale * head.q[i * head.token + e]; });
    multiply_row(p, s.tq, dout_head, s.heads * s.d, s.d, T(1), dqkv + (head.v - qkv) + to);
    __syncwarp();
  }
}

// launch_with(grid, scores): a warp a row, in a loop over the grid, with `width` numbers of device memory each.
template <class T, class F>
void by_rows(int64_t rows, int64_t width, F&& launch_with) {
  constexpr int64_t kWarps = kThreads / kWarpSize;
  const int64_t wanted = (rows + kWarps - 1) / kWarps, most = kMostScores / (kWarps * (width > 0 ? width : 1));
  const int64_t blocks = wanted < most ? wanted : most > 0 ? most : 1;
  const DeviceScratch<T> scores(blocks * kWarps * width);
  launch_with(dim3(static_cast<unsigned>(blocks)), static_cast<T*>(scores));
}

}  // namespace

template <class T>
void long_forward(Stream stream, const T* qkv, T* out, T* stats, const AttentionShape& s) {
  by_rows<T>(s.b * s.heads * s.tq, s.t, [&](dim3 grid, T* scores) {
    launch(attention_long_forward_kernel<T>, grid, kThreads, 0, stream, qkv, out, stats, scores, s,
           static_cast<T>(s.scale));
  });
}

template <class T>
void long_queries(Stream stream, const T* qkv, const T* stats, const T* dout, T* dqkv, T* mean,
                  const AttentionShape& s) {
  by_rows<T>(s.b * s.heads * s.t, 2 * s.t, [&](dim3 grid, T* scores) {
    launch(attention_long_queries_kernel<T>, grid, kThreads, 0, stream, qkv, stats, dout, dqkv, mean, scores, s,
           static_cast<T>(s.scale));
  });
}

template <class T>
void long_keys(Stream stream, const T* qkv, const T* stats, const T* dout, const T* mean, T* dqkv,
               const AttentionShape& s) {
  by_rows<T>(s.b * s.heads * s.t, 2 * s.tq, [&](dim3 grid, T* scores) {
    launch(attention_long_keys_kernel<T>, grid, kThreads, 0, stream, qkv, stats, dout, mean, dqkv, scores, s,
           static_cast<T>(s.scale));
  });
}

#define TAUT_INSTANTIATE_LONG_ATTENTION(T)                                                            \
  template void long_forward<T>(Stream, const T*, T*, T*, const AttentionShape&);                     \
  template void long_queries<T>(Stream, const T*, const T*, const T*, T*, T*, const AttentionShape&); \
  template void long_keys<T>(Stream, const T*, const T*, const T*, const T*, T*, const AttentionShape&);
TAUT_INSTANTIATE_LONG_ATTENTION(float)
TAUT_INSTANTIATE_LONG_ATTENTION(double)
#undef TAUT_INSTANTIATE_LONG_ATTENTION

}  // namespace taut::TAUT_GPU
