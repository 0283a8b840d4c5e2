#include "kernels/lab/peak.h"

#include <algorithm>
#include <barrier>
#include <cstring>
#include <ctime>
#include <memory>
#include <optional>
#include <thread>
#include <vector>

#include "kernels/device_memory.h"
#include "kernels/error.h"
#include "kernels/lab/device_array.h"
#include "kernels/lab/gpu_libraries.h"
#include "kernels/lab/timing.h"
#include "kernels/parallel.h"
#include "kernels/peak.h"
#include "kernels/runtime.h"

namespace taut {
namespace {

double run_chains(int64_t steps) {
  float sink = 0;
  return cpu_isa() == Isa::kAvx512 ? avx512::run_fma_chains(steps, &sink) : avx2::run_fma_chains(steps, &sink);
}

double rate_of_one(int threads) {
  constexpr int64_t kSteps = 250'000;  // 6 M operations of 16 lanes take 1.7 ms at 3.5 GHz
  const double start = bench_seconds(threads);
  const double operations = run_chains(kSteps);
  return operations / (bench_seconds(threads) - start) * 1e-9;
}

// Host memory that is read and written in the proportion of other work: what is read and written alike is copied or
// updated in place, the rest read or filled. Between a size that a clock can see and one beyond every cache.
class MemoryStream {
 public:
  explicit MemoryStream(const Traffic& like) : in_place_(like.in_place) {
    constexpr double kLeast = 16384, kMost = 1 << 29;
    const Traffic all = like.bytes() > 0 ? like : Traffic{1, 1};
    const double scale = std::clamp(all.bytes(), kLeast, kMost) / all.bytes() / sizeof(float);
    read_ = steps(scale * all.read);
    written_ = steps(scale * all.written);
    from_.resize(static_cast<size_t>(read_));
    to_.resize(static_cast<size_t>(written_));
  }

  void run(int threads) {
    const int64_t copied = std::min(read_, written_);
    each(threads, copied, [&](int64_t begin, int64_t count) {
      if (!in_place_)
        std::memcpy(to_.data() + begin, from_.data() + begin, static_cast<size_t>(count) * sizeof(float));
      else
        cpu_isa() == Isa::kAvx512 ? avx512::update_floats(to_.data() + begin, count)
                                  : avx2::update_floats(to_.data() + begin, count);
    });
    each(threads, read_ - copied, [&](int64_t begin, int64_t count) {
      float sink = 0;
      const float* const at = from_.data() + copied + begin;
      cpu_isa() == Isa::kAvx512 ? avx512::read_floats(at, count, &sink) : avx2::read_floats(at, count, &sink);
    });
    each(threads, written_ - copied, [&](int64_t begin, int64_t count) {
      std::memset(to_.data() + copied + begin, 0, static_cast<size_t>(count) * sizeof(float));
    });
  }

  lab::MemoryRanges memory() const { return {{from_.data(), bytes(read_)}, {to_.data(), bytes(written_)}}; }
  double bytes() const { return static_cast<double>(bytes(read_ + written_)); }

 private:
  static int64_t bytes(int64_t floats) { return floats * static_cast<int64_t>(sizeof(float)); }
  static int64_t steps(double floats) { return static_cast<int64_t>(floats) / kReadStep * kReadStep; }
  // `work(begin, count)` for a share of each thread, in whole steps.
  template <class Work>
  static void each(int threads, int64_t floats, Work&& work) {
    constexpr int64_t kGrain = 16;
    const int64_t n = floats / kReadStep;
    parallel_for(n, std::max(kGrain, (n + threads - 1) / threads),
                 [&](int64_t begin, int64_t end) { work(begin * kReadStep, (end - begin) * kReadStep); });
  }

  bool in_place_;
  int64_t read_ = 0, written_ = 0;  // floats
  std::vector<float> from_, to_;
};

}  // namespace

double bench_seconds(int threads) {
  timespec t{};
  clock_gettime(threads == 1 ? CLOCK_THREAD_CPUTIME_ID : CLOCK_MONOTONIC, &t);
  return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
}

double run_fma_peak(int threads) {
  if (threads == 1) return rate_of_one(1);
  // Each thread is timed over its own run, and all start together: the sum of their rates is what they reach together.
  std::barrier start(threads);
  std::vector<double> rates(static_cast<size_t>(threads));
  std::vector<std::thread> others;
  const auto work = [&](int i) {
    run_chains(1000);
    start.arrive_and_wait();
    rates[static_cast<size_t>(i)] = rate_of_one(threads);
  };
  for (int i = 1; i < threads; ++i) others.emplace_back(work, i);
  work(0);
  for (std::thread& t : others) t.join();
  double sum = 0;
  for (const double rate : rates) sum += rate;
  return sum;
}

double measure_fma_peak_gflops(int threads) {
  TAUT_CHECK(threads >= 1, "[peak] expected at least one thread, got {}", threads);
  double best = 0;
  for (int run = 0; run < 30; ++run) best = std::max(best, run_fma_peak(threads));
  return best;
}

std::optional<double> Peaks::percent(double flops, double bytes, double seconds) const {
  if (!gflops) return {};
  return 100 * std::max(1e-9 * flops / *gflops, 1e-9 * bytes / gb_per_second) / seconds;
}

Peaks measure_peaks(int threads, const Traffic& traffic, bool cold) {
  MemoryStream stream(traffic);
  const auto run = [&] { stream.run(threads); };
  const auto flush = [&] { lab::flush_from_caches(stream.memory()); };
  const lab::Timing timing = cold ? lab::measure(threads, run, 0.05, flush) : lab::measure(threads, run, 0.05);
  return {measure_fma_peak_gflops(threads), 1e-9 * stream.bytes() / timing.minimum};
}

Peaks measure_gpu_peaks(Device device, LtElement element, int64_t bytes, bool cold) {
  constexpr int64_t kLeast = 8192, kMost = int64_t{1} << 30;
  const auto half = static_cast<size_t>(std::clamp(bytes / 2, kLeast, kMost));
  const lab::DeviceArray from(half, device), to(half, device);
  zero_memory(from.get(), device, half);
  const auto copy = [&] { copy_memory(to.get(), device, from.get(), device, half); };
  std::optional<lab::CacheSpoiler> spoiler;
  if (cold) spoiler.emplace(device);
  const lab::Timing timing =
      cold ? lab::measure_on(device, copy, 0.05, [&] { (*spoiler)(); }) : lab::measure_on(device, copy, 0.05);
  return {lab::matrix_gflops(device, element), 2e-9 * static_cast<double>(half) / timing.minimum};
}

}  // namespace taut
