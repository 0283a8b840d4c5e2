#include "tensor/portable_math.h"

#include <cmath>

#include "kernels/error.h"

namespace taut {
namespace {

constexpr double kLn2High = 0x1.62e42fee00000p-1, kLn2Low = 0x1.a39ef35793c76p-33;
constexpr double kPiHigh = 0x1.921fb54400000p+1, kPiLow = 0x1.0b4611a626331p-33;

// Nearest integer without the rounding mode's help.
double nearest(double x) {
  return x >= 0 ? static_cast<double>(static_cast<long long>(x + 0.5))
                : -static_cast<double>(static_cast<long long>(0.5 - x));
}

// sin on [-pi/2, pi/2]: its series to x^23.
double sin_series(double x) {
  const double x2 = x * x;
  double sum = 0;
  for (int k = 23; k >= 3; k -= 2) sum = (sum + 1) * (-x2 / (k * (k - 1)));
  return x + x * sum;
}

}  // namespace

double portable_log(double x) {
  TAUT_CHECK(x > 0, "[portable_log] expected x > 0, got {}", x);
  int exponent;
  double m = std::frexp(x, &exponent);  // exact
  if (m < 0.70710678118654752) {
    m *= 2;
    --exponent;
  }
  // log m = 2 atanh((m-1)/(m+1)) = 2 (s + s^3/3 + s^5/5 + ...), |s| < 0.172: 11 terms reach 1e-18.
  const double s = (m - 1) / (m + 1), s2 = s * s;
  double series = 0;
  for (int k = 21; k >= 1; k -= 2) series = series * s2 + 1.0 / k;
  return exponent * kLn2High + (exponent * kLn2Low + 2 * s * series);
}

double portable_exp(double x) {
  TAUT_CHECK(x <= 700, "[portable_exp] expected x <= 700, got {}", x);
  if (x < -700) return 0;
  const double k = nearest(x / 0.693147180559945309);
  const double r = (x - k * kLn2High) - k * kLn2Low;  // |r| <= 0.35: 15 terms reach 1e-19
  double series = 1;
  for (int i = 15; i >= 1; --i) series = 1 + series * r / i;
  return std::ldexp(series, static_cast<int>(k));
}

double portable_cos(double x) {
  TAUT_CHECK(x > -1e6 && x < 1e6, "[portable_cos] expected |x| < 1e6, got {}", x);
  // cos x = sin(pi/2 - |x|), reduced with the half-integer multiple of pi.
  const double a = x < 0 ? -x : x;
  const double k = nearest(a / 3.14159265358979324 - 0.5) + 0.5;
  const double r = (a - k * kPiHigh) - k * kPiLow;
  const double s = sin_series(r);
  return static_cast<long long>(k - 0.5) % 2 == 0 ? -s : s;
}

}  // namespace taut
