// The CPU's ladder of a 3x3 convolution of stride 1 and padding 1 over images (n, h, w, c): out (n, h, w, o). Data: in
// x, weights (o, c, 3, 3); scratch (n h w, 9 c); size n, h, w, c, o.
#include "kernels/conv2d.h"

#include "kernels/lab/rungs.h"
#include "kernels/math.h"
#include "kernels/matmul.h"

namespace taut::TAUT_CPU {
namespace {

using taut::lab::LadderData;

// f(position, tap, its pixel in x or null outside the image) for every tap of the window of every position.
template <class F>
void for_windows(const LadderData& d, F f) {
  const int64_t h = d.size[1], w = d.size[2], channels = d.size[3];
  for (int64_t position = 0; position < d.size[0] * h * w; ++position)
    for (int64_t tap = 0; tap < 9; ++tap) {
      const int64_t y = position / w % h + tap / 3 - 1, x = position % w + tap % 3 - 1;
      const bool exists = y >= 0 && y < h && x >= 0 && x < w;
      f(position, tap, exists ? d.in[0] + ((position / w / h * h + y) * w + x) * channels : nullptr);
    }
}

void direct(Stream, const LadderData& d) {
  const int64_t channels = d.size[3], outputs = d.size[4];
  for_windows(d, [&](int64_t position, int64_t tap, const float* pixel) {
    float* const out = d.out + position * outputs;
    for (int64_t o = 0; o < outputs; ++o) {
      float sum = tap == 0 ? 0 : out[o];
      if (pixel != nullptr)
        for (int64_t c = 0; c < channels; ++c) sum = fma(pixel[c], d.in[1][(o * channels + c) * 9 + tap], sum);
      out[o] = sum;
    }
  });
}

// scratch (positions, c, tap), the weights' order.
void by_columns(Stream stream, const LadderData& d) {
  const int64_t channels = d.size[3], row = 9 * channels;
  for_windows(d, [&](int64_t position, int64_t tap, const float* pixel) {
    float* const to = d.scratch + position * row + tap;
    for (int64_t c = 0; c < channels; ++c) to[9 * c] = pixel == nullptr ? 0 : pixel[c];
  });
  linear_forward<float>(stream, d.scratch, d.in[1], nullptr, nullptr, d.out, nullptr, d.size[0] * d.size[1] * d.size[2],
                        row, d.size[4], Epilogue::kNone);
}

void production(Stream stream, const LadderData& d) {
  conv2d_forward<float>(stream, d.in[0], d.in[1], nullptr, d.out, taut::lab::conv_shape(d));
}

constexpr taut::lab::Rung kRungs[] = {
    {"the formula: weights lie nine apart, a chain of additions for every output", taut::lab::LadderCount::kTime, false,
     direct},
    {"the matrix of windows in memory, and the matrix product", taut::lab::LadderCount::kTime, false, by_columns},
    {"from 16 channels on Winograd's algorithm, which saves three quarters of the products; else windows straight into "
     "the product's panels",
     taut::lab::LadderCount::kTime, true, production},
};

}  // namespace

void conv2d_rungs(taut::lab::Rungs* rungs) { *rungs = {kRungs, static_cast<int>(sizeof kRungs / sizeof kRungs[0])}; }

}  // namespace taut::TAUT_CPU
