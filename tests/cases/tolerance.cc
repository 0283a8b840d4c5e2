#include "tests/cases/tolerance.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace taut::cases {

void Judgement::add(double e, double l) {
  const bool ok = e <= l;
  // A failure outranks a pass; among equals the one nearest to its limit (or farthest over it) is kept.
  const auto ratio = [](double x, double y) {
    return y > 0 ? x / y : x > 0 ? std::numeric_limits<double>::infinity() : 0.0;
  };
  if ((pass && !ok) || (pass == ok && ratio(e, l) >= ratio(error, limit))) {
    error = e;
    limit = l;
  }
  pass = pass && ok;
}

double largest(const std::vector<double>& values) {
  double most = 0;
  for (const double v : values) most = std::max(most, std::abs(v));
  return most;
}

double relative_error(const std::vector<double>& got, const std::vector<double>& wanted) {
  constexpr double kInfinite = std::numeric_limits<double>::infinity();
  if (got.size() != wanted.size()) return kInfinite;
  double error = 0;
  for (size_t i = 0; i < got.size(); ++i) {
    if (!std::isfinite(got[i])) return kInfinite;
    error = std::max(error, std::abs(got[i] - wanted[i]));
  }
  if (error == 0) return 0;
  const double scale = largest(wanted);
  return scale > 0 ? error / scale : kInfinite;
}

double budget(const std::vector<double>& plain, const std::vector<double>& wanted, double factor) {
  return factor * relative_error(plain, wanted) + kBudgetFloor * std::numeric_limits<float>::epsilon();
}

}  // namespace taut::cases
