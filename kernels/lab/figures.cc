#include "kernels/lab/figures.h"

namespace taut::lab {

std::vector<Figure> figures_of(const Timing& timing, double flops, const Traffic& traffic, const Peaks& peaks) {
  const double bytes = traffic.bytes();
  return {{"milliseconds", 1e3 * timing.median},
          {"min_milliseconds", 1e3 * timing.minimum},
          {"p10_milliseconds", 1e3 * timing.p10},
          {"p90_milliseconds", 1e3 * timing.p90},
          {"noise_percent", 100 * timing.noise},
          {"gflops", 1e-9 * flops / timing.median},
          {"gb_per_second", 1e-9 * bytes / timing.median},
          {"flops_per_byte", bytes == 0 ? 0.0 : flops / bytes},
          {"peak_gflops", peaks.gflops},
          {"memory_gb_per_second", peaks.gb_per_second},
          {"percent_of_peak", peaks.percent(flops, bytes, timing.median)}};
}

}  // namespace taut::lab
