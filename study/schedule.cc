#include "study/schedule.h"

#include <algorithm>

#include "kernels/error.h"

namespace taut::study {
namespace {

struct Stretch {
  int64_t up_to, every;
};
constexpr int64_t kForEver = INT64_MAX;
constexpr Stretch kOfficialCode[] = {{100, 50},     {300, 30},     {1000, 200},      {3000, 2000},
                                     {10000, 4000}, {30000, 6000}, {kForEver, 20000}};
constexpr Stretch kPaperText[] = {{700, 50}, {3000, 1000}, {kForEver, 6000}};

// The released code asks for every update: is it a multiple of what its stretch demands?
template <size_t N>
std::vector<int64_t> points_of(const Stretch (&stretches)[N], int64_t total) {
  std::vector<int64_t> points;
  int64_t begin = 0;
  for (const Stretch& s : stretches) {
    const int64_t end = std::min(s.up_to, total);
    for (int64_t step = (begin + s.every - 1) / s.every * s.every; step <= end; step += s.every) points.push_back(step);
    if (end == total) break;
    begin = end + 1;
  }
  return points;
}

}  // namespace

std::vector<int64_t> evaluation_points(const std::string& schedule, const std::vector<int64_t>& points, int64_t total) {
  std::vector<int64_t> result;
  if (schedule == "official-code") {
    result = points_of(kOfficialCode, total);
  } else if (schedule == "paper-text") {
    result = points_of(kPaperText, total);
  } else {
    TAUT_CHECK(schedule == "list", "[eval.schedule] expected official-code, paper-text or list, got '{}'", schedule);
    std::copy_if(points.begin(), points.end(), std::back_inserter(result),
                 [&](int64_t p) { return p >= 0 && p <= total; });
  }
  result.push_back(total);
  std::sort(result.begin(), result.end());
  result.erase(std::unique(result.begin(), result.end()), result.end());
  return result;
}

int64_t scaled_warmup(int64_t steps) {
  return steps >= kProtocolSteps ? kProtocolWarmup : (kProtocolWarmup * steps + kProtocolSteps / 2) / kProtocolSteps;
}

}  // namespace taut::study
