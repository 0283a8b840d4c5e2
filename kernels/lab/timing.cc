#include "kernels/lab/timing.h"

#include <immintrin.h>

#include <algorithm>

#include "kernels/devices.h"
#include "kernels/lab/peak.h"
#include "kernels/parallel.h"

namespace taut::lab {
namespace {

constexpr double kShortestSample = 50e-6, kShortestOnGpu = 1e-3;
constexpr int kFewestSamples = 30, kMostSamples = 1000;
constexpr double kLongest = 20;  // seconds of samples, where 30 of them take longer: not fewer than 3
constexpr int64_t kLine = 64;

using Clock = std::function<double(const std::function<void()>& work)>;  // seconds that the work takes

struct Sampled {
  double shortest_sample;
  const std::function<void()>& call;
  Clock clock;

  // Seconds of a call.
  double time(int calls) const {
    return clock([&] {
             for (int i = 0; i < calls; ++i) call();
           }) /
           calls;
  }
};

Timing measure(const Sampled& sampled, double seconds, const std::function<void()>& before,
               const std::function<void()>& turn) {
  sampled.time(1);  // touches memory, wakes threads
  Timing timing{.calls = 1};
  if (!before) timing.calls = std::max(1, static_cast<int>(sampled.shortest_sample / std::max(1e-9, sampled.time(1))));
  std::vector<double> samples;
  for (double total = 0; samples.size() < kMostSamples;) {
    const auto count = static_cast<int>(samples.size());
    if (count >= kFewestSamples && total >= seconds) break;
    if (count >= 3 && total >= kLongest) break;
    if (turn) turn();
    if (before) before();
    samples.push_back(sampled.time(timing.calls));
    total += samples.back() * timing.calls;
  }
  std::sort(samples.begin(), samples.end());
  const size_t n = samples.size();
  timing.samples = static_cast<int>(n);
  timing.median = samples[n / 2];
  timing.minimum = samples[0];
  timing.p10 = samples[n / 10];
  timing.p90 = samples[n * 9 / 10];
  timing.noise = (samples[n * 3 / 4] - samples[n / 4]) / timing.median;
  return timing;
}

}  // namespace

Timing measure(int threads, const std::function<void()>& call, double seconds, const std::function<void()>& before,
               const std::function<void()>& turn) {
  const Clock clock = [threads](const std::function<void()>& work) {
    const double begin = bench_seconds(threads);
    work();
    return bench_seconds(threads) - begin;
  };
  return measure({kShortestSample, call, clock}, seconds, before, turn);
}

Timing measure_on(Device device, const std::function<void()>& call, double seconds,
                  const std::function<void()>& before) {
  if (device.kind == DeviceKind::kCpu) return measure(num_threads(), call, seconds, before);
  return measure({kShortestOnGpu, call, [device](const auto& work) { return device_seconds(device, work); }}, seconds,
                 before, {});
}

void flush_from_caches(const MemoryRanges& ranges) {
  for (const auto& [begin, bytes] : ranges)
    for (int64_t at = 0; at < bytes; at += kLine) _mm_clflush(static_cast<const char*>(begin) + at);
  _mm_mfence();
}

}  // namespace taut::lab
