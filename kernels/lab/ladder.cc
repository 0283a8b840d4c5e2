#include "kernels/lab/ladder.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <memory>
#include <optional>

#include "kernels/error.h"
#include "kernels/lab/device_array.h"
#include "kernels/lab/mismatches.h"
#include "kernels/lab/peak.h"
#include "kernels/lab/ranges.h"
#include "kernels/lab/timing.h"
#include "kernels/lab/vendor_runs.h"
#include "kernels/parallel.h"
#include "kernels/red_zones.h"
#include "kernels/simt/runner.h"
#include "kernels/tell.h"

namespace taut::lab {
namespace {

constexpr Device kCpu{}, kSimt{DeviceKind::kSimt, 0};
constexpr double kTolerance = 1e-4;  // of the largest magnitude: variants add in other orders
constexpr double kFaster = 0.9;      // of the time of the rung before

// A problem in the memory of a device.
class Placed {
 public:
  Placed(const char* op, const Problem& problem, Device device)
      : op_(op),
        problem_(problem),
        device_(device),
        out_(problem.out, device),
        scratch_(static_cast<size_t>(problem.scratch) * sizeof(float), device) {
    data_ = problem.data;
    for (size_t i = 0; i < problem.in.size(); ++i) {
      in_.push_back(std::make_unique<DeviceArray>(problem.in[i], device));
      data_.in[i] = in_.back()->floats();
    }
    data_.scratch = scratch_.floats();
  }

  // Runs a rung once, on fresh or restored output. `beside`, where it is given, gets a text of what was written beside
  // the memory of the rung, which has red zones then.
  Values run(const Rung& rung, std::string* beside = nullptr) {
    const Range range = range_of(rung);
    const DeviceArray fresh(bytes(), device_);
    data_.out = fresh.floats();
    if (problem_.out_is_input) copy_memory(fresh.get(), device_, problem_.out.data(), kCpu, bytes());
    rung.run(current_stream(device_), data_);
    Values got(problem_.out.size());
    copy_memory(got.data(), kCpu, fresh.get(), device_, bytes());
    if (beside == nullptr) return got;
    for (const RedZoneFault& fault : take_red_zone_faults(device_)) {
      std::string what = "memory that the rung made";
      const auto is_of = [&](const DeviceArray& array) { return !fault.released && fault.memory == array.get(); };
      if (is_of(fresh)) what = "the output";
      if (is_of(scratch_)) what = "scratch";
      for (size_t i = 0; i < in_.size(); ++i)
        if (is_of(*in_[i])) what = fmt::format("input {}", i);
      *beside += fmt::format("{}{} has {} bytes, and byte {} was written", beside->empty() ? "" : "; ", what,
                             fault.bytes, fault.at);
    }
    return got;
  }

  Timing time(const Rung& rung) {
    const Range range = range_of(rung);
    data_.out = out_.floats();
    return measure_on(device_, [&] { rung.run(current_stream(device_), data_); });
  }

  // Where the vendor's library writes: what it gave is values().
  const LadderData& data_for_vendor() {
    data_.out = out_.floats();
    return data_;
  }
  Values values() const {
    Values got(problem_.out.size());
    copy_memory(got.data(), kCpu, out_.get(), device_, bytes());
    return got;
  }

 private:
  size_t bytes() const { return problem_.out.size() * sizeof(float); }
  Range range_of(const Rung& rung) const {
    return Range(device_, fmt::format("{}/{}/{}", op_, rung.idea, problem_.shape));
  }

  const char* op_;
  const Problem& problem_;
  Device device_;
  DeviceArray out_, scratch_;
  std::vector<std::unique_ptr<DeviceArray>> in_;
  LadderData data_;
};

const Rung& production_of(const Rungs& rungs) {
  return *std::find_if(rungs.list, rungs.list + rungs.count, [](const Rung& r) { return r.production; });
}

// What the rungs of a device must give: the CPU's production kernel.
Values wanted(const LadderOp& op, const Problem& p) {
  return Placed(op.op, p, kCpu).run(production_of(rungs_of(op, kCpu)));
}

// Largest difference over the largest magnitude; infinite where one is not finite.
double error_of(const Values& got, const Values& wanted) {
  double largest = 0, difference = 0;
  for (size_t i = 0; i < got.size(); ++i) {
    if (!std::isfinite(got[i])) return INFINITY;
    largest = std::max(largest, std::abs(static_cast<double>(wanted[i])));
    difference = std::max(difference, std::abs(static_cast<double>(got[i]) - wanted[i]));
  }
  return largest == 0 ? difference : difference / largest;
}

// The judgement of one rung's output; the first rung's stands for the formula where production is what is judged on the
// CPU.
RungCheck judge(const LadderOp& op, const Problem& p, const Rung& rung, int number, Device device, const Values& got,
                const Values& reference, const Values& first) {
  RungCheck check{.op = op.op, .shape = p.shape, .rung = number, .production = rung.production};
  const bool on_cpu = device.kind == DeviceKind::kCpu;
  check.limit = rung.production && !on_cpu && p.same_bytes ? 0 : kTolerance;
  check.error = error_of(got, rung.production && on_cpu ? first : reference);
  check.pass = check.error <= check.limit;
  if (check.limit == 0) check.pass = std::memcmp(got.data(), reference.data(), got.size() * sizeof(float)) == 0;
  if (!check.pass) {
    const Values& right = rung.production && on_cpu ? first : reference;
    const std::vector<double> a(got.begin(), got.end()), b(right.begin(), right.end());
    check.detail = fmt::format("error {:.3g} over its limit {:.3g}, {}", check.error, check.limit,
                               mismatches(a, b, {std::ssize(a)}, check.limit, std::numeric_limits<float>::epsilon()));
  }
  return check;
}

int64_t value_of(const LadderRow& row, LadderCount count) {
  switch (count) {
    case LadderCount::kSectors: return row.sectors;
    case LadderCount::kWavefronts: return row.wavefronts;
    case LadderCount::kBarriers: return row.barriers;
    case LadderCount::kRequests: return row.requests;
    case LadderCount::kTime: break;
  }
  return 0;
}

void add_counts(LadderRow& row, const std::vector<runner::KernelCounts>& kernels) {
  runner::SiteCounts all;
  for (const runner::KernelCounts& kernel : kernels) {
    row.launches += kernel.launches;
    row.barriers += kernel.barriers;
    for (const runner::SiteCounts& site : kernel.sites) all.add(site);
  }
  row.requests = all.requests;
  row.sectors = all.sectors;
  row.wavefronts = all.wavefronts;
  if (all.sectors > 0)
    row.sector_percent = 100.0 * static_cast<double>(all.ideal_sectors) / static_cast<double>(all.sectors);
}

void add_times(LadderRow& row, const Problem& p, const Timing& timing, const Peaks& peaks) {
  row.milliseconds = 1e3 * timing.median;
  row.noise_percent = 100 * timing.noise;
  row.p10_milliseconds = 1e3 * timing.p10;
  row.p90_milliseconds = 1e3 * timing.p90;
  row.gflops = 1e-9 * p.flops / timing.median;
  row.gb_per_second = 1e-9 * p.traffic.bytes() / timing.median;
  row.percent_of_peak = peaks.percent(p.flops, p.traffic.bytes(), timing.median);
}

// The vendor's library comes after the rungs: oneDNN's threads spin for a while when they are done.
void add_vendor(std::vector<LadderRow>& rows, const LadderOp& op, const Problem& p, Placed& placed,
                const Values& reference, Device device) {
  const VendorRun vendor = vendor_of(op, p, placed.data_for_vendor(), device);
  if (vendor.name.empty()) return;
  const double error = error_of(placed.values(), reference);
  if (!(error <= kTolerance))
    return tell(
        "[{}] {} is off by {} of the largest magnitude, expected at most {}: it is not timed beside the rungs\n", op.op,
        vendor.name, error, kTolerance);
  const double milliseconds = 1e3 * measure_on(device, vendor.run).median;
  for (LadderRow& row : rows) {
    row.vendor = vendor.name;
    row.vendor_milliseconds = milliseconds;
    row.percent_of_vendor = 100 * milliseconds / row.milliseconds;
  }
}

}  // namespace

const char* name(LadderCount count) {
  switch (count) {
    case LadderCount::kSectors: return "sectors";
    case LadderCount::kWavefronts: return "wavefronts";
    case LadderCount::kBarriers: return "barriers";
    case LadderCount::kRequests: return "requests";
    case LadderCount::kTime: return "time";
  }
  return "?";
}

void expect_rung(const LadderOp& op, Device device, int rung) {
  const int count = rungs_of(op, device).count;
  TAUT_CHECK(rung <= count, "[{}:{}] expected a rung of 1 to {}, got {}; hint: taut kernel ls --op {}", op.op, rung,
             count, rung, op.op);
}

std::vector<LadderRow> run_ladder(const LadderOp& op, Device device, const LadderOptions& options) {
  const bool is_simt = device.kind == DeviceKind::kSimt, counts = is_simt && !options.timed;
  const Sizes sizes = options.sizes.value_or(is_simt ? op.counted : op.timed);
  const Problem p = op.make(sizes);
  const Values reference = wanted(op, p);
  const Rungs rungs = rungs_of(op, device);
  expect_rung(op, device, options.rung);
  Placed placed(op.op, p, device);
  Peaks peaks;
  if (!counts)
    peaks = device.kind == DeviceKind::kCpu
                ? measure_peaks(num_threads(), p.traffic)
                : measure_gpu_peaks(device, LtElement::kF32, static_cast<int64_t>(p.traffic.bytes()));
  Values first;
  std::vector<LadderRow> rows;
  for (int i = 0; i < rungs.count; ++i) {
    const bool wanted = options.rung == 0 || options.rung == i + 1;
    if (!wanted && i > 0) continue;  // the first stands for the formula where production is what is judged
    const Rung& rung = rungs.list[i];
    if (counts) runner::start_counts();
    const Values got = placed.run(rung);
    LadderRow row;
    if (counts) add_counts(row, runner::take_counts());
    if (i == 0) first = got;
    if (!wanted) continue;
    row.op = op.op;
    row.shape = p.shape;
    row.sizes = sizes;
    row.rung = i + 1;
    row.idea = rung.idea;
    row.production = rung.production;
    row.verified = judge(op, p, rung, row.rung, device, got, reference, first).pass;
    if (!counts) add_times(row, p, placed.time(rung), peaks);
    if (!rows.empty()) {
      row.better = name(rung.better);
      row.is_better = counts ? value_of(row, rung.better) < value_of(rows.back(), rung.better)
                             : row.milliseconds <= kFaster * rows.back().milliseconds;
    }
    rows.push_back(row);
  }
  if (!counts) add_vendor(rows, op, p, placed, reference, device);
  return rows;
}

std::vector<RungCheck> verify_ladder(const LadderOp& op, Device device, const VerifyOptions& options) {
  const Rungs rungs = rungs_of(op, device);
  expect_rung(op, device, options.rung);
  std::optional<RedZones> red_zones;
  if (options.red_zones) red_zones.emplace(device);
  std::vector<RungCheck> checks;
  for (const Sizes& s : sizes_by_class(op, options.sizes, options.seed)) {
    const Problem p = op.make(s);
    const Values reference = wanted(op, p);
    Placed placed(op.op, p, device);
    Values first;
    take_red_zone_faults(device);  // of whoever came before
    for (int i = 0; i < rungs.count; ++i) {
      if (i > 0 && options.rung != 0 && options.rung != i + 1) continue;
      std::string beside;
      const Values got = placed.run(rungs.list[i], options.red_zones ? &beside : nullptr);
      if (i == 0) first = got;
      if (options.rung != 0 && options.rung != i + 1) continue;
      checks.push_back(judge(op, p, rungs.list[i], i + 1, device, got, reference, first));
      RungCheck& check = checks.back();
      if (beside.empty()) continue;
      check.pass = false;
      check.detail = check.detail.empty() ? beside : check.detail + "; " + beside;
    }
  }
  return checks;
}

std::vector<runner::KernelCounts> count_rung(const std::string& name_of_op, int rung) {
  const LadderOp& op = ladder_op(name_of_op);
  const Rungs rungs = rungs_of(op, kSimt);
  TAUT_CHECK(rung >= 1, "[{}] expected a rung of at least 1, got {}", op.op, rung);
  expect_rung(op, {DeviceKind::kSimt, 0}, rung);
  const Problem p = op.make(op.counted);
  Placed placed(op.op, p, kSimt);
  runner::start_counts();
  placed.run(rungs.list[rung - 1]);
  return runner::take_counts();
}

}  // namespace taut::lab
