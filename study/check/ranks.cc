#include "study/check/ranks.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "kernels/error.h"
#include "study/correlation.h"

namespace taut::study {
namespace {

std::vector<double> ranks(const std::vector<double>& values) {
  std::vector<double> out;
  for (const double v : values) {
    double below = 0, equal = 0;
    for (const double other : values) below += other < v, equal += other == v;
    out.push_back(below + (equal + 1) / 2);
  }
  return out;
}

double pearson(const std::vector<double>& x, const std::vector<double>& y) {
  Correlation pairs;
  for (size_t i = 0; i < x.size(); ++i) pairs.add(x[i], y[i]);
  return pairs.value();
}

void check_lists(const std::vector<double>& x, const std::vector<double>& y) {
  TAUT_CHECK(!x.empty() && x.size() == y.size(), "[ranks] expected two lists of one length, got {} and {}", x.size(),
             y.size());
}

}  // namespace

double spearman(const std::vector<double>& x, const std::vector<double>& y) {
  check_lists(x, y);
  return pearson(ranks(x), ranks(y));
}

double kendall(const std::vector<double>& x, const std::vector<double>& y) {
  check_lists(x, y);
  double balance = 0, in_x = 0, in_y = 0;  // pairs that differ
  for (size_t i = 0; i < x.size(); ++i) {
    for (size_t j = i + 1; j < x.size(); ++j) {
      const double dx = x[i] < x[j] ? 1 : x[i] > x[j] ? -1 : 0, dy = y[i] < y[j] ? 1 : y[i] > y[j] ? -1 : 0;
      balance += dx * dy;
      in_x += dx != 0;
      in_y += dy != 0;
    }
  }
  return in_x > 0 && in_y > 0 ? balance / std::sqrt(in_x * in_y) : 0;
}

double order_chance(const std::vector<double>& x, const std::vector<double>& y) {
  check_lists(x, y);
  TAUT_CHECK(x.size() <= 9, "[ranks] expected at most nine values, got {}", x.size());
  const std::vector<double> rx = ranks(x), ry = ranks(y);
  const double observed = std::abs(pearson(rx, ry)) - 1e-12;
  std::vector<size_t> order(x.size());
  std::iota(order.begin(), order.end(), size_t{0});
  double as_large = 0, all = 0;
  do {
    std::vector<double> moved;
    for (const size_t i : order) moved.push_back(ry[i]);
    as_large += std::abs(pearson(rx, moved)) >= observed;
    ++all;
  } while (std::next_permutation(order.begin(), order.end()));
  return as_large / all;
}

double slope_through_origin(const std::vector<double>& x, const std::vector<double>& y) {
  check_lists(x, y);
  const double xx = std::inner_product(x.begin(), x.end(), x.begin(), 0.0);
  return xx > 0 ? std::inner_product(x.begin(), x.end(), y.begin(), 0.0) / xx : 0;
}

}  // namespace taut::study
