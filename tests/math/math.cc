// Accuracy of kernels/math.h against libm in double precision, and equality of its bits on AVX2, AVX-512 and scalars.
#include <doctest/doctest.h>

#include <bit>
#include <cfloat>
#include <cmath>
#include <cstdio>
#include <vector>

#include "kernels/runtime.h"
#include "tests/math/functions.h"

namespace taut {
namespace {

constexpr double kSqrtHalf = 0.70710678118654752440, kInvSqrtTwoPi = 0.39894228040143267794;
constexpr double kTanhScale = 2 * 0.79788456080286535588, kTanhCubic = 0.044715;

double sigmoid(double x) { return 1 / (1 + std::exp(-x)); }
double gelu_tanh_argument(double x) { return kTanhScale * (x + kTanhCubic * x * x * x); }

// A function, what it should give, on which arguments it is judged and how well: in units in the last place of the
// result, or, where the result passes through zero or is a product of a rounded exponent, of max(|result|, floor).
struct Row {
  Function f;
  const char* name;
  double (*reference)(double);
  double limit;  // |x| at most
  double bound;  // largest error in units
  double floor;
};

const Row kRows[] = {
    {Function::exp, "exp", [](double x) { return std::exp(x); }, INFINITY, 1.0, 0},
    {Function::log, "log", [](double x) { return std::log(x); }, INFINITY, 0.8, 0},
    {Function::erf, "erf", [](double x) { return std::erf(x); }, INFINITY, 1.0, 0},
    {Function::tanh, "tanh", [](double x) { return std::tanh(x); }, INFINITY, 1.3, 0},
    {Function::sin, "sin", [](double x) { return std::sin(x); }, 8192, 1.6, 0},
    {Function::cos, "cos", [](double x) { return std::cos(x); }, 8192, 1.6, 0},
    {Function::sigmoid, "sigmoid", sigmoid, INFINITY, 2.1, 0},
    {Function::silu, "silu", [](double x) { return x < -800 ? -0.0 : x * sigmoid(x); }, INFINITY, 3.0, FLT_MIN * 256},
    {Function::silu_derivative, "silu_derivative",
     [](double x) { return std::abs(x) > 800 ? (x > 0) : sigmoid(x) * (1 + x * sigmoid(-x)); }, INFINITY, 3.0, 0.5},
    {Function::gelu_erf, "gelu_erf", [](double x) { return x < -40 ? -0.0 : x * 0.5 * std::erfc(-x * kSqrtHalf); },
     INFINITY, 5.5, FLT_MIN * 16},
    {Function::gelu_erf_derivative, "gelu_erf_derivative",
     [](double x) {
       return std::abs(x) > 40 ? (x > 0) : 0.5 * std::erfc(-x * kSqrtHalf) + x * kInvSqrtTwoPi * std::exp(-0.5 * x * x);
     },
     INFINITY, 3.0, 0.5},
    {Function::gelu_tanh, "gelu_tanh", [](double x) { return x < -40 ? -0.0 : x * sigmoid(gelu_tanh_argument(x)); },
     INFINITY, 3.0, 0.25},
    {Function::gelu_tanh_derivative, "gelu_tanh_derivative",
     [](double x) {
       if (std::abs(x) > 40) return x > 0 ? 1.0 : 0.0;
       const double s = sigmoid(gelu_tanh_argument(x));
       return s + x * s * sigmoid(-gelu_tanh_argument(x)) * kTanhScale * (1 + 3 * kTanhCubic * x * x);
     },
     INFINITY, 3.0, 0.5},
};
static_assert(sizeof(kRows) / sizeof(kRows[0]) == static_cast<size_t>(Function::count));

// All floats whose bits are a multiple of a prime (every exponent, both signs, NaN), and the special ones.
std::vector<float> arguments() {
  std::vector<float> x;
  for (uint64_t bits = 0; bits < (uint64_t{1} << 32); bits += 2039) x.push_back(std::bit_cast<float>(uint32_t(bits)));
  for (const float v :
       {0.0f, 1e-45f, FLT_MIN, 0.5f, 1.0f, 88.7228f, 88.7229f, 103.972f, 103.98f, 14.5f, FLT_MAX, INFINITY, NAN}) {
    x.push_back(v);
    x.push_back(-v);
  }
  return x;
}

// Error of y in units in the last place of a float as large as max(|reference|, floor).
double error_in_units(float y, double reference, double floor) {
  if (std::abs(reference) >= 0x1.ffffffp127) return std::isinf(y) && (y > 0) == (reference > 0) ? 0 : INFINITY;
  const double size = std::fmax(std::abs(reference), std::fmax(floor, FLT_MIN));
  return std::abs(y - reference) / std::ldexp(1.0, std::ilogb(size) - 23);
}

TEST_CASE("functions are accurate on a sweep of all floats") {
  const std::vector<float> x = arguments();
  std::vector<float> y(x.size());
  for (const Row& row : kRows) {
    scalar::apply(row.f, x.data(), y.data(), static_cast<int64_t>(x.size()));
    double worst = 0;
    float worst_at = 0;
    int64_t wrong_nan = 0;
    for (size_t i = 0; i < x.size(); ++i) {
      if (std::abs(x[i]) > row.limit) continue;
      const double reference = row.reference(x[i]);
      if (std::isnan(reference) || std::isnan(y[i])) {
        wrong_nan += std::isnan(reference) != std::isnan(y[i]);
        continue;
      }
      const double error = error_in_units(y[i], reference, row.floor);
      if (error > worst) {
        worst = error;
        worst_at = x[i];
      }
    }
    std::printf("%-22s %6.3f units at most, at %a\n", row.name, worst, static_cast<double>(worst_at));
    CHECK_MESSAGE(worst <= row.bound, row.name, " at ", worst_at);
    CHECK_MESSAGE(wrong_nan == 0, row.name);
  }
}

TEST_CASE("limits and signed zeros") {
  const auto at = [](Function f, float x) {
    float y;
    scalar::apply(f, &x, &y, 1);
    return y;
  };
  CHECK(at(Function::exp, -INFINITY) == 0);
  CHECK(at(Function::exp, INFINITY) == INFINITY);
  CHECK(at(Function::exp, 0) == 1);
  CHECK(at(Function::log, 0) == -INFINITY);
  CHECK(at(Function::log, INFINITY) == INFINITY);
  CHECK(at(Function::log, 1) == 0);
  for (const Function f : {Function::tanh, Function::erf, Function::gelu_erf, Function::gelu_tanh, Function::silu}) {
    CHECK(std::bit_cast<uint32_t>(at(f, -0.0f)) == 0x80000000u);
    CHECK(std::bit_cast<uint32_t>(at(f, 0.0f)) == 0);
  }
  for (const Function f : {Function::gelu_erf, Function::gelu_tanh, Function::silu, Function::sigmoid})
    CHECK(at(f, -INFINITY) == 0);
  for (const Function f : {Function::gelu_erf, Function::gelu_tanh, Function::silu}) CHECK(at(f, INFINITY) == INFINITY);
  for (const Function f : {Function::gelu_erf_derivative, Function::gelu_tanh_derivative, Function::silu_derivative}) {
    CHECK(at(f, -INFINITY) == 0);
    CHECK(at(f, INFINITY) == 1);
    CHECK(at(f, 0) == 0.5f);
  }
}

int64_t different_bits(const std::vector<float>& a, const std::vector<float>& b) {
  int64_t different = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    if (std::isnan(a[i]) && std::isnan(b[i])) continue;  // which NaN is not promised
    different += std::bit_cast<uint32_t>(a[i]) != std::bit_cast<uint32_t>(b[i]);
  }
  return different;
}

TEST_CASE("scalars, AVX2 and AVX-512 give the same bits") {
  const std::vector<float> x = arguments();
  const auto n = static_cast<int64_t>(x.size());
  std::vector<float> one(x.size()), two(x.size());
  const bool wide = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
                    __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl");
  if (!wide) std::printf("skipped: AVX-512 half of the comparison (this processor has none)\n");
  for (const Row& row : kRows) {
    scalar::apply(row.f, x.data(), one.data(), n);
    avx2::apply(row.f, x.data(), two.data(), n);
    CHECK_MESSAGE(different_bits(one, two) == 0, row.name, " scalar against AVX2");
    if (!wide) continue;
    avx512::apply(row.f, x.data(), two.data(), n);
    CHECK_MESSAGE(different_bits(one, two) == 0, row.name, " scalar against AVX-512");
  }
}

}  // namespace
}  // namespace taut
