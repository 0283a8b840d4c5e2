// The ladder of attention: out (b, t, heads, d) of a fused qkv (b, t, 3, heads, d). Data: in qkv; scratch (b, heads, t,
// t); size b, t, heads, d; number scale.
#include "kernels/attention.h"

#include "kernels/device.cuh"
#include "kernels/lab/rungs.h"

namespace taut::TAUT_GPU {
namespace {

constexpr int kThreads = 128;

struct Sizes {
  int64_t b, t, heads, d;
  __device__ explicit Sizes(const taut::lab::LadderData& data)
      : b(data.size[0]), t(data.size[1]), heads(data.size[2]), d(data.size[3]) {}
  // Where a row of q (part 0), k or v begins.
  __device__ int64_t row(int64_t head, int64_t token, int part) const {
    return (((head / heads * t + token) * 3 + part) * heads + head % heads) * d;
  }
};

// scratch[head, i, j] = scale q_i k_j
__global__ void scores(taut::lab::LadderData data) {
  const Sizes s(data);
  const int64_t at = thread_in_grid(), j = at % s.t, i = at / s.t % s.t, head = at / s.t / s.t;
  if (head >= s.b * s.heads) return;
  float sum = 0;
  for (int64_t e = 0; e < s.d; ++e)
    sum = fma(data.number[0] * data.in[0][s.row(head, i, 0) + e], data.in[0][s.row(head, j, 1) + e], sum);
  data.scratch[at] = sum;
}

__global__ void softmax_rows(taut::lab::LadderData data) {
  const Sizes s(data);
  const int64_t at = thread_in_grid();
  if (at >= s.b * s.heads * s.t) return;
  float* row = data.scratch + at * s.t;
  float m = row[0], sum = 0;
  for (int64_t j = 1; j < s.t; ++j) m = max(m, row[j]);
  for (int64_t j = 0; j < s.t; ++j) sum += row[j] = exp(row[j] - m);
  for (int64_t j = 0; j < s.t; ++j) row[j] /= sum;
}

__global__ void weighted_values(taut::lab::LadderData data) {
  const Sizes s(data);
  const int64_t at = thread_in_grid(), e = at % s.d, i = at / s.d % s.t, head = at / s.d / s.t;
  if (head >= s.b * s.heads) return;
  float sum = 0;
  for (int64_t j = 0; j < s.t; ++j)
    sum = fma(data.scratch[(head * s.t + i) * s.t + j], data.in[0][s.row(head, j, 2) + e], sum);
  data.out[((head / s.heads * s.t + i) * s.heads + head % s.heads) * s.d + e] = sum;
}

// A block works on one query: its scores stay in shared memory.
__global__ void a_block_a_query(taut::lab::LadderData data) {
  const Sizes s(data);
  const int64_t i = blockIdx.x, head = blockIdx.y;
  Shared shared;
  float* row = shared.take<float>(static_cast<size_t>(s.t));
  float* q = shared.take<float>(static_cast<size_t>(s.d));
  for (int64_t e = threadIdx.x; e < s.d; e += kThreads) q[e] = data.number[0] * data.in[0][s.row(head, i, 0) + e];
  __syncthreads();
  for (int64_t j = threadIdx.x; j < s.t; j += kThreads) {
    float sum = 0;
    for (int64_t e = 0; e < s.d; ++e) sum = fma(q[e], data.in[0][s.row(head, j, 1) + e], sum);
    row[j] = sum;
  }
  __syncthreads();
  float m = row[0], sum = 0;  // every thread for itself: rows are short
  for (int64_t j = 1; j < s.t; ++j) m = max(m, row[j]);
  for (int64_t j = 0; j < s.t; ++j) sum += exp(row[j] - m);
  __syncthreads();
  for (int64_t j = threadIdx.x; j < s.t; j += kThreads) row[j] = exp(row[j] - m) / sum;
  __syncthreads();
  for (int64_t e = threadIdx.x; e < s.d; e += kThreads) {
    float value = 0;
    for (int64_t j = 0; j < s.t; ++j) value = fma(row[j], data.in[0][s.row(head, j, 2) + e], value);
    data.out[((head / s.heads * s.t + i) * s.heads + head % s.heads) * s.d + e] = value;
  }
}

void rung_1(Stream stream, const taut::lab::LadderData& d) {
  const int64_t heads = d.size[0] * d.size[2], t = d.size[1];
  const auto blocks = [](int64_t n) { return dim3(static_cast<unsigned>((n + kThreads - 1) / kThreads)); };
  launch(scores, blocks(heads * t * t), kThreads, 0, stream, d);
  launch(softmax_rows, blocks(heads * t), kThreads, 0, stream, d);
  launch(weighted_values, blocks(heads * t * d.size[3]), kThreads, 0, stream, d);
}
void rung_2(Stream stream, const taut::lab::LadderData& d) {
  launch(a_block_a_query, dim3(static_cast<unsigned>(d.size[1]), static_cast<unsigned>(d.size[0] * d.size[2])),
         kThreads, static_cast<size_t>(d.size[1] + d.size[3] + 8) * sizeof(float), stream, d);
}
void production(Stream stream, const taut::lab::LadderData& d) {
  attention_forward<float>(stream, d.in[0], d.out, nullptr, taut::lab::attention_shape(d));
}

constexpr taut::lab::Rung kRungs[] = {
    {"three kernels: the matrix of scores goes to memory and comes back twice", taut::lab::LadderCount::kSectors, false,
     rung_1},
    {"one kernel, a block a query: scores stay in shared memory", taut::lab::LadderCount::kSectors, false, rung_2},
    {"16 queries a block share tiles of K, read along lines into shared memory", taut::lab::LadderCount::kSectors, true,
     production},
};

}  // namespace

void attention_rungs(taut::lab::Rungs* rungs) { *rungs = {kRungs, static_cast<int>(sizeof kRungs / sizeof kRungs[0])}; }

}  // namespace taut::TAUT_GPU
