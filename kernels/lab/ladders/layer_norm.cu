// The ladder of layer norm: out = layer_norm(x). Data: in x, w, b; size rows, cols; number eps.
#include "kernels/lab/ladders/block_reduce.cuh"
#include "kernels/norm.h"

namespace taut::TAUT_GPU {
namespace {

__global__ void a_thread_a_row(lab::LadderData d) {
  const int64_t row = thread_in_grid(), cols = d.size[1];
  if (row >= d.size[0]) return;
  const float* in = d.in[0] + row * cols;
  float sum = 0, squares = 0;
  for (int64_t i = 0; i < cols; ++i) sum += in[i];
  const float mean = sum / static_cast<float>(cols);
  for (int64_t i = 0; i < cols; ++i) squares += (in[i] - mean) * (in[i] - mean);
  const float rstd = 1.0f / sqrt(squares / static_cast<float>(cols) + d.number[0]);
  for (int64_t i = 0; i < cols; ++i) d.out[row * cols + i] = (in[i] - mean) * rstd * d.in[1][i] + d.in[2][i];
}

// With `keep`, the row stays in shared memory between the passes.
template <class Reduce, bool keep>
__global__ void a_block_a_row(lab::LadderData d) {
  const int64_t cols = d.size[1];
  Shared shared;
  float* parts = shared.take<float>(lab::kBlock);
  float* row = keep ? shared.take<float>(static_cast<size_t>(cols)) : nullptr;
  const float* in = d.in[0] + blockIdx.x * cols;
  const auto plus = [](float a, float b) { return a + b; };
  float sum = 0, squares = 0;
  for (int64_t i = threadIdx.x; i < cols; i += lab::kBlock) {
    const float v = in[i];
    if (keep) row[i] = v;
    sum += v;
  }
  const float* again = keep ? row : in;  // a thread reads what it wrote
  const float mean = Reduce::run(parts, sum, plus) / static_cast<float>(cols);
  for (int64_t i = threadIdx.x; i < cols; i += lab::kBlock) squares += (again[i] - mean) * (again[i] - mean);
  const float rstd = 1.0f / sqrt(Reduce::run(parts, squares, plus) / static_cast<float>(cols) + d.number[0]);
  for (int64_t i = threadIdx.x; i < cols; i += lab::kBlock)
    d.out[blockIdx.x * cols + i] = (again[i] - mean) * rstd * d.in[1][i] + d.in[2][i];
}

void rung_1(Stream stream, const lab::LadderData& d) {
  launch(a_thread_a_row, grid_for(d.size[0], 128), 128, 0, stream, d);
}
template <class Reduce, bool keep>
void block_rung(Stream stream, const lab::LadderData& d) {
  const size_t shared = (lab::kBlock + static_cast<size_t>(keep ? d.size[1] : 0)) * sizeof(float);
  launch(a_block_a_row<Reduce, keep>, static_cast<unsigned>(d.size[0]), lab::kBlock, shared, stream, d);
}
void production(Stream stream, const lab::LadderData& d) {
  layer_norm_forward<float>(stream, d.in[0], d.in[1], d.in[2], d.out, nullptr, nullptr, d.size[0], d.size[1],
                            d.number[0]);
}

constexpr lab::Rung kRungs[] = {
    {"a thread works on a row: a sector for every element, three times", lab::LadderCount::kSectors, false, rung_1},
    {"a block works on a row; the tree of its sums collides in the banks", lab::LadderCount::kSectors, false,
     block_rung<lab::StridedTree, false>},
    {"the tree folds halves onto each other", lab::LadderCount::kWavefronts, false,
     block_rung<lab::HalvingTree, false>},
    {"the row stays in shared memory between its three passes", lab::LadderCount::kSectors, false,
     block_rung<lab::HalvingTree, true>},
    {"a warp works on a row, which stays in its registers; sums go by shuffles", lab::LadderCount::kBarriers, true,
     production},
};

}  // namespace

void layer_norm_rungs(taut::lab::Rungs* rungs) {
  *rungs = {kRungs, static_cast<int>(sizeof kRungs / sizeof kRungs[0])};
}

}  // namespace taut::TAUT_GPU
