// Rows of the benchmark of op cases: times where kernels run, counts where they are simulated.
#include <algorithm>
#include <cmath>

#include "kernels/device_memory.h"
#include "kernels/devices.h"
#include "kernels/lab/options.h"
#include "kernels/lab/peak.h"
#include "kernels/lab/ranges.h"
#include "kernels/lab/timing.h"
#include "kernels/parallel.h"
#include "kernels/simt/counts.h"
#include "tests/cases/check_case.h"
#include "tests/cases/choice.h"
#include "tests/selftest.h"

namespace taut::selftest {
namespace {

constexpr double kMostSimulatedFlops = 1e9;  // seconds on the runner

// Operations of a forward pass: as the case says, else one for each number that comes out.
double flops_of(const cases::OpCase& c, const cases::Ran& ran) {
  if (c.flops > 0) return c.flops;
  double n = 0;
  for (const Tensor& t : ran.outputs) n += static_cast<double>(t.numel());
  return n;
}

struct Work {
  double flops = 0, bytes = 0;
};

double bytes_of(const std::vector<Tensor>& tensors) {
  double sum = 0;
  for (const Tensor& t : tensors)
    if (t.defined()) sum += static_cast<double>(t.bytes());
  return sum;
}

// Forward: inputs are read once, outputs written once. Backward: outputs' gradients and inputs read, inputs' written;
// it takes twice the operations.
Work work_of(const cases::OpCase& c, const std::vector<Tensor>& inputs, const cases::Ran& ran, bool backward) {
  Work work{flops_of(c, ran), bytes_of(inputs) + bytes_of(ran.outputs)};
  if (backward) work = {3 * work.flops, work.bytes + work.bytes + bytes_of(ran.gradients)};
  return work;
}

Row timed_row(const cases::OpCase& c, const lab::BenchOptions& options, const std::vector<bool>& mask, bool backward,
              bool cold) {
  const std::vector<Tensor> inputs = cases::make_inputs(c, DType::kF32, options.device);
  const Work work = work_of(c, inputs, cases::run_case(c, inputs, mask), backward);
  const bool on_cpu = options.device.kind == DeviceKind::kCpu;
  // A GPU's cache is full of something else after a write of more than it holds.
  constexpr int64_t kSpoiler = int64_t{256} << 20;
  Tensor spoiler = on_cpu || !cold ? Tensor() : Tensor::empty({kSpoiler}, DType::kU8, options.device);
  const auto flush = [&] {
    if (!on_cpu) {
      zero_memory(spoiler.raw(), options.device, static_cast<size_t>(kSpoiler));
      return synchronize(options.device);
    }
    std::vector<std::pair<const void*, int64_t>> ranges;
    for (const Tensor& t : inputs) ranges.emplace_back(t.raw(), t.bytes());
    lab::flush_from_caches(ranges);
  };
  const lab::Range range(options.device, c.op + "/" + c.name);
  const auto call = [&] {
    cases::run_case(c, inputs, mask);
    synchronize(options.device);
  };
  const int clock = on_cpu ? num_threads() : 2;
  const lab::Timing timing =
      cold ? lab::measure(clock, call, options.seconds, flush) : lab::measure(clock, call, options.seconds);
  const Peaks peaks = on_cpu ? measure_peaks(num_threads(), static_cast<int64_t>(work.bytes), cold)
                             : Peaks{0, measure_copy_gb_per_second(options.device, static_cast<int64_t>(work.bytes))};
  Row row = {{"op", c.op},
             {"case", c.name},
             {"pass", backward ? "forward+backward" : "forward"},
             {"caches", cold ? "cold" : "warm"},
             {"device", name(options.device.kind)},
             {"threads", num_threads()},
             {"samples", timing.samples},
             {"milliseconds", 1e3 * timing.median},
             {"noise_percent", 100 * timing.noise},
             {"gflops", 1e-9 * work.flops / timing.median},
             {"gb_per_second", 1e-9 * work.bytes / timing.median},
             {"flops_per_byte", work.bytes == 0 ? 0.0 : work.flops / work.bytes},
             {"peak_gflops", nullptr},
             {"copy_gb_per_second", peaks.gb_per_second},
             {"percent_of_peak", nullptr}};
  if (on_cpu) {
    row["peak_gflops"] = peaks.gflops;
    row["percent_of_peak"] = peaks.percent(work.flops, work.bytes, timing.median);
  }
  return row;
}

Row counted_row(const cases::OpCase& c, Device device, const std::vector<bool>& mask, bool backward) {
  const std::vector<Tensor> inputs = cases::make_inputs(c, DType::kF32, device);
  runner::start_counts();
  cases::run_case(c, inputs, mask);
  runner::SiteCounts all;
  int64_t launches = 0, barriers = 0, fmas = 0;
  for (const runner::KernelCounts& k : runner::take_counts()) {
    launches += k.launches;
    barriers += k.barriers;
    fmas += k.fmas;
    for (const runner::SiteCounts& site : k.sites) all.add(site);
  }
  return {{"op", c.op},
          {"case", c.name},
          {"pass", backward ? "forward+backward" : "forward"},
          {"device", name(device.kind)},
          {"launches", launches},
          {"requests", all.requests},
          {"sectors", all.sectors},
          {"ideal_sectors", all.ideal_sectors},
          {"wavefronts", all.wavefronts},
          {"ideal_wavefronts", all.ideal_wavefronts},
          {"barriers", barriers},
          {"fmas", fmas}};
}

}  // namespace

std::vector<Row> bench_op_cases(const lab::BenchOptions& options) {
  const bool counted = options.device.kind == DeviceKind::kSimt;
  constexpr const char* kFlag = "kernel bench";
  const std::vector<cases::OpCase> list =
      options.every_case ? cases::matching_cases(kFlag, options.filter)
                         : cases::largest_cases(kFlag, options.filter, counted ? kMostSimulatedFlops : HUGE_VAL);
  std::vector<Row> rows;
  for (const cases::OpCase& c : list) {
    const std::vector<bool> mask = cases::differentiable(c), none(mask.size(), false);
    for (const bool backward : {false, true}) {
      if (backward && std::find(mask.begin(), mask.end(), true) == mask.end()) continue;
      if (counted) {
        rows.push_back(counted_row(c, options.device, backward ? mask : none, backward));
        continue;
      }
      if (options.warm) rows.push_back(timed_row(c, options, backward ? mask : none, backward, false));
      if (options.cold) rows.push_back(timed_row(c, options, backward ? mask : none, backward, true));
    }
  }
  return rows;
}

}  // namespace taut::selftest
