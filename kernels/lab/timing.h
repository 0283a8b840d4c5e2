// How the lab times: samples of batches of calls, until there are enough of them.
#pragma once

#include <cstdint>
#include <functional>
#include <utility>
#include <vector>

namespace taut::lab {

struct Timing {
  double median = 0, minimum = 0;  // seconds of a call
  double noise = 0;                // interquartile range over the median
  int samples = 0, calls = 0;      // calls of one sample
};

// At least 30 samples and `seconds` of them (at most 1000), after one call that is not counted; calls shorter than 50
// us are timed in batches, unless `before`, which is called before each sample and not timed, is given. The clock is
// bench_seconds(threads) (kernels/lab/peak.h); 2 for work that another device does, which is wall time.
Timing measure(int threads, const std::function<void()>& call, double seconds = 0.3,
               const std::function<void()>& before = {});

// Host memory leaves every cache of this processor, line by line.
void flush_from_caches(const std::vector<std::pair<const void*, int64_t>>& ranges);

}  // namespace taut::lab
