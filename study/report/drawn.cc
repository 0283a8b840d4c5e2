#include "study/report/drawn.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

namespace taut::study {
namespace {

std::vector<const RunResult*> spread(const std::vector<const RunResult*>& runs) {
  if (runs.size() <= kMostRunsDrawn) return runs;
  std::vector<std::pair<double, size_t>> areas;
  for (size_t i = 0; i < runs.size(); ++i)
    areas.emplace_back(hypervolume(trade_off(*runs[i], Judged::kLastIterate)), i);
  std::sort(areas.begin(), areas.end());
  std::vector<const RunResult*> out;
  for (size_t i : thinned(areas.size(), kMostRunsDrawn)) out.push_back(runs[areas[i].second]);
  return out;
}

}  // namespace

std::vector<Drawn> drawn_strategies(const StudyResults& results, const DatasetSummary& dataset, DrawnRuns which) {
  std::vector<Drawn> out;
  for (size_t s = 0; s < dataset.strategies.size(); ++s) {
    const StrategySummary& summary = dataset.strategies[s];
    Drawn drawn{&summary, look_of(summary.strategy, s), {}, {}};
    for (size_t r : summary.runs) {
      const RunResult& run = results.runs[r];
      if (run.state == RunState::kDone && (run.attacked || which == DrawnRuns::kDone)) drawn.runs.push_back(&run);
    }
    if (drawn.runs.empty()) continue;
    drawn.shown = spread(drawn.runs);
    out.push_back(std::move(drawn));
  }
  return out;
}

std::string left_out_text(const std::vector<Drawn>& drawn) {
  size_t runs = 0, shown = 0;
  for (const Drawn& d : drawn) runs += d.runs.size(), shown += d.shown.size();
  if (runs == shown) return {};
  return fmt::format(" {} of {} runs are drawn, at most {} of a strategy, spread evenly over their areas.", shown, runs,
                     kMostRunsDrawn);
}

std::vector<size_t> thinned(size_t n, size_t most) {
  std::vector<size_t> out;
  if (n <= most || most < 2) {
    for (size_t i = 0; i < n; ++i) out.push_back(i);
    return out;
  }
  for (size_t i = 0; i < most; ++i) out.push_back(i * (n - 1) / (most - 1));
  return out;
}

std::vector<const Point*> shown_points(const RunResult& run, size_t most) {
  std::vector<const Point*> out;
  for (size_t i : thinned(run.points.size(), most)) out.push_back(&run.points[i]);
  return out;
}

std::vector<StepMean> mean_course(const Drawn& drawn, Count correct) {
  std::map<int64_t, std::pair<double, size_t>> sums;
  for (const RunResult* run : drawn.runs) {
    for (const Point& p : run->points) {
      sums[p.step].first += share(p.*correct, p.n);
      ++sums[p.step].second;
    }
  }
  std::vector<StepMean> mean, out;
  for (const auto& [step, sum] : sums) {
    if (sum.second == drawn.runs.size()) mean.emplace_back(step, sum.first / static_cast<double>(sum.second));
  }
  for (size_t i : thinned(mean.size(), kMostPointsDrawn)) out.push_back(mean[i]);
  return out;
}

double share(int64_t correct, int64_t n) { return static_cast<double>(correct) / static_cast<double>(n); }

}  // namespace taut::study
