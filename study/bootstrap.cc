#include "study/bootstrap.h"

#include <algorithm>
#include <bit>
#include <cmath>

#include "kernels/error.h"
#include "kernels/parallel.h"
#include "study/pareto.h"
#include "tensor/portable_math.h"
#include "tensor/random.h"

namespace taut::study {
namespace {

// Share of the resamples below `x`, ties counted half, kept off 0 and 1 by one resample.
double share_below(double x, std::span<const double> resampled) {
  int64_t twice = 0;
  for (double r : resampled) twice += r < x ? 2 : (r == x ? 1 : 0);
  const double b = static_cast<double>(resampled.size());
  return std::clamp(static_cast<double>(twice) / 2 / b, 1 / (b + 1), b / (b + 1));
}

// The order statistic of rank p (B + 1).
double quantile(const std::vector<double>& sorted, double p) {
  const auto b = static_cast<int64_t>(sorted.size());
  const auto rank = static_cast<int64_t>(std::floor(p * static_cast<double>(b + 1)));
  return sorted[static_cast<size_t>(std::clamp<int64_t>(rank, 1, b) - 1)];
}

void check_outcomes(const Outcomes& run) {
  bool fits = run.n >= 1;
  for (const std::vector<Bits>* flags : {&run.clean, &run.last, &run.best}) {
    fits = fits && flags->size() == run.clean.size();
    for (const Bits& bits : *flags) fits = fits && bits.size() == static_cast<size_t>((run.n + 63) / 64);
  }
  TAUT_CHECK(fits, "[bootstrap] expected clean and robust flags of the same {} images at every point", run.n);
}

}  // namespace

Bits pack_bits(std::span<const uint8_t> flags) {
  Bits bits((flags.size() + 63) / 64, 0);
  for (size_t i = 0; i < flags.size(); ++i) bits[i / 64] |= static_cast<uint64_t>(flags[i] != 0) << (i % 64);
  return bits;
}

// An image was drawn sum over k of 2^k plane[k][image] times, so that the weighted count of a set of images is a
// handful of popcounts.
Draw::Draw(int64_t n, uint64_t seed, int64_t resample) {
  std::vector<uint32_t> times(static_cast<size_t>(n), 0);
  Random random(seed, Purpose::kBootstrap, static_cast<uint64_t>(resample), static_cast<uint64_t>(n));
  for (int64_t i = 0; i < n; ++i) ++times[random.below(static_cast<uint64_t>(n))];
  const uint32_t most = *std::max_element(times.begin(), times.end());
  planes_.assign(static_cast<size_t>(std::bit_width(most)), Bits(static_cast<size_t>((n + 63) / 64), 0));
  for (size_t i = 0; i < times.size(); ++i) {
    for (size_t k = 0; k < planes_.size(); ++k) {
      planes_[k][i / 64] |= static_cast<uint64_t>(times[i] >> k & 1) << (i % 64);
    }
  }
}

int64_t Draw::count(const Bits& images) const {
  int64_t sum = 0;
  for (size_t k = 0; k < planes_.size(); ++k) {
    int64_t ones = 0;
    for (size_t w = 0; w < images.size(); ++w) ones += std::popcount(images[w] & planes_[k][w]);
    sum += ones << k;
  }
  return sum;
}

ResampledAreas resampled_areas(std::span<const Outcomes> runs, const BootstrapOptions& options) {
  TAUT_CHECK(options.resamples >= 1, "[bootstrap] expected at least one resample, got {}", options.resamples);
  std::vector<int64_t> sizes;
  for (const Outcomes& run : runs) {
    check_outcomes(run);
    if (std::find(sizes.begin(), sizes.end(), run.n) == sizes.end()) sizes.push_back(run.n);
  }
  ResampledAreas areas;
  areas.last.assign(runs.size(), std::vector<double>(static_cast<size_t>(options.resamples)));
  areas.best = areas.last;
  parallel_for(options.resamples, 16, [&](int64_t begin, int64_t end) {
    std::vector<TradeOff<int64_t>> last, best;
    for (int64_t b = begin; b < end; ++b) {
      for (int64_t n : sizes) {
        const Draw draw(n, options.seed, b);
        for (size_t r = 0; r < runs.size(); ++r) {
          if (runs[r].n != n) continue;
          last.clear();
          best.clear();
          for (size_t p = 0; p < runs[r].clean.size(); ++p) {
            const int64_t clean = draw.count(runs[r].clean[p]);
            last.push_back({clean, draw.count(runs[r].last[p])});
            best.push_back({clean, draw.count(runs[r].best[p])});
          }
          const auto all = static_cast<double>(n * n);
          areas.last[r][static_cast<size_t>(b)] = static_cast<double>(hypervolume_in_place(std::span(last))) / all;
          areas.best[r][static_cast<size_t>(b)] = static_cast<double>(hypervolume_in_place(std::span(best))) / all;
        }
      }
    }
  });
  return areas;
}

Estimate bias_corrected(double raw, std::vector<double> resampled, double level, double least, double most) {
  TAUT_CHECK(!resampled.empty(), "[bootstrap] expected at least one resample, got none");
  TAUT_CHECK(level > 0 && level < 1, "[bootstrap] expected a level between 0 and 1, got {}", level);
  Estimate out;
  out.raw = raw;
  double sum = 0;
  for (double r : resampled) sum += r;
  out.bias = sum / static_cast<double>(resampled.size()) - raw;
  out.value = std::clamp(raw - out.bias, least, most);
  const double z0 = normal_quantile(share_below(raw, resampled));
  const double z = normal_quantile((1 + level) / 2);
  std::sort(resampled.begin(), resampled.end());
  out.low = std::min(out.value, quantile(resampled, normal_cdf(2 * z0 - z)));
  out.high = std::max(out.value, quantile(resampled, normal_cdf(2 * z0 + z)));
  return out;
}

double share_against(double raw, std::span<const double> resampled) {
  const double z0 = normal_quantile(share_below(raw, resampled));
  const double below = normal_cdf(normal_quantile(share_below(0, resampled)) - 2 * z0);
  const double least = 2 / static_cast<double>(resampled.size() + 1);
  return std::clamp(2 * std::min(below, 1 - below), least, 1.0);
}

// Phi(x) = 1/2 + phi(x) (x + x^3/3 + x^5/(3 5) + ...) (Marsaglia, 2004); all terms have one sign.
double normal_cdf(double x) {
  if (x < -8) return 0;
  if (x > 8) return 1;
  double sum = x, term = x, before = 0;
  for (int i = 3; sum != before; i += 2) {
    before = sum;
    term *= x * x / i;
    sum += term;
  }
  constexpr double kInverseRootTwoPi = 0.39894228040143267794;
  return std::clamp(0.5 + sum * kInverseRootTwoPi * portable_exp(-x * x / 2), 0.0, 1.0);
}

double normal_quantile(double p) {
  TAUT_CHECK(p > 1e-9 && p < 1 - 1e-9, "[bootstrap] expected a probability between 0 and 1, got {}", p);
  double low = -8, high = 8;
  for (int i = 0; i < 60; ++i) {  // bisection: 16 / 2^60 is below the last bit
    const double middle = (low + high) / 2;
    (normal_cdf(middle) < p ? low : high) = middle;
  }
  return (low + high) / 2;
}

}  // namespace taut::study
