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

namespace {

// Half a unit in the last place of a number between 1 and 2.
constexpr double kBF16Rounding = 0x1p-8, kTF32Rounding = 0x1p-11;

double to_bits(double v, int bits) {
  int exponent = 0;
  const double fraction = std::frexp(v, &exponent);
  return std::isfinite(v) ? std::ldexp(std::nearbyint(std::ldexp(fraction, bits)), exponent - bits) : v;
}

}  // namespace

double bf16_budget(const std::vector<double>& plain, const std::vector<double>& wanted) {
  std::vector<double> stored = plain;
  for (double& v : stored) v = rounded_to_bf16(v);
  return kBF16Factor * relative_error(stored, wanted) + kBF16Floor * kBF16Rounding;
}

double tf32_budget(const std::vector<double>& plain, const std::vector<double>& wanted) {
  return kTF32Factor * relative_error(plain, wanted) + kTF32Floor * kTF32Rounding;
}

double rounded_to_bf16(double v) { return to_bits(v, 8); }
double rounded_to_tf32(double v) { return to_bits(v, 11); }

}  // namespace taut::cases
