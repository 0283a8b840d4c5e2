// How the lab times: samples of batches of calls, until there are enough of them.
#pragma once

#include <cstdint>
#include <functional>
#include <utility>
#include <vector>

#include "kernels/runtime.h"

namespace taut::lab {

struct Timing {
  double median = 0, minimum = 0;  // seconds of a call
  double p10 = 0, p90 = 0;         // a tenth of the samples took less, or more
  double noise = 0;                // interquartile range over the median
  int samples = 0, calls = 0;      // calls of one sample
};

// At least 30 samples and `seconds` of them (at most 1000), after one call that is not counted; calls shorter than 50
// us are timed in batches, unless `before`, which is called before each sample and not timed, is given. `turn`, not
// timed either, takes turns with the samples and leaves batches as they are. The clock is bench_seconds(threads)
// (kernels/lab/peak.h).
Timing measure(int threads, const std::function<void()>& call, double seconds = 0.5,
               const std::function<void()>& before = {}, const std::function<void()>& turn = {});

// The same for what `call` asks of a device. On a GPU by its own clock (events): the wait does not
// count, nor a launch while the stream has something to do. A sample is a millisecond of calls in a row, with `before`
// one call.
Timing measure_on(Device device, const std::function<void()>& call, double seconds = 0.5,
                  const std::function<void()>& before = {});

using MemoryRanges = std::vector<std::pair<const void*, int64_t>>;  // begin, bytes
// Host memory leaves every cache of this processor, line by line.
void flush_from_caches(const MemoryRanges& ranges);

}  // namespace taut::lab
