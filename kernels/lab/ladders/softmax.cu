// The ladder of softmax: x (rows, cols) -> out. Data: in x; size rows, cols.
#include "kernels/softmax.h"

#include "kernels/lab/ladders/block_reduce.cuh"

namespace taut::TAUT_GPU {
namespace {

__global__ void a_thread_a_row(const float* x, float* y, int64_t rows, int64_t cols) {
  const int64_t row = thread_in_grid();
  if (row >= rows) return;
  const float* in = x + row * cols;
  float m = in[0], sum = 0;
  for (int64_t i = 1; i < cols; ++i) m = max(m, in[i]);
  for (int64_t i = 0; i < cols; ++i) sum += exp(in[i] - m);
  for (int64_t i = 0; i < cols; ++i) y[row * cols + i] = exp(in[i] - m) / sum;
}

template <class Reduce>
__global__ void a_block_a_row(const float* x, float* y, int64_t cols) {
  Shared shared;
  float* parts = shared.take<float>(lab::kBlock);
  const float* in = x + blockIdx.x * cols;
  float m = in[threadIdx.x % cols], sum = 0;
  for (int64_t i = threadIdx.x; i < cols; i += lab::kBlock) m = max(m, in[i]);
  m = Reduce::run(parts, m, [](float a, float b) { return max(a, b); });
  for (int64_t i = threadIdx.x; i < cols; i += lab::kBlock) sum += exp(in[i] - m);
  sum = Reduce::run(parts, sum, [](float a, float b) { return a + b; });
  for (int64_t i = threadIdx.x; i < cols; i += lab::kBlock) y[blockIdx.x * cols + i] = exp(in[i] - m) / sum;
}

void rung_1(Stream stream, const lab::LadderData& d) {
  launch(a_thread_a_row, grid_for(d.size[0], 128), 128, 0, stream, d.in[0], d.out, d.size[0], d.size[1]);
}
template <class Reduce>
void block_rung(Stream stream, const lab::LadderData& d) {
  launch(a_block_a_row<Reduce>, static_cast<unsigned>(d.size[0]), lab::kBlock, lab::kBlock * sizeof(float), stream,
         d.in[0], d.out, d.size[1]);
}
void production(Stream stream, const lab::LadderData& d) {
  softmax_forward<float>(stream, d.in[0], d.out, d.size[0], d.size[1], 1);
}

constexpr lab::Rung kRungs[] = {
    {"a thread works on a row: neighbours read a row apart, a sector for every element", lab::LadderCount::kSectors,
     false, rung_1},
    {"a block works on a row: neighbours read neighbours; partial results meet in shared memory, a tree whose steps "
     "collide in its banks",
     lab::LadderCount::kSectors, false, block_rung<lab::StridedTree>},
    {"the tree folds halves onto each other: no two lanes want the same bank", lab::LadderCount::kWavefronts, false,
     block_rung<lab::HalvingTree>},
    {"a warp works on a row and folds by shuffles: no barrier, no shared memory", lab::LadderCount::kBarriers, true,
     production},
};

}  // namespace

void softmax_rungs(taut::lab::Rungs* rungs) { *rungs = {kRungs, static_cast<int>(sizeof kRungs / sizeof kRungs[0])}; }

}  // namespace taut::TAUT_GPU
