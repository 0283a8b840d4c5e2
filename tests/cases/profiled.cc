#include "tests/cases/profiled.h"

#include <algorithm>

#include "kernels/error.h"

namespace taut::cases {
namespace {

struct Further {
  const char* name;  // OP/CASE
  std::vector<RunAs> modes;
};

const std::vector<Further>& further_cases() {
  constexpr RunAs f32 = RunAs::kF32, bf16 = RunAs::kBf16;
  static const std::vector<Further> all = {
      {"add/33x64,1x33x64", {f32}},          // a gradient of another shape and as many elements: a copy
      {"add/33x64-to-itself", {f32, bf16}},  // two gradients of one input
      {"bias_gelu/33x192-frozen-bias", {f32, bf16}},
      {"sum_dim/197x192-dim1", {f32}},
      {"attention/1x577x3x1x64-q1", {f32}},    // 4 queries a block backward
      {"attention/1x1490x3x1x16-q1", {f32}},   // and forward
      {"attention/1x3x3x3x1640", {f32}},       // rows beyond shared memory
      {"attention/1x50x3x2x64", {bf16}},       // at most 64 tokens
      {"attention/1x240x3x1x16", {bf16}},      // at most 256
      {"attention/1x260x3x2x64-q67", {bf16}},  // streamed
      {"attention/1x130x3x1x120", {bf16}},     // wide heads
      {"layer_norm/8x384-eps1e-06", {f32, bf16}},
      {"layer_norm/33x768-eps1e-12", {f32, bf16}},
      {"layer_norm/4x1024-eps1e-06", {f32, bf16}},
      {"layer_norm/4x1280-eps1e-06", {f32, bf16}},  // rows that do not stay in registers
      {"batch_norm/2x7x7x512-eval-residual-relu", {f32}},
      {"matmul/64x128T,96x64T", {bf16}},
      {"conv2d/1x48x52x3,64x3x7x7-stride2-pad3", {f32, bf16}},  // ResNet-50's stem
      {"conv2d/2x32x32x3,64x3x3x3-pad1", {f32, bf16}},          // images' three channels
      {"conv2d/1x28x28x64,64x1x3x3-pad1-groups64", {f32}},
      {"batch_norm/2x7x7x512-eval-relu-frozen-gains", {f32}},
      {"count_zeros/32x1000", {bf16}},
      {"count_zeros/2x9000", {f32}},         // counts of chunks are summed
      {"phm_linear/3x40-40-n40-r5", {f32}},  // coefficients beyond shared memory
      {"pgd_step_linf/2x67-paper", {f32}},   // no multiple of 4 elements
  };
  return all;
}

}  // namespace

std::vector<OpCase> profiled_cases(const char* flag, const std::string& filter, double most_flops, RunAs mode) {
  std::vector<OpCase> all = largest_cases(flag, filter, most_flops, mode);
  const std::regex wanted = expression(flag, filter);
  const std::vector<OpCase> known = all_op_cases().cases;
  for (const Further& further : further_cases()) {
    const auto named = [&](const OpCase& c) { return c.op + "/" + c.name == further.name; };
    const auto found = std::find_if(known.begin(), known.end(), named);
    TAUT_CHECK(found != known.end(), "[kernel] the profile's list names a case that is not there: {}", further.name);
    const bool runs_so = std::find(further.modes.begin(), further.modes.end(), mode) != further.modes.end();
    if (runs_so && std::regex_search(std::string(further.name), wanted) && std::none_of(all.begin(), all.end(), named))
      all.push_back(*found);
  }
  return all;
}

}  // namespace taut::cases
