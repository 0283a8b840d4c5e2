#include "study/domains.h"

#include <algorithm>
#include <iterator>
#include <map>

#include "kernels/error.h"
#include "study/bootstrap.h"

namespace taut::study {

std::optional<ShiftedCount> pooled_domains(const Point& point) {
  ShiftedCount pooled{.domain = kPooled, .other_domain = true, .robust_last = 0};
  for (const ShiftedCount& s : point.shifted) {
    if (!s.other_domain) continue;
    pooled.n += s.n;
    pooled.correct += s.correct;
    if (pooled.robust_last && s.robust_last)
      *pooled.robust_last += *s.robust_last;
    else
      pooled.robust_last.reset();
  }
  return pooled.n > 0 ? std::optional(pooled) : std::nullopt;
}

std::vector<ShiftedCount> judged_domains(const Point& point) {
  std::vector<ShiftedCount> out;
  std::ranges::copy_if(point.shifted, std::back_inserter(out), [](const ShiftedCount& s) { return s.other_domain; });
  if (out.size() > 1) out.push_back(*pooled_domains(point));
  return out;
}

double probit(int64_t correct, int64_t n) {
  TAUT_CHECK(n >= 1 && correct >= 0 && correct <= n, "[probit] expected a count of at least one image, got {} of {}",
             correct, n);
  // A report asks for the same few hundred values again and again, and each takes thousands of operations.
  static thread_local std::map<std::pair<int64_t, int64_t>, double> known;
  const auto [at, is_new] = known.try_emplace({correct, n}, 0);
  if (!is_new) return at->second;
  const double half = 0.5 / static_cast<double>(n);
  return at->second =
             normal_quantile(std::clamp(static_cast<double>(correct) / static_cast<double>(n), half, 1 - half));
}

std::optional<ProbitLine> probit_line(const std::vector<std::pair<double, double>>& probits) {
  const auto n = static_cast<double>(probits.size());
  double mean_x = 0, mean_y = 0, xx = 0, xy = 0, yy = 0;
  for (const auto& [x, y] : probits) mean_x += x / n, mean_y += y / n;
  for (const auto& [x, y] : probits) {
    xx += (x - mean_x) * (x - mean_x);
    xy += (x - mean_x) * (y - mean_y);
    yy += (y - mean_y) * (y - mean_y);
  }
  if (probits.size() < 2 || xx <= 1e-12) return std::nullopt;
  const double slope = xy / xx;
  return ProbitLine{.points = static_cast<int64_t>(probits.size()),
                    .slope = slope,
                    .intercept = mean_y - slope * mean_x,
                    .r2 = yy > 0 ? std::min(1.0, xy * xy / (xx * yy)) : 1};
}

std::optional<ProbitLine> domain_line(const std::vector<const RunResult*>& runs, const std::string& domain) {
  std::vector<std::pair<double, double>> probits;
  for (const RunResult* run : runs) {
    for (const Point& p : run->points) {
      for (const ShiftedCount& s : judged_domains(p))
        if (s.domain == domain) probits.emplace_back(probit(p.clean_correct, p.n), probit(s.correct, s.n));
    }
  }
  return probit_line(probits);
}

}  // namespace taut::study
