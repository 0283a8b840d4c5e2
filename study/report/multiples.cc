// Figures of studies with many runs of a strategy (figures.h).
#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "study/report/drawn.h"
#include "study/report/figures.h"
#include "study/report/plot.h"

namespace taut::study {
namespace {

double robust(const Point& p) { return share(p.robust_last_correct, p.n); }

std::vector<Spot> line_of(const Panel& panel, const std::vector<StepMean>& mean) {
  std::vector<Spot> line;
  for (const auto& [step, value] : mean) line.push_back(panel.at(static_cast<double>(step), value));
  return line;
}

}  // namespace

std::string courses_figure(const StudyResults& results, const DatasetSummary& dataset) {
  const std::vector<Drawn> all = drawn_strategies(results, dataset, DrawnRuns::kAttacked);
  if (std::none_of(all.begin(), all.end(), [](const Drawn& d) { return d.runs.size() > kFewRuns; })) return {};
  std::set<int64_t> steps;
  double most = 0;
  std::vector<std::vector<StepMean>> means;
  for (const Drawn& d : all) {
    means.push_back(mean_course(d, &Point::robust_last_correct));
    for (const RunResult* run : d.shown) {
      for (const Point* p : shown_points(*run)) {
        steps.insert(p->step);
        most = std::max(most, robust(*p));
      }
    }
  }
  constexpr double kWidth = 200, kHeight = 140, kTop = 28, kLeft = 52, kRight = 252, kDown = 208;
  constexpr size_t kColumns = 4;
  const auto rows = static_cast<double>((all.size() + kColumns - 1) / kColumns);
  Svg svg(1040, rows * kDown, fmt::format("{}: robust accuracy of the runs of each strategy", dataset.dataset));
  const Axis x = step_axis({steps.begin(), steps.end()}, kWidth - 28);
  for (size_t s = 0; s < all.size(); ++s) {
    const Spot corner{kLeft + kRight * static_cast<double>(s % kColumns),
                      kTop + kDown * static_cast<double>(s / kColumns)};
    const Panel panel(
        svg, corner, kWidth, kHeight, x, linear_axis(s % kColumns == 0 ? "robust accuracy" : "", most),
        fmt::format("{}: {} run{}", all[s].look.label, all[s].runs.size(), all[s].runs.size() == 1 ? "" : "s"));
    for (size_t other = 0; other < all.size(); ++other) {
      if (other != s) svg.polyline(line_of(panel, means[other]), {.colour = "#bbb", .width = 0.8});
    }
    for (const RunResult* run : all[s].shown) {
      std::vector<Spot> line;
      for (const Point* p : shown_points(*run)) line.push_back(panel.at(static_cast<double>(p->step), robust(*p)));
      svg.polyline(line, {.colour = all[s].look.colour, .width = 0.7, .opacity = 0.4});
    }
    svg.polyline(line_of(panel, means[s]), {.colour = all[s].look.colour, .width = 2.2});
  }
  return svg.finish();
}

std::string runs_figure(const StudyResults& results, const Analysis& analysis, const DatasetSummary& dataset) {
  constexpr size_t kMostDots = 150;
  struct Line {
    Look look;
    const StrategySummary* summary;
    std::vector<size_t> runs;  // ascending area
  };
  std::vector<Line> lines;
  double most = 0;
  bool several = false;
  for (size_t s = 0; s < dataset.strategies.size(); ++s) {
    const StrategySummary& summary = dataset.strategies[s];
    if (summary.done == 0) continue;
    Line line{look_of(summary.strategy, s), &summary, {}};
    for (size_t r : summary.runs) {
      if (has_area(results.runs[r])) line.runs.push_back(r);
    }
    std::stable_sort(line.runs.begin(), line.runs.end(),
                     [&](size_t a, size_t b) { return analysis.run_area[a] < analysis.run_area[b]; });
    most = std::max(most, analysis.run_area[line.runs.back()]);
    several = several || line.runs.size() > 1;
    lines.push_back(std::move(line));
  }
  if (!several) return {};
  std::stable_sort(lines.begin(), lines.end(),
                   [](const Line& a, const Line& b) { return a.summary->area.raw > b.summary->area.raw; });
  constexpr double kRow = 34, kLeft = 130, kWidth = 660, kTop = 16;
  const double height = kRow * static_cast<double>(lines.size()) + 8;
  Svg svg(1040, kTop + height + 44, fmt::format("{}: the area of every run", dataset.dataset));
  const Panel panel(svg, {kLeft, kTop}, kWidth, height, linear_axis("area under the front of a run, uncorrected", most),
                    Axis{});
  for (size_t i = 0; i < lines.size(); ++i) {
    const Line& line = lines[i];
    const double y = kTop + 4 + kRow * (static_cast<double>(i) + 0.5);
    svg.text({kLeft - 8, y + 4}, line.look.label, {.size = 12, .anchor = Anchor::kEnd});
    for (size_t k : thinned(line.runs.size(), kMostDots)) {
      const RunResult& run = results.runs[line.runs[k]];
      const double jitter = static_cast<double>(k * 5 % 8) - 3.5;  // neighbours do not hide one another
      svg.marker(Marker::kCircle, {panel.x(analysis.run_area[line.runs[k]]), y + 1.9 * jitter}, 2.2, line.look.colour,
                 false, fmt::format("{}: {:.4f}", run.run_id, analysis.run_area[line.runs[k]]));
    }
    const double mean = panel.x(line.summary->area.raw);
    svg.line({mean, y - 12}, {mean, y + 12}, {.colour = line.look.colour, .width = 3});
    svg.text(
        {kLeft + kWidth + 10, y + 4},
        fmt::format("{:.3f}, {:.3f} to {:.3f}, {} run{}", line.summary->area.raw, analysis.run_area[line.runs.front()],
                    analysis.run_area[line.runs.back()], line.runs.size(), line.runs.size() == 1 ? "" : "s"),
        {.size = 11});
  }
  return svg.finish();
}

}  // namespace taut::study
