// The ladder of a 3x3 convolution of stride 1 and padding 1 over images (n, h, w, c): out (n, h, w, o). Data: in x,
// weights (o, c, 3, 3); scratch (n h w, 9 c); size n, h, w, c, o.
#include "kernels/conv2d.h"

#include "kernels/device.cuh"
#include "kernels/lab/rungs.h"
#include "kernels/matmul.h"

namespace taut::TAUT_GPU {
namespace {

constexpr int kThreads = 128;

// x at (tap, c) of the window of a position; 0 outside the image.
__device__ float window(const taut::lab::LadderData& d, int64_t position, int64_t tap, int64_t c) {
  const int64_t h = d.size[1], w = d.size[2];
  const int64_t y = position / w % h + tap / 3 - 1, x = position % w + tap % 3 - 1;
  if (y < 0 || y >= h || x < 0 || x >= w) return 0;
  return d.in[0][((position / w / h * h + y) * w + x) * d.size[3] + c];
}

__global__ void direct(taut::lab::LadderData d) {
  const int64_t positions = d.size[0] * d.size[1] * d.size[2], channels = d.size[3], outputs = d.size[4];
  const int64_t at = thread_in_grid(), position = at % positions, o = at / positions;
  if (o >= outputs) return;
  float sum = 0;
  for (int64_t tap = 0; tap < 9; ++tap)
    for (int64_t c = 0; c < channels; ++c)
      sum = fma(window(d, position, tap, c), d.in[1][(o * channels + c) * 9 + tap], sum);
  d.out[position * outputs + o] = sum;
}

// scratch (positions, c, tap), the weights' order.
__global__ void image_to_columns(taut::lab::LadderData d) {
  const int64_t row = 9 * d.size[3], count = d.size[0] * d.size[1] * d.size[2] * row;
  for (int64_t at = thread_in_grid(); at < count; at += threads_in_grid())
    d.scratch[at] = window(d, at / row, at % row % 9, at % row / 9);
}

void rung_1(Stream stream, const taut::lab::LadderData& d) {
  const int64_t n = d.size[0] * d.size[1] * d.size[2] * d.size[4];
  launch(direct, dim3(static_cast<unsigned>((n + kThreads - 1) / kThreads)), kThreads, 0, stream, d);
}
void rung_2(Stream stream, const taut::lab::LadderData& d) {
  const int64_t positions = d.size[0] * d.size[1] * d.size[2], row = 9 * d.size[3];
  launch(image_to_columns, grid_for(positions * row, kThreads), kThreads, 0, stream, d);
  linear_forward<float>(stream, d.scratch, d.in[1], nullptr, nullptr, d.out, nullptr, positions, row, d.size[4],
                        Epilogue::kNone);
}
void production(Stream stream, const taut::lab::LadderData& d) {
  conv2d_forward<float>(stream, d.in[0], d.in[1], nullptr, d.out, taut::lab::conv_shape(d));
}

constexpr taut::lab::Rung kRungs[] = {
    {"a thread an output, lanes along positions: pixels lie c apart, and every window is read again for every output",
     taut::lab::LadderCount::kSectors, false, rung_1},
    {"the matrix of windows in memory, and a matrix product with tiles", taut::lab::LadderCount::kSectors, false,
     rung_2},
    {"an implicit product: tiles are filled from the images, the matrix of windows never exists",
     taut::lab::LadderCount::kSectors, true, production},
};

}  // namespace

void conv2d_rungs(taut::lab::Rungs* rungs) { *rungs = {kRungs, static_cast<int>(sizeof kRungs / sizeof kRungs[0])}; }

}  // namespace taut::TAUT_GPU
