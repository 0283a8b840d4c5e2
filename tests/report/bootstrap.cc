// The bootstrap against a plain loop, its promises about order and threads, and whether its intervals cover the truth.
#include "study/bootstrap.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>

#include "kernels/error.h"
#include "kernels/parallel.h"
#include "study/pareto.h"
#include "tensor/random.h"

namespace taut::study {
namespace {

// Images with a latent difficulty: image i is right at a point with `share` right if its difficulty is below it.
struct World {
  std::vector<double> clean, robust;  // [point] true accuracies
  double true_area() const {
    std::vector<TradeOff<double>> points;
    for (size_t p = 0; p < clean.size(); ++p) points.push_back({clean[p], robust[p]});
    return hypervolume(points);
  }
};

struct Drawn {
  std::vector<std::vector<uint8_t>> clean, robust;  // [point][image]
  Outcomes packed;
  double area = 0;
};

// Outcomes of n images; with `noise` an image's outcomes at different points are independent, else they go together.
Drawn draw(const World& world, int64_t n, uint64_t seed, bool noise) {
  Drawn out;
  out.packed.n = n;
  Random random(seed, Purpose::kTest);
  std::vector<double> difficulty;
  for (int64_t i = 0; i < n; ++i) difficulty.push_back(random.uniform_double());
  std::vector<TradeOff<double>> points;
  for (size_t p = 0; p < world.clean.size(); ++p) {
    std::vector<uint8_t> clean, robust;
    for (int64_t i = 0; i < n; ++i) {
      const double d = noise ? random.uniform_double() : difficulty[static_cast<size_t>(i)];
      clean.push_back(d < world.clean[p]);
      robust.push_back(d < world.robust[p]);
    }
    const auto share = [n](const std::vector<uint8_t>& flags) {
      return static_cast<double>(std::count(flags.begin(), flags.end(), uint8_t{1})) / static_cast<double>(n);
    };
    points.push_back({share(clean), share(robust)});
    out.packed.clean.push_back(pack_bits(clean));
    out.packed.last.push_back(pack_bits(robust));
    std::vector<uint8_t> best = robust;  // every third image fell to an earlier iterate
    for (size_t i = 0; i < best.size(); i += 3) best[i] = 0;
    out.packed.best.push_back(pack_bits(best));
    out.clean.push_back(std::move(clean));
    out.robust.push_back(std::move(robust));
  }
  out.area = hypervolume(points);
  return out;
}

const World kWorld = {{0.2, 0.5, 0.58, 0.62, 0.66, 0.7}, {0.05, 0.2, 0.3, 0.29, 0.2, 0.15}};

TEST_CASE("the normal distribution function and its inverse agree with tables") {
  CHECK(normal_cdf(0) == 0.5);
  CHECK(normal_cdf(1.0) == doctest::Approx(0.841344746068543).epsilon(1e-12));
  CHECK(normal_cdf(-3.0) == doctest::Approx(0.00134989803163009).epsilon(1e-10));
  CHECK(normal_quantile(0.975) == doctest::Approx(1.95996398454005).epsilon(1e-12));
  CHECK(normal_quantile(0.001) == doctest::Approx(-3.09023230616781).epsilon(1e-10));
  for (double p = 0.01; p < 1; p += 0.07) CHECK(normal_cdf(normal_quantile(p)) == doctest::Approx(p).epsilon(1e-12));
}

TEST_CASE("resampled areas equal a plain loop over the same draws") {
  const int64_t n = 131;  // not a multiple of 64
  const Drawn run = draw(kWorld, n, 3, true);
  const BootstrapOptions options{.resamples = 20, .seed = 5};
  const ResampledAreas areas = resampled_areas(std::vector<Outcomes>{run.packed}, options);
  for (int64_t b = 0; b < options.resamples; ++b) {
    Random random(options.seed, Purpose::kBootstrap, static_cast<uint64_t>(b), static_cast<uint64_t>(n));
    std::vector<TradeOff<int64_t>> counts(kWorld.clean.size()), best = counts;
    for (int64_t i = 0; i < n; ++i) {
      const size_t image = random.below(static_cast<uint64_t>(n));
      for (size_t p = 0; p < counts.size(); ++p) {
        counts[p].clean += run.clean[p][image];
        counts[p].robust += run.robust[p][image];
        best[p].clean += run.clean[p][image];
        best[p].robust += image % 3 == 0 ? 0 : run.robust[p][image];
      }
    }
    const auto at = static_cast<size_t>(b);
    CHECK(areas.last[0][at] == static_cast<double>(hypervolume(counts)) / static_cast<double>(n * n));
    CHECK(areas.best[0][at] == static_cast<double>(hypervolume(best)) / static_cast<double>(n * n));
  }
}

TEST_CASE("the bytes do not depend on the number of threads nor on the company of other runs") {
  const Outcomes first = draw(kWorld, 300, 1, true).packed, second = draw(kWorld, 300, 2, false).packed;
  const Outcomes smaller = draw(kWorld, 70, 3, false).packed;
  const BootstrapOptions options{.resamples = 100, .seed = 9};
  const int before = num_threads();
  set_num_threads(1);
  const auto one = resampled_areas(std::vector<Outcomes>{first, second, smaller}, options).last;
  set_num_threads(5);
  const auto five = resampled_areas(std::vector<Outcomes>{first, second, smaller}, options).last;
  set_num_threads(before);
  CHECK(one == five);
  CHECK(resampled_areas(std::vector<Outcomes>{second}, options).last[0] == one[1]);
  CHECK(resampled_areas(std::vector<Outcomes>{smaller}, options).last[0] == one[2]);
  CHECK(resampled_areas(std::vector<Outcomes>{first}, {.resamples = 100, .seed = 10}).last[0] != one[0]);
}

TEST_CASE("the same images are drawn for all runs: a run minus itself has no spread") {
  const Outcomes run = draw(kWorld, 200, 4, true).packed;
  const auto areas = resampled_areas(std::vector<Outcomes>{run, run}, {.resamples = 50, .seed = 1}).last;
  CHECK(areas[0] == areas[1]);
  CHECK(*std::max_element(areas[0].begin(), areas[0].end()) > *std::min_element(areas[0].begin(), areas[0].end()));
}

TEST_CASE("low <= value <= high inside the range, also in degenerate cases") {
  for (uint64_t seed = 0; seed < 40; ++seed) {
    Random random(seed, Purpose::kTest, 1);
    World world;
    for (int p = 0; p < 5; ++p) {
      world.clean.push_back(random.uniform_double());
      world.robust.push_back(world.clean.back() * random.uniform_double() * (seed % 4 == 0 ? 0 : 1));
    }
    const auto n = static_cast<int64_t>(1 + random.below(80));
    const Drawn run = draw(world, n, seed, true);
    const auto areas = resampled_areas(std::vector<Outcomes>{run.packed}, {.resamples = 60, .seed = seed}).last;
    const Estimate e = bias_corrected(run.area, areas[0], 0.95, 0, 1);
    CHECK(e.low <= e.value);
    CHECK(e.value <= e.high);
    CHECK(e.low >= 0);
    CHECK(e.high <= 1);
  }
  const Estimate constant = bias_corrected(0.3, std::vector<double>(10, 0.3), 0.95, 0, 1);
  CHECK(constant.low == doctest::Approx(0.3));
  CHECK(constant.high == doctest::Approx(0.3));
  CHECK(constant.value == doctest::Approx(0.3));
}

TEST_CASE("intervals shift against the bias as the formula says") {
  // A* standard normal around raw + 1/2: z0 = -1/2, so the ends are those of a normal around raw - 1/2.
  std::vector<double> resampled;
  for (int i = 1; i < 20000; ++i) resampled.push_back(10.5 + normal_quantile(i / 20000.0));
  const Estimate e = bias_corrected(10, resampled, 0.95, -100, 100);
  CHECK(e.value == doctest::Approx(9.5).epsilon(1e-6));
  CHECK(e.low == doctest::Approx(9.5 - 1.96).epsilon(1e-3));
  CHECK(e.high == doctest::Approx(9.5 + 1.96).epsilon(1e-3));
}

TEST_CASE("share_against is small exactly where the interval of the difference excludes zero") {
  for (double shift : {-3.0, -2.1, -1.8, -0.5, 0.0, 0.7, 1.8, 2.1, 3.0}) {
    std::vector<double> resampled;
    for (int i = 1; i < 4000; ++i) resampled.push_back(shift + normal_quantile(i / 4000.0));
    const Estimate e = bias_corrected(shift, resampled, 0.95, -100, 100);
    const double share = share_against(shift, resampled);
    CAPTURE(shift);
    CHECK((share < 0.05) == (e.low > 0 || e.high < 0));
    CHECK(share == doctest::Approx(2 * normal_cdf(-std::abs(shift))).epsilon(0.02));
  }
}

TEST_CASE("intervals cover the true area about as often as they claim, and the correction removes bias") {
  // Flat fronts of independent points are where maxima over noise mislead most.
  const World flat = {{0.5, 0.52, 0.54, 0.56, 0.58, 0.6}, {0.26, 0.25, 0.24, 0.23, 0.22, 0.21}};
  for (const World& world : {kWorld, flat}) {
    const int trials = 200;
    int covered = 0;
    double bias_raw = 0, bias_corrected_sum = 0;
    for (int t = 0; t < trials; ++t) {
      const Drawn run = draw(world, 300, static_cast<uint64_t>(1000 + t), true);
      const auto areas =
          resampled_areas(std::vector<Outcomes>{run.packed}, {.resamples = 400, .seed = static_cast<uint64_t>(t)}).last;
      const Estimate e = bias_corrected(run.area, areas[0], 0.95, 0, 1);
      covered += e.low <= world.true_area() && world.true_area() <= e.high;
      bias_raw += (e.raw - world.true_area()) / trials;
      bias_corrected_sum += (e.value - world.true_area()) / trials;
    }
    CAPTURE(covered);
    CAPTURE(bias_raw);
    CAPTURE(bias_corrected_sum);
    CHECK(covered >= 0.86 * trials);  // of 200: 187, and 176 on the flat front, the hardest case
    CHECK(covered <= 0.98 * trials);
    CHECK(bias_raw > 0);
    CHECK(std::abs(bias_corrected_sum) < 0.7 * bias_raw);
  }
}

TEST_CASE("what does not fit together is refused") {
  Outcomes run = draw(kWorld, 70, 1, true).packed;
  run.last.pop_back();
  CHECK_THROWS_WITH_AS(resampled_areas(std::vector<Outcomes>{run}, {}), doctest::Contains("[bootstrap] expected clean"),
                       Error);
  CHECK_THROWS_AS(resampled_areas(std::vector<Outcomes>{}, {.resamples = 0}), Error);
  CHECK_THROWS_AS(bias_corrected(0.1, {}, 0.95, 0, 1), Error);
  CHECK_THROWS_AS(bias_corrected(0.1, {0.1}, 1.0, 0, 1), Error);
}

}  // namespace
}  // namespace taut::study
