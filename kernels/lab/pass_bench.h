// What the benchmarks of a product's and a convolution's passes share: operands, calls with warm and with cold caches,
// and a row of what they took.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "kernels/arena.h"
#include "kernels/lab/peak.h"
#include "kernels/lab/timing.h"

namespace taut::lab {

struct Release {
  void operator()(float* p) const { arena_release(p); }
};
using Buffer = std::unique_ptr<float[], Release>;

// Values of about one, different from element to element, so that nothing is denormal and no sum overflows.
Buffer filled(int64_t count);

// Which of the two to measure.
struct Caches {
  bool warm = true, cold = true;
};

struct PassRow {
  std::string op, shape, pass;  // as asked for
  bool cold = false;            // inputs flushed before every call
  int threads = 1;
  double flops = 0;      // 2 x multiply-adds of the plain sum, whatever the algorithm
  Traffic traffic = {};  // inputs read once, the output written once
  Timing timing = {};
  Peaks peaks = {};                           // of multiply-adds in turns with the samples, since clocks change
  std::string vendor = {};                    // empty where there is none
  std::optional<double> vendor_seconds = {};  // the median
};

struct PassCall {
  std::function<void()> run;
  MemoryRanges inputs;  // what is flushed where caches are cold
};

// The rows of one pass, f32 on the CPU, on `named.threads` threads; `named` has all that is not measured. The peaks are
// those of the same run.
std::vector<PassRow> time_pass(const PassRow& named, const Caches& caches, const PassCall& own);

// The same call of a vendor's library; where it is timed in more than one way its best one. After all rows of the own
// kernel: the library's OpenMP threads spin for a while when they are done, which would take a core from what runs
// next.
void time_vendor(std::vector<PassRow>& rows, const std::string& name, const PassCall& vendor);

}  // namespace taut::lab
