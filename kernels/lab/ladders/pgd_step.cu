// The ladder of the PGD step: out = clamp(x + clamp(adv + alpha sign(g) - x, -eps, eps), 0, 1), in place. Data: in x,
// g; out adv; scratch for a rung that needs memory between its kernels; size n; number alpha, eps.
#include "kernels/device.cuh"
#include "kernels/lab/rungs.h"
#include "kernels/pgd.h"

namespace taut::TAUT_GPU {
namespace {

constexpr int kThreads = 256;

__device__ float clamp(float v, float low, float high) { return min(high, max(low, v)); }

__global__ void signs(const float* g, float* y, float alpha, int64_t n) {
  const int64_t i = thread_in_grid();
  if (i < n) y[i] = g[i] > 0 ? alpha : g[i] < 0 ? -alpha : 0.0f;
}
__global__ void sums(const float* a, float* y, int64_t n) {
  const int64_t i = thread_in_grid();
  if (i < n) y[i] = a[i] + y[i];
}
__global__ void clamped_differences(const float* x, float* y, float eps, int64_t n) {
  const int64_t i = thread_in_grid();
  if (i < n) y[i] = clamp(y[i] - x[i], -eps, eps);
}
__global__ void clamped_sums(const float* x, const float* delta, float* y, int64_t n) {
  const int64_t i = thread_in_grid();
  if (i < n) y[i] = clamp(x[i] + delta[i], 0, 1);
}

__global__ void fused(const float* x, const float* g, float* adv, float alpha, float eps, int64_t n) {
  const int64_t i = thread_in_grid();
  if (i >= n) return;
  const float step = g[i] > 0 ? alpha : g[i] < 0 ? -alpha : 0.0f;
  adv[i] = clamp(x[i] + clamp(adv[i] + step - x[i], -eps, eps), 0, 1);
}

dim3 all(int64_t n) { return dim3(static_cast<unsigned>((n + kThreads - 1) / kThreads)); }

void rung_1(Stream stream, const taut::lab::LadderData& d) {
  const int64_t n = d.size[0];
  launch(signs, all(n), kThreads, 0, stream, d.in[1], d.scratch, d.number[0], n);
  launch(sums, all(n), kThreads, 0, stream, d.out, d.scratch, n);
  launch(clamped_differences, all(n), kThreads, 0, stream, d.in[0], d.scratch, d.number[1], n);
  launch(clamped_sums, all(n), kThreads, 0, stream, d.in[0], d.scratch, d.out, n);
}
void rung_2(Stream stream, const taut::lab::LadderData& d) {
  launch(fused, all(d.size[0]), kThreads, 0, stream, d.in[0], d.in[1], d.out, d.number[0], d.number[1], d.size[0]);
}
void production(Stream stream, const taut::lab::LadderData& d) {
  pgd_step_linf<float>(stream, d.in[0], d.in[1], d.out, 1, d.size[0], d.number[0], d.number[1]);
}

constexpr taut::lab::Rung kRungs[] = {
    {"a kernel an operation, as a framework without fusion: every intermediate goes to memory and back",
     taut::lab::LadderCount::kSectors, false, rung_1},
    {"one kernel: three reads and a write an element", taut::lab::LadderCount::kSectors, false, rung_2},
    {"four elements a thread in accesses of 16 bytes: a quarter of the memory instructions",
     taut::lab::LadderCount::kRequests, true, production},
};

}  // namespace

void pgd_step_rungs(taut::lab::Rungs* rungs) { *rungs = {kRungs, static_cast<int>(sizeof kRungs / sizeof kRungs[0])}; }

}  // namespace taut::TAUT_GPU
