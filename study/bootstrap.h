// How sure an area is: the bootstrap over test images.
//
// A resample draws n of the n images with replacement. An image brings all it has with it: its clean and robust
// outcomes at all steps of all runs, so areas of two strategies on one data set are compared on the same images. The
// draws depend on (seed, resample, n) only.
//
// With A the area of the real images and A*_b that of resample b of B:
//   bias  = mean A*_b - A          positive as a rule: the hypervolume takes maxima over noisy points
//   value = A - bias
//   z0    = Phi^-1(share of A*_b below A, ties counted half)
//   interval = the Phi(2 z0 + z_{alpha/2}) and Phi(2 z0 + z_{1-alpha/2}) quantiles of A*_b, widened to hold `value`
// This is the bias-corrected percentile interval (Efron, 1981; Efron and Tibshirani, 1993, chapter 14 without
// acceleration). It knows the choice of the test images only, not the randomness of training. On made-up worlds whose
// true area is known, nominal 95 % intervals of 300 images covered it in 94 % of the draws, and in 88 % where the front
// is flat and every evaluation independent, the worst case for maxima (tests/report/bootstrap.cc).
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace taut::study {

struct BootstrapOptions {
  int64_t resamples = 2000;
  uint64_t seed = 0;
  double level = 0.95;
};

// One bit an image, image i in bit i mod 64 of word i / 64.
using Bits = std::vector<uint64_t>;
Bits pack_bits(std::span<const uint8_t> flags);

// A resample: n draws of n images with replacement, a function of (seed, resample, n).
class Draw {
 public:
  Draw(int64_t n, uint64_t seed, int64_t resample);
  // How many of the drawn images are among these.
  int64_t count(const Bits& images) const;

 private:
  std::vector<Bits> planes_;
};

// What came of the n images at each evaluated point of one run: clean, under attack by the last iterate, and by the
// best.
struct Outcomes {
  int64_t n = 0;
  std::vector<Bits> clean, last, best;  // [point], equally many
};

// The hypervolume (pareto.h) of each run on each resample, as a fraction: [run][resample].
struct ResampledAreas {
  std::vector<std::vector<double>> last, best;
};

// The same bytes for any number of threads: counts are integers. Cost: runs x points x n / 64 x about 10 word
// operations a resample.
ResampledAreas resampled_areas(std::span<const Outcomes> runs, const BootstrapOptions& options);

struct Estimate {
  double raw = 0, bias = 0, value = 0, low = 0, high = 0;  // low <= value <= high
};

// The formulas above; value is kept inside [least, most]. Throws Error(kUsage) for no resamples.
Estimate bias_corrected(double raw, std::vector<double> resampled, double level, double least, double most);

// The least alpha at which the two-sided bias-corrected interval of `resampled` excludes 0, at least 2 / (B + 1), which
// B resamples can tell from 0: the analogue of a p-value for a difference, not corrected for the number of comparisons.
double share_against(double raw, std::span<const double> resampled);

// The standard normal distribution function and its inverse, from basic arithmetic (the same bytes everywhere);
// absolute error below 1e-12 for |x| < 6.
double normal_cdf(double x);
double normal_quantile(double p);  // 1e-9 < p < 1 - 1e-9

}  // namespace taut::study
