#include "kernels/lab/pass_bench.h"

#include <algorithm>

namespace taut::lab {
namespace {

Timing time(const PassCall& call, const PassRow& row, const std::function<void()>& turn = {}) {
  const auto flush = [&] { flush_from_caches(call.inputs); };
  return measure(row.threads, call.run, 0.5, row.cold ? std::function<void()>(flush) : nullptr, turn);
}

}  // namespace

Buffer filled(int64_t count) {
  Buffer buffer(static_cast<float*>(arena_allocate(static_cast<size_t>(count) * sizeof(float))));
  for (int64_t i = 0; i < count; ++i) buffer[static_cast<size_t>(i)] = static_cast<float>(i % 251) / 125.0f - 1.0f;
  return buffer;
}

std::vector<PassRow> time_pass(const PassRow& named, const Caches& caches, const PassCall& own) {
  std::vector<PassRow> rows;
  for (const bool cold : {false, true}) {
    if (cold ? !caches.cold : !caches.warm) continue;
    PassRow row = named;
    row.cold = cold;
    row.peaks = measure_peaks(row.threads, row.traffic, cold);
    double peak = 0;
    row.timing = time(own, row, [&] { peak = std::max(peak, run_fma_peak(row.threads)); });
    row.peaks.gflops = peak;  // at the clock of the samples
    rows.push_back(std::move(row));
  }
  return rows;
}

void time_vendor(std::vector<PassRow>& rows, const std::string& name, const PassCall& vendor) {
  for (PassRow& row : rows) {
    const double seconds = time(vendor, row).median;
    row.vendor = name;
    row.vendor_seconds = std::min(seconds, row.vendor_seconds.value_or(seconds));
  }
}

}  // namespace taut::lab
