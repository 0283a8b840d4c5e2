// The columns of a time: the same names wherever the lab prints one.
#pragma once

#include <optional>
#include <vector>

#include "kernels/lab/peak.h"
#include "kernels/lab/timing.h"

namespace taut::lab {

struct Figure {
  const char* name;
  std::optional<double> value;  // nothing where nobody could measure it
};

// `milliseconds` (median; also `min_`, `p10_`, `p90_`), `noise_percent`, `gflops`, `gb_per_second`, `flops_per_byte`
// (of 0 bytes 0), the peaks `peak_gflops` and `memory_gb_per_second` (kernels/lab/peak.h) and `percent_of_peak`, the
// least time that they allow over the median.
std::vector<Figure> figures_of(const Timing& timing, double flops, const Traffic& traffic, const Peaks& peaks);

}  // namespace taut::lab
