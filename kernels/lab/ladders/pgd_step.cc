// The CPU's ladder of the PGD step: out = clamp(x + clamp(adv + alpha sign(g) - x, -eps, eps), 0, 1), in place. Data:
// in x, g; out adv; scratch for a rung that needs memory between its loops; size n; number alpha, eps.
#include "kernels/pgd.h"

#include "kernels/lab/rungs.h"
#include "kernels/math.h"

namespace taut::TAUT_CPU {
namespace {

using taut::lab::LadderData;

float clamp(float v, float low, float high) { return min(high, max(low, v)); }

void by_operations(Stream, const LadderData& d) {
  const int64_t n = d.size[0];
  const float *const x = d.in[0], *const g = d.in[1];
  float* const y = d.scratch;
  const float alpha = d.number[0], eps = d.number[1];
  for (int64_t i = 0; i < n; ++i) y[i] = g[i] > 0 ? alpha : g[i] < 0 ? -alpha : 0.0f;
  for (int64_t i = 0; i < n; ++i) y[i] = d.out[i] + y[i];
  for (int64_t i = 0; i < n; ++i) y[i] = clamp(y[i] - x[i], -eps, eps);
  for (int64_t i = 0; i < n; ++i) d.out[i] = clamp(x[i] + y[i], 0, 1);
}

void production(Stream stream, const LadderData& d) {
  pgd_step_linf<float>(stream, d.in[0], d.in[1], d.out, 1, d.size[0], d.number[0], d.number[1]);
}

constexpr taut::lab::Rung kRungs[] = {
    {"a loop an operation, as a framework without fusion: every intermediate goes to memory and back",
     taut::lab::LadderCount::kTime, false, by_operations},
    {"one loop over 16 lanes, all threads: three reads and a write an element", taut::lab::LadderCount::kTime, true,
     production},
};

}  // namespace

void pgd_step_rungs(taut::lab::Rungs* rungs) { *rungs = {kRungs, static_cast<int>(sizeof kRungs / sizeof kRungs[0])}; }

}  // namespace taut::TAUT_CPU
