// Pareto fronts of (clean accuracy a, robust accuracy r), both maximised, and the area under them.
//
// front: points no other point weakly dominates. Sorted by a descending, the strict records of r; duplicates merge.
// With the front sorted by a ascending (so r descends) and a_0 = 0:
//   A1  hypervolume(ref 0)    sum (a_i - a_{i-1}) r_i: the union of the rectangles [0, a_i] x [0, r_i]   (primary)
//   A2  trapezoid_front       sum over neighbours of the front (a_i - a_{i-1}) (r_i + r_{i-1}) / 2
//   A3  trapezoid_extended    A2 + a_1 r_1: extended to a = 0 at the largest r and down to the axis at the largest a
//   A4  trapezoid_all         the trapezoid rule over all points sorted by (a, r)
//   A5  hypervolume_chance    A1 of the points (max(a - chance, 0), r)
//   A6  mean_robust           A1 / a_max: mean robust accuracy over the attainable accuracies
// A1 never falls when a point is added, ignores dominated points, and is the only kind of unary indicator known to
// respect dominance (Zitzler and Thiele, 1998; Zitzler et al., 2003). A bound:
//   max a_i r_i <= A1 <= a_max r_max.
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>
#include <vector>

namespace taut::study {

// T is double for fractions, or int64_t for counts of the same n images, where A1 is exact in units of 1 / n^2.
template <class T>
struct TradeOff {
  T clean{}, robust{};
  bool operator==(const TradeOff&) const = default;
};

// The front in place: returns how many points of `points` it has; they come first, by a descending.
template <class T>
size_t front_in_place(std::span<TradeOff<T>> points) {
  std::sort(points.begin(), points.end(), [](const TradeOff<T>& p, const TradeOff<T>& q) {
    return p.clean != q.clean ? p.clean > q.clean : p.robust > q.robust;
  });
  size_t kept = 0;
  for (const TradeOff<T>& p : points) {
    if (kept == 0 || p.robust > points[kept - 1].robust) points[kept++] = p;
  }
  return kept;
}

template <class T>
std::vector<TradeOff<T>> pareto_front(std::vector<TradeOff<T>> points) {
  points.resize(front_in_place(std::span<TradeOff<T>>(points)));
  return points;
}

// A1 of `points`, none negative; reorders them. 0 for no points.
template <class T>
T hypervolume_in_place(std::span<TradeOff<T>> points) {
  T area{}, below{};
  for (const TradeOff<T>& p : points.first(front_in_place(points))) {
    area += p.clean * (p.robust - below);
    below = p.robust;
  }
  return area;
}

template <class T>
T hypervolume(std::vector<TradeOff<T>> points) {
  return hypervolume_in_place(std::span<TradeOff<T>>(points));
}

// Every definition at once, of fractions in [0, 1].
struct Areas {
  double hypervolume = 0;                   // A1
  double trapezoid_front = 0;               // A2
  double trapezoid_extended = 0;            // A3
  double trapezoid_all = 0;                 // A4
  double hypervolume_chance = 0;            // A5
  double mean_robust = 0;                   // A6
  double lower_bound = 0, upper_bound = 0;  // max a r, a_max r_max
};

// `chance` is the accuracy of guessing, 1 / classes.
Areas areas(const std::vector<TradeOff<double>>& points, double chance);

// 100 (area - mean) / mean for each area, the mean taken over all of them; 0 where the mean is 0.
std::vector<double> percent_above_average(const std::vector<double>& areas);

}  // namespace taut::study
