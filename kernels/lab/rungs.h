// What the files of the ladders share: what a rung is given, what it claims, and the shapes of the ops behind its
// sizes.
#pragma once

#include <cstdint>

#include "kernels/attention.h"
#include "kernels/conv2d.h"
#include "kernels/matmul.h"
#include "kernels/phm.h"
#include "kernels/runtime.h"

namespace taut::lab {

// Memory of the rung's device, sizes and numbers, as the head of the ladder's file says.
struct LadderData {
  const float* in[6] = {};
  float* out = nullptr;
  float* scratch = nullptr;
  int64_t size[6] = {};
  float number[2] = {};
};

// In what a rung is better than the one before: an exact count of the SIMT runner, or a tenth of the time.
enum class LadderCount : uint8_t { kSectors, kWavefronts, kBarriers, kRequests, kTime };

struct Rung {
  const char* idea;    // what is new, in a line
  LadderCount better;  // the first rung's says what is worst about it
  bool production;
  void (*run)(Stream, const LadderData&);
};
struct Rungs {
  const Rung* list = nullptr;
  int count = 0;
};

// Local to each file, since files for different instruction sets include them.
[[maybe_unused]] static MatmulShape matmul_shape(const LadderData& d) {
  return {.m = d.size[0], .n = d.size[1], .k = d.size[2], .lda = d.size[2], .ldb = d.size[1], .ldc = d.size[1]};
}
[[maybe_unused]] static AttentionShape attention_shape(const LadderData& d) {
  return {d.size[0], d.size[1], d.size[1], d.size[2], d.size[3], d.number[0]};
}
[[maybe_unused]] static ConvShape conv_shape(const LadderData& d) {
  ConvShape s;
  s.n = d.size[0];
  s.h = d.size[1];
  s.w = d.size[2];
  s.c_in = d.size[3];
  s.c_out = d.size[4];
  s.kh = s.kw = 3;
  s.padding = 1;
  return s;
}
[[maybe_unused]] static PhmShape phm_shape(const LadderData& d) {
  return {d.size[0], d.size[1], d.size[2], d.size[3], 1};
}

}  // namespace taut::lab

namespace taut {

BOTH_BACKENDS(void matmul_rungs(lab::Rungs* rungs); void softmax_rungs(lab::Rungs* rungs);
              void layer_norm_rungs(lab::Rungs* rungs); void attention_rungs(lab::Rungs* rungs);
              void conv2d_rungs(lab::Rungs* rungs); void phm_linear_rungs(lab::Rungs* rungs);
              void pgd_step_rungs(lab::Rungs* rungs);)

}  // namespace taut
