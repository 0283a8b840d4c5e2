// A model of a GPU, for what is known of a kernel without one: how many of its warps fit on a multiprocessor, and the
// least time that its counted work can take. Not a measurement: caches, latencies and scheduling are not in it.
#pragma once

#include <string>
#include <vector>

#include "kernels/simt/counts.h"

namespace taut::lab {

// From the vendor's white papers; rates at the boost clock.
struct Gpu {
  const char* name;
  const char* arch;  // for nvcc
  int multiprocessors;
  double gigahertz;
  double dram_gb_per_second, l2_gb_per_second;
  int fma_per_clock;  // f32, a multiprocessor
  // mma of 16x8x16 bf16 or, at half the rate, 16x8x8 tf32 numbers with f32 sums, dense, a multiprocessor.
  double tensor_products_per_clock;
  int64_t registers, shared_bytes;
  int warps, blocks;  // at most on a multiprocessor
};
// GFLOP/s of f32 multiply-adds, and of tensor cores on bf16 or, at half the rate, tf32.
double fma_gflops(const Gpu& gpu);
double tensor_gflops(const Gpu& gpu);
// h100 (SXM), a100 (80 GB), rtx4090. Throws Error(kUsage) on another name.
const Gpu& gpu_by_name(const std::string& name);
// The model's numbers and what it leaves out, in a sentence.
std::string assumptions(const Gpu& gpu);

// What ptxas says of a kernel; registers 0 where it is not known.
struct Resources {
  int registers = 0;
  int64_t spill_bytes = 0, stack_bytes = 0;
};

struct Occupancy {
  double percent = 0;
  std::string limiter;  // "warps", "registers", "shared memory", "blocks"
};
Occupancy occupancy(const Gpu& gpu, int threads, int64_t shared_bytes, const Resources& resources);

// The least microseconds of the kernel's launches together, and what decides: DRAM (every sector once), L2 (every
// sector request, as if no L1 hit), load/store issue (a request a clock), shared memory (a pass over the banks a
// clock), FMA, or tensor cores. A launch of fewer blocks than multiprocessors keeps only so many busy.
struct Bound {
  double microseconds = 0;
  std::string limiter;
};
Bound bound(const Gpu& gpu, const runner::KernelCounts& counts);

}  // namespace taut::lab
