// Rows of the benchmark of op cases: times where kernels run, counts where they are simulated.
#include <algorithm>
#include <cmath>
#include <functional>
#include <optional>
#include <utility>

#include "kernels/device_memory.h"
#include "kernels/devices.h"
#include "kernels/lab/device_array.h"
#include "kernels/lab/figures.h"
#include "kernels/lab/gpu_libraries.h"
#include "kernels/lab/options.h"
#include "kernels/lab/peak.h"
#include "kernels/lab/ranges.h"
#include "kernels/lab/timing.h"
#include "kernels/lab/vendor_runs.h"
#include "kernels/parallel.h"
#include "kernels/simt/counts.h"
#include "kernels/tell.h"
#include "tests/cases/check_case.h"
#include "tests/cases/choice.h"
#include "tests/cases/shape_case.h"
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
  double flops = 0;
  Traffic traffic;
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
  const double flops = flops_of(c, ran), in = bytes_of(inputs), out = bytes_of(ran.outputs);
  if (!backward) return {flops, {in, out}};
  return {3 * flops, {2 * in + out, out + bytes_of(ran.gradients)}};
}

LtElement element_of(cases::RunAs mode) {
  switch (mode) {
    case cases::RunAs::kBf16: return LtElement::kBF16;
    case cases::RunAs::kTf32: return LtElement::kTF32;
    case cases::RunAs::kF32: break;
  }
  return LtElement::kF32;
}

Row named_row(const cases::OpCase& c, cases::RunAs mode, Device device, bool backward) {
  return {{"op", c.op},
          {"case", c.name},
          {"dtype", cases::name(mode)},
          {"pass", backward ? "forward+backward" : "forward"},
          {"device", name(device.kind)}};
}

Row number_or_null(const std::optional<double>& number) { return number ? Row(*number) : Row(nullptr); }

// A case that is timed in one pass and state of the caches.
class Timed {
 public:
  Timed(const cases::OpCase& c, cases::RunAs mode, const lab::BenchOptions& options, const std::vector<bool>& mask,
        bool backward, bool cold)
      : c_(c),
        mode_(mode),
        options_(options),
        mask_(mask),
        backward_(backward),
        cold_(cold),
        on_cpu_(options.device.kind == DeviceKind::kCpu),
        inputs_(cases::make_inputs(c, cases::stored(mode), options.device)) {
    const cases::Ran ran = cases::run_case(c, inputs_, mask);
    for (size_t o = 0; backward && o < ran.outputs.size(); ++o)
      upstream_.push_back(cases::make_upstream(c, o, ran.outputs[o]));
    work_ = work_of(c, inputs_, ran, backward);
    const auto bytes = static_cast<int64_t>(work_.traffic.bytes());
    peaks_ = on_cpu_ ? measure_peaks(num_threads(), work_.traffic, cold)
                     : measure_gpu_peaks(options.device, element_of(mode), bytes, cold);
  }

  Timed(const Timed&) = delete;
  Timed& operator=(const Timed&) = delete;

  // One row on the CPU. On a GPU that of the own kernels and, where the vendor's libraries take part, theirs.
  std::vector<Row> rows() {
    const lab::Timing own = own_time();
    std::vector<Row> rows;
    rows.push_back(row(own));
    if (on_cpu_) return rows;
    const lab::UseLibraries in_use(options_.device, true);
    const lab::LibraryCalls before = lab::library_calls(options_.device);
    cases::run_case(c_, inputs_, mask_, upstream_);
    std::string vendor = lab::libraries_called_since(before, options_.device);
    if (const lab::VendorRun beside = vendor.empty() ? attention_beside() : lab::VendorRun(); !beside.name.empty()) {
      vendor = beside.name;
      call_ = beside.run;
    }
    if (vendor.empty()) return rows;
    const lab::Timing theirs = time();
    rows[0]["vendor"] = vendor;
    rows[0]["percent_of_vendor"] = 100 * theirs.median / own.median;
    rows.push_back(row(theirs));
    rows[1]["kernels"] = vendor;
    return rows;
  }

 private:
  lab::Timing own_time() {
    const lab::UseLibraries out_of_use(options_.device, false);
    return time();
  }

  // cuDNN's attention, to which production leaves nothing: bf16, the forward pass of all tokens. It must give what the
  // own kernel gives, within roundings, or is left out.
  lab::VendorRun attention_beside() {
    if (c_.op != "attention" || mode_ != cases::RunAs::kBf16 || backward_) return {};
    const Shape& qkv = inputs_[0].shape();
    const Tensor own = cases::run_case(c_, inputs_, mask_, upstream_).outputs[0];
    if (own.size(1) != qkv[1]) return {};
    output_ = Tensor::empty(own.shape(), own.dtype(), options_.device);
    const double scale = 1 / std::sqrt(static_cast<double>(qkv[4]));
    const AttentionShape shape{qkv[0], qkv[1], qkv[1], qkv[3], qkv[4], scale};
    const lab::VendorRun run = lab::vendor_attention(inputs_[0].raw(), output_.raw(), shape, options_.device);
    if (run.name.empty()) return run;
    constexpr double kRoundings = 0x1p-5;
    const double error = cases::relative_error(output_.to_doubles(), own.to_doubles());
    if (error <= kRoundings) return run;
    tell(
        "[attention/{}] {} is off by {} of the largest magnitude, expected at most {}: it is not timed beside the own "
        "kernel\n",
        c_.name, run.name, error, kRoundings);
    return {};
  }

  lab::Timing time() {
    const lab::Range range(options_.device, c_.op + "/" + c_.name);
    if (!cold_) return lab::measure_on(options_.device, call_, options_.seconds);
    if (!on_cpu_ && !spoiler_.has_value()) spoiler_.emplace(options_.device);
    return lab::measure_on(options_.device, call_, options_.seconds, [&] { flush(); });
  }

  void flush() {
    if (!on_cpu_) return (*spoiler_)();
    lab::MemoryRanges ranges;
    for (const Tensor& t : inputs_) ranges.emplace_back(t.raw(), t.bytes());
    lab::flush_from_caches(ranges);
  }

  Row row(const lab::Timing& timing) const {
    Row row = named_row(c_, mode_, options_.device, backward_);
    row["caches"] = cold_ ? "cold" : "warm";
    row["threads"] = num_threads();
    row["samples"] = timing.samples;
    for (const lab::Figure& figure : lab::figures_of(timing, work_.flops, work_.traffic, peaks_))
      row[figure.name] = number_or_null(figure.value);
    if (!on_cpu_) {
      row["kernels"] = "own";
      row["vendor"] = nullptr;
      row["percent_of_vendor"] = nullptr;
    }
    return row;
  }

  const cases::OpCase& c_;
  const cases::RunAs mode_;
  const lab::BenchOptions& options_;
  const std::vector<bool>& mask_;
  const bool backward_, cold_, on_cpu_;
  const std::vector<Tensor> inputs_;
  Grads upstream_;  // made once: to draw it takes longer than many a kernel
  std::function<void()> call_ = [this] { cases::run_case(c_, inputs_, mask_, upstream_); };
  std::optional<lab::CacheSpoiler> spoiler_;
  Tensor output_;
  Work work_;
  Peaks peaks_;
};

Row counted_row(const cases::OpCase& c, cases::RunAs mode, Device device, const std::vector<bool>& mask,
                bool backward) {
  const std::vector<Tensor> inputs = cases::make_inputs(c, cases::stored(mode), device);
  runner::start_counts();
  cases::run_case(c, inputs, mask);
  runner::SiteCounts all;
  int64_t launches = 0, barriers = 0, fmas = 0, tensor_fmas = 0;
  for (const runner::KernelCounts& k : runner::take_counts()) {
    launches += k.launches;
    barriers += k.barriers;
    fmas += k.fmas;
    tensor_fmas += k.tensor_fmas;
    for (const runner::SiteCounts& site : k.sites) all.add(site);
  }
  Row row = named_row(c, mode, device, backward);
  row["launches"] = launches;
  row["requests"] = all.requests;
  row["sectors"] = all.sectors;
  row["ideal_sectors"] = all.ideal_sectors;
  row["wavefronts"] = all.wavefronts;
  row["ideal_wavefronts"] = all.ideal_wavefronts;
  row["barriers"] = barriers;
  row["fmas"] = fmas;
  row["tensor_fmas"] = tensor_fmas;
  return row;
}

std::vector<cases::OpCase> cases_of(const lab::BenchOptions& options, cases::RunAs mode, double most_flops) {
  std::vector<cases::OpCase> list;
  for (const std::string& shape : options.shapes) list.push_back(cases::shape_case(options.filter, shape, mode));
  if (!list.empty()) return list;
  constexpr const char* kFlag = "kernel bench";
  list = cases::cases_as(mode, kFlag, options.filter);
  if (!options.sizes.empty())
    std::erase_if(list, [&](const cases::OpCase& c) { return !cases::is_in_class(c, options.sizes); });
  return options.every_case ? list : cases::largest_cases(kFlag, options.filter, most_flops, mode);
}

bool is_counted(const lab::BenchOptions& options) { return options.device.kind == DeviceKind::kSimt && !options.timed; }

// The cases in each dtype that was asked for.
std::vector<std::pair<cases::RunAs, std::vector<cases::OpCase>>> cases_by_dtype(const lab::BenchOptions& options) {
  std::vector<std::pair<cases::RunAs, std::vector<cases::OpCase>>> all;
  for (const std::string& dtype : options.dtypes) all.push_back({cases::run_as_by_name(dtype), {}});
  for (auto& [mode, list] : all) list = cases_of(options, mode, is_counted(options) ? kMostSimulatedFlops : HUGE_VAL);
  return all;
}

}  // namespace

void check_bench_options(const lab::BenchOptions& options) { cases_by_dtype(options); }

std::vector<Row> bench_op_cases(const lab::BenchOptions& options) {
  const bool counted = is_counted(options);
  std::vector<Row> rows;
  for (const auto& [mode, list] : cases_by_dtype(options)) {
    for (const cases::OpCase& c : list) {
      const std::vector<bool> mask = cases::differentiable(c), none(mask.size(), false);
      for (const bool backward : {false, true}) {
        if (backward && std::find(mask.begin(), mask.end(), true) == mask.end()) continue;
        const std::vector<bool>& asked = backward ? mask : none;
        if (counted) {
          rows.push_back(counted_row(c, mode, options.device, asked, backward));
          continue;
        }
        for (const bool cold : {false, true}) {
          if (cold ? !options.cold : !options.warm) continue;
          for (Row& row : Timed(c, mode, options, asked, backward, cold).rows()) rows.push_back(std::move(row));
        }
      }
    }
  }
  return rows;
}

}  // namespace taut::selftest
