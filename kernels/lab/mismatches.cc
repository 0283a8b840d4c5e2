#include "kernels/lab/mismatches.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <cmath>

namespace taut::lab {
namespace {

constexpr int64_t kMostTold = 10;
constexpr std::array<double, 7> kBins = {0, 1, 2, 4, 16, 256, 65536};  // the most ulps of each; then more, not finite

std::string index_text(int64_t flat, const std::vector<int64_t>& shape) {
  std::vector<int64_t> index(shape.size());
  for (size_t d = shape.size(); d-- > 0;) {
    index[d] = flat % shape[d];
    flat /= shape[d];
  }
  return fmt::format("[{}]", fmt::join(index, ", "));
}

}  // namespace

std::string mismatches(std::span<const double> got, std::span<const double> wanted, const std::vector<int64_t>& shape,
                       double limit, double epsilon) {
  if (got.size() != wanted.size()) return fmt::format("{} elements for {}", got.size(), wanted.size());
  double scale = 0;
  for (const double v : wanted) scale = std::max(scale, std::abs(v));
  const double ulp = scale > 0 ? std::ldexp(epsilon, std::ilogb(scale)) : epsilon;
  std::array<int64_t, kBins.size() + 2> bins{};
  std::string first;
  int64_t beyond = 0;
  for (size_t i = 0; i < got.size(); ++i) {
    const double difference = std::abs(got[i] - wanted[i]);
    const bool finite = std::isfinite(difference);
    const auto bin = std::find_if(kBins.begin(), kBins.end(), [&](double most) { return difference <= most * ulp; });
    ++bins[finite ? static_cast<size_t>(bin - kBins.begin()) : kBins.size() + 1];
    if (finite && difference <= limit * scale) continue;
    if (++beyond > kMostTold) continue;
    first += fmt::format("{}{} {:.6g} for {:.6g}", first.empty() ? "" : ", ",
                         index_text(static_cast<int64_t>(i), shape), got[i], wanted[i]);
  }
  std::string spread;
  for (size_t b = 0; b < bins.size(); ++b) {
    if (bins[b] == 0) continue;
    const std::string name = b == 0              ? "0"
                             : b < kBins.size()  ? fmt::format("up to {:.0f}", kBins[b])
                             : b == kBins.size() ? fmt::format("more than {:.0f}", kBins.back())
                                                 : "not finite";
    spread += fmt::format("{}{} in {}", spread.empty() ? "" : ", ", name, bins[b]);
  }
  return fmt::format("{} of {} beyond it: {}; ulps: {}", beyond, got.size(), first, spread);
}

}  // namespace taut::lab
