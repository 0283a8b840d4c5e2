// Fronts and areas against brute force on integer points, where everything is exact.
#include "study/pareto.h"

#include <doctest/doctest.h>
#include <rapidcheck.h>

#include <set>

namespace taut::study {
namespace {

using Counts = std::vector<TradeOff<int64_t>>;
constexpr int64_t kGrid = 12;

Counts some_points() {
  Counts points;
  const auto raw = *rc::gen::container<std::vector<std::pair<int64_t, int64_t>>>(
      rc::gen::pair(rc::gen::inRange<int64_t>(0, kGrid + 1), rc::gen::inRange<int64_t>(0, kGrid + 1)));
  for (const auto& [clean, robust] : raw) points.push_back({clean, robust});
  return points;
}

TradeOff<int64_t> one_point() {
  return {*rc::gen::inRange<int64_t>(0, kGrid + 1), *rc::gen::inRange<int64_t>(0, kGrid + 1)};
}

// Unit cells of the grid that some point's rectangle covers.
int64_t covered_cells(const Counts& points) {
  int64_t cells = 0;
  for (int64_t x = 0; x < kGrid; ++x) {
    for (int64_t y = 0; y < kGrid; ++y) {
      cells += std::any_of(points.begin(), points.end(),
                           [x, y](const TradeOff<int64_t>& p) { return p.clean > x && p.robust > y; });
    }
  }
  return cells;
}

bool weakly_dominates(const TradeOff<int64_t>& p, const TradeOff<int64_t>& q) {
  return p.clean >= q.clean && p.robust >= q.robust;
}

void holds(const char* what, const std::function<void()>& property) {
  CAPTURE(what);
  CHECK(rc::check(what, property));
}

TEST_CASE("the hypervolume counts the covered cells") {
  holds("hypervolume == cells", [] {
    const Counts points = some_points();
    RC_ASSERT(hypervolume(points) == covered_cells(points));
  });
}

TEST_CASE("the front is exactly the points that no other point weakly dominates") {
  holds("front == brute force", [] {
    const Counts points = some_points();
    std::set<std::pair<int64_t, int64_t>> expected;
    for (const auto& p : points) {
      const bool beaten = std::any_of(points.begin(), points.end(),
                                      [&p](const auto& q) { return !(q == p) && weakly_dominates(q, p); });
      if (!beaten) expected.insert({p.clean, p.robust});
    }
    const Counts front = pareto_front(points);
    std::set<std::pair<int64_t, int64_t>> found;
    for (const auto& p : front) found.insert({p.clean, p.robust});
    RC_ASSERT(found == expected);
    RC_ASSERT(front.size() == expected.size());  // duplicates merged
    for (size_t i = 1; i < front.size(); ++i) {
      RC_ASSERT(front[i].clean < front[i - 1].clean);
      RC_ASSERT(front[i].robust > front[i - 1].robust);
    }
  });
}

TEST_CASE("adding a point never lowers the hypervolume, and a dominated one leaves it alone") {
  holds("monotone", [] {
    Counts points = some_points();
    const int64_t before = hypervolume(points);
    const auto added = one_point();
    const bool dominated =
        std::any_of(points.begin(), points.end(), [&added](const auto& p) { return weakly_dominates(p, added); });
    points.push_back(added);
    RC_ASSERT(hypervolume(points) >= before);
    if (dominated) RC_ASSERT(hypervolume(points) == before);
  });
}

TEST_CASE("swapping the axes keeps the hypervolume, and so does the order of the points") {
  holds("symmetric", [] {
    const Counts points = some_points();
    Counts swapped;
    for (const auto& p : points) swapped.insert(swapped.begin(), {p.robust, p.clean});
    RC_ASSERT(hypervolume(swapped) == hypervolume(points));
  });
}

TEST_CASE("max a r <= hypervolume <= a_max r_max, in all the definitions' own relations") {
  holds("bounds", [] {
    std::vector<TradeOff<double>> points;
    for (const auto& p : some_points()) {
      points.push_back({static_cast<double>(p.clean) / kGrid, static_cast<double>(p.robust) / kGrid});
    }
    const Areas a = areas(points, 0.25);
    const double slack = 1e-12;
    RC_ASSERT(a.lower_bound <= a.hypervolume + slack);
    RC_ASSERT(a.hypervolume <= a.upper_bound + slack);
    RC_ASSERT(a.hypervolume <= a.trapezoid_extended + slack);
    RC_ASSERT(a.trapezoid_front <= a.trapezoid_extended + slack);
    RC_ASSERT(a.hypervolume_chance <= a.hypervolume + slack);
    RC_ASSERT(a.hypervolume <= a.mean_robust + slack);
  });
}

TEST_CASE("the definitions on three points worked by hand") {
  // (0.4, 0.3), (0.8, 0.2), and (0.6, 0.1), which the second dominates.
  const Areas a = areas({{0.8, 0.2}, {0.6, 0.1}, {0.4, 0.3}}, 0.2);
  CHECK(a.hypervolume == doctest::Approx(0.4 * 0.3 + 0.4 * 0.2));
  CHECK(a.trapezoid_front == doctest::Approx(0.4 * 0.25));
  CHECK(a.trapezoid_extended == doctest::Approx(0.4 * 0.25 + 0.4 * 0.3));
  CHECK(a.trapezoid_all == doctest::Approx(0.2 * 0.2 + 0.2 * 0.15));
  CHECK(a.hypervolume_chance == doctest::Approx(0.2 * 0.3 + 0.4 * 0.2));
  CHECK(a.mean_robust == doctest::Approx(0.2 / 0.8));
  CHECK(a.lower_bound == doctest::Approx(0.16));
  CHECK(a.upper_bound == doctest::Approx(0.24));
}

TEST_CASE("percent above average reproduces the figures of the paper's table") {
  const auto percent = percent_above_average({0.21, 0.09, 0.14, 0.12, 0.08, 0.06, 0.11});  // CIFAR-10, BitFit first
  CHECK(percent[0] == doctest::Approx(81.5).epsilon(0.001));
  const auto dogs =
      percent_above_average({0.08, 0.09, 0.06, 0.05, 0.05, 0.02, 0.05});  // Stanford Dogs, Compacter second
  CHECK(dogs[1] == doctest::Approx(57.5).epsilon(0.001));
  CHECK(percent_above_average({0, 0}) == std::vector<double>{0, 0});
}

}  // namespace
}  // namespace taut::study
