#include "study/report/figures.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>
#include <set>

#include "attacks/evaluate.h"
#include "study/report/drawn.h"
#include "study/report/plot.h"

namespace taut::study {
namespace {

std::vector<Look> looks_of(const std::vector<Drawn>& drawn) {
  std::vector<Look> looks;
  for (const Drawn& d : drawn) looks.push_back(d.look);
  return looks;
}

std::string name_of(const Drawn& drawn, const RunResult& run) {
  return drawn.runs.size() == 1 ? drawn.look.label : fmt::format("{}, {}", drawn.look.label, run.run_id);
}

std::string tip(const Drawn& drawn, const RunResult& run, const Point& p) {
  return fmt::format("{}, step {}: clean {:.3f}, robust {:.3f} (n = {})", name_of(drawn, run), p.step,
                     share(p.clean_correct, p.n), share(p.robust_last_correct, p.n), p.n);
}

// --- trajectories ---

void draw_courses(Svg& svg, const Panel& panel, const std::vector<Drawn>& all, Count correct) {
  // Strategies stand side by side at a step, so that markers and bars do not hide one another.
  constexpr double kDodge = 2.2;
  for (size_t s = 0; s < all.size(); ++s) {
    const Drawn& d = all[s];
    const double dodge = kDodge * (static_cast<double>(s) - static_cast<double>(all.size() - 1) / 2);
    const auto spot = [&](int64_t step, double value) {
      return Spot{panel.x(static_cast<double>(step)) + dodge, panel.y(value)};
    };
    // Those of many runs have panels of their own: courses_figure.
    if (d.runs.size() > 1 && d.runs.size() <= kFewRuns) {
      for (const RunResult* run : d.runs) {
        std::vector<Spot> line;
        for (const Point* p : shown_points(*run)) line.push_back(spot(p->step, share(p->*correct, p->n)));
        svg.polyline(line, {.colour = d.look.colour, .width = 0.8, .opacity = 0.35});
      }
    } else if (d.runs.size() == 1) {
      for (const Point* p : shown_points(*d.runs[0])) {
        const attacks::Interval interval = attacks::binomial_interval(p->*correct, p->n);
        svg.line(spot(p->step, interval.low), spot(p->step, interval.high),
                 {.colour = d.look.colour, .width = 1, .opacity = 0.45});
      }
    }
    const std::vector<StepMean> mean = mean_course(d, correct);
    std::vector<Spot> line;
    for (const auto& [step, value] : mean) line.push_back(spot(step, value));
    svg.polyline(line, {.colour = d.look.colour, .width = 1.6});
    for (const auto& [step, value] : mean) {
      svg.marker(d.look.marker, spot(step, value), 3.4, d.look.colour, true,
                 fmt::format("{}, step {}: {:.3f}", d.look.label, step, value));
    }
  }
}

// --- the plane ---

// The staircase of a front (points by clean accuracy descending), from the left edge down to the bottom.
std::vector<Spot> stairs(const Panel& panel, const std::vector<TradeOff<double>>& front, double left) {
  std::vector<Spot> spots;
  double right = left;
  std::vector<size_t> order = thinned(front.size(), kMostPointsDrawn);
  std::reverse(order.begin(), order.end());
  for (size_t i : order) {
    spots.push_back(panel.at(right, front[i].robust));
    spots.push_back(panel.at(front[i].clean, front[i].robust));
    right = front[i].clean;
  }
  spots.push_back(panel.at(right, 0));
  return spots;
}

// The points of a run right of `left`.
void draw_points(Svg& svg, const Panel& panel, const Drawn& drawn, const RunResult& run, double radius, double left) {
  const auto points = trade_off(run, Judged::kLastIterate);
  const auto front = pareto_front(points);
  for (size_t i : thinned(points.size(), kMostPointsDrawn)) {
    if (points[i].clean < left) continue;
    const bool on_front = std::find(front.begin(), front.end(), points[i]) != front.end();
    svg.marker(drawn.look.marker, panel.at(points[i].clean, points[i].robust), on_front ? radius : 0.8 * radius,
               drawn.look.colour, on_front, tip(drawn, run, run.points[i]));
  }
}

// What the fronts span.
struct Range {
  double least_clean = 1, most_clean = 0, most_robust = 0;
};

Range range_of(const std::vector<Drawn>& all) {
  Range range;
  for (const Drawn& d : all) {
    for (const RunResult* run : d.runs) {
      for (const auto& p : pareto_front(trade_off(*run, Judged::kLastIterate))) {
        range.least_clean = std::min(range.least_clean, p.clean);
        range.most_clean = std::max(range.most_clean, p.clean);
        range.most_robust = std::max(range.most_robust, p.robust);
      }
    }
  }
  return range;
}

}  // namespace

std::string trajectory_figure(const StudyResults& results, const DatasetSummary& dataset) {
  const std::vector<Drawn> all = drawn_strategies(results, dataset),
                           attacked = drawn_strategies(results, dataset, DrawnRuns::kAttacked);
  std::set<int64_t> steps;
  double most_robust = 0, least_clean = 1, most_clean = 0;
  for (const Drawn& d : all) {
    for (const RunResult* run : d.runs) {
      for (const Point& p : run->points) {
        steps.insert(p.step);
        least_clean = std::min(least_clean, attacks::binomial_interval(p.clean_correct, p.n).low);
        most_clean = std::max(most_clean, attacks::binomial_interval(p.clean_correct, p.n).high);
        if (run->attacked)
          most_robust = std::max(most_robust, attacks::binomial_interval(p.robust_last_correct, p.n).high);
      }
    }
  }
  constexpr double kWidth = 440, kHeight = 300, kTop = 52;
  Svg svg(1040, kTop + kHeight + 44,
          fmt::format("{}: {} accuracy over training steps", dataset.dataset,
                      attacked.empty() ? "clean" : "clean and robust"));
  legend(svg, {60, 14}, 960, looks_of(all));
  const Axis x = step_axis({steps.begin(), steps.end()}, kWidth - 28);
  const Axis clean_axis = span_axis("accuracy", least_clean, most_clean);
  const Panel clean(svg, {60, kTop}, kWidth, kHeight, x, clean_axis, "clean accuracy");
  if (dataset.classes > 0 && 1 / static_cast<double>(dataset.classes) > clean_axis.low) {
    const double y = clean.y(1 / static_cast<double>(dataset.classes));
    svg.line({60, y}, {60 + kWidth, y}, {.colour = "#888", .dash = "5 4"});
    svg.text({60 + kWidth - 5, y - 4}, "guessing", {.size = 10, .anchor = Anchor::kEnd, .colour = "#666"});
  }
  draw_courses(svg, clean, all, &Point::clean_correct);
  if (attacked.empty()) return svg.finish();
  const Panel robust(svg, {582, kTop}, kWidth, kHeight, x, linear_axis("accuracy", most_robust), "robust accuracy");
  draw_courses(svg, robust, attacked, &Point::robust_last_correct);
  return svg.finish();
}

std::string plane_figure(const StudyResults& results, const DatasetSummary& dataset) {
  const std::vector<Drawn> all = drawn_strategies(results, dataset, DrawnRuns::kAttacked);
  const Range range = range_of(all);
  constexpr double kWidth = 480, kHeight = 360, kTop = 62;
  Svg svg(560, kTop + kHeight + 44, fmt::format("{}: robust against clean accuracy", dataset.dataset));
  legend(svg, {60, 14}, 490, looks_of(all));
  // Around the fronts: an evaluation before training lies far to the left and would squeeze all others together.
  const double margin = 0.25 * (range.most_clean - range.least_clean);
  const Axis x = span_axis("clean accuracy", std::max(range.least_clean - margin, 0.0), range.most_clean);
  const Panel panel(svg, {60, kTop}, kWidth, kHeight, x, linear_axis("robust accuracy", range.most_robust));
  for (const Drawn& d : all) {
    for (const RunResult* run : d.shown) {
      svg.polyline(stairs(panel, pareto_front(trade_off(*run, Judged::kLastIterate)), x.low),
                   {.colour = d.look.colour, .width = 1.4, .opacity = d.runs.size() > 1 ? 0.4 : 0.85});
    }
  }
  for (const Drawn& d : all) {
    if (d.runs.size() > kFewRuns) continue;  // markers of many runs would hide one another
    for (const RunResult* run : d.shown) draw_points(svg, panel, d, *run, 4, x.low);
  }
  return svg.finish();
}

std::string fronts_figure(const StudyResults& results, const DatasetSummary& dataset) {
  const std::vector<Drawn> all = drawn_strategies(results, dataset, DrawnRuns::kAttacked);
  const Range range = range_of(all);
  constexpr double kWidth = 200, kHeight = 140, kTop = 28, kLeft = 52, kRight = 252, kDown = 208;
  constexpr size_t kColumns = 4;
  const auto rows = static_cast<double>((all.size() + kColumns - 1) / kColumns);
  Svg svg(1040, rows * kDown, fmt::format("{}: the front of each strategy", dataset.dataset));
  for (size_t s = 0; s < all.size(); ++s) {
    const Spot corner{kLeft + kRight * static_cast<double>(s % kColumns),
                      kTop + kDown * static_cast<double>(s / kColumns)};
    const Panel panel(svg, corner, kWidth, kHeight, linear_axis("clean accuracy", range.most_clean),
                      linear_axis(s % kColumns == 0 ? "robust accuracy" : "", range.most_robust),
                      fmt::format("{}: {:.3f}", all[s].look.label, all[s].summary->area.value));
    for (const Drawn& other : all) {
      if (other.runs.size() > kFewRuns) continue;
      for (const RunResult* run : other.runs) {
        const auto outline = stairs(panel, pareto_front(trade_off(*run, Judged::kLastIterate)), 0);
        if (&other != &all[s]) svg.polyline(outline, {.colour = "#bbb", .width = 0.8});
      }
    }
    const bool few = all[s].runs.size() <= kFewRuns;
    for (const RunResult* run : all[s].shown) {
      const auto points = trade_off(*run, Judged::kLastIterate);
      std::vector<Spot> area = stairs(panel, pareto_front(points), 0), course;
      svg.polyline(area, {.colour = all[s].look.colour, .width = few ? 1.6 : 0.8, .opacity = few ? 1 : 0.6});
      area.push_back(panel.at(0, 0));
      svg.polygon(area, all[s].look.colour, 0.18 / static_cast<double>(all[s].shown.size()));
      if (!few) continue;
      for (size_t i : thinned(points.size(), kMostPointsDrawn))
        course.push_back(panel.at(points[i].clean, points[i].robust));
      svg.polyline(course, {.colour = all[s].look.colour, .width = 0.8, .opacity = 0.7, .dash = "2 2"});
      draw_points(svg, panel, all[s], *run, 3, 0);
    }
  }
  return svg.finish();
}

std::string areas_figure(const DatasetSummary& dataset) {
  std::vector<size_t> order;
  double most = 0;
  for (size_t s = 0; s < dataset.strategies.size(); ++s) {
    if (dataset.strategies[s].done == 0) continue;
    order.push_back(s);
    most = std::max({most, dataset.strategies[s].area.high, dataset.strategies[s].area.raw});
  }
  std::stable_sort(order.begin(), order.end(), [&dataset](size_t a, size_t b) {
    return dataset.strategies[a].area.value > dataset.strategies[b].area.value;
  });
  constexpr double kRow = 40, kLeft = 118, kWidth = 230, kTop = 12;
  const double height = std::max(kRow * static_cast<double>(order.size()) + 8, 120.0);
  Svg svg(470, kTop + height + 44, fmt::format("{}: area under the front with its interval", dataset.dataset));
  Axis rows;  // no ticks: names stand there instead
  const Panel panel(svg, {kLeft, kTop}, kWidth, height, linear_axis("area under the front", most), rows);
  for (size_t i = 0; i < order.size(); ++i) {
    const StrategySummary& s = dataset.strategies[order[i]];
    const Look look = look_of(s.strategy, order[i]);
    const double y = kTop + 4 + kRow * (static_cast<double>(i) + 0.5);
    svg.text({kLeft - 8, y + 4}, look.label, {.size = 12, .anchor = Anchor::kEnd});
    svg.line({panel.x(s.area.low), y}, {panel.x(s.area.high), y}, {.colour = look.colour, .width = 2});
    for (double end : {s.area.low, s.area.high}) {
      svg.line({panel.x(end), y - 5}, {panel.x(end), y + 5}, {.colour = look.colour, .width = 2});
    }
    svg.line({panel.x(s.area.raw), y - 9}, {panel.x(s.area.raw), y + 9},
             {.colour = look.colour, .width = 1, .dash = "2 2"});
    svg.marker(look.marker, {panel.x(s.area.value), y}, 5, look.colour, true,
               fmt::format("{}: {:.4f} [{:.4f}, {:.4f}]", look.label, s.area.value, s.area.low, s.area.high));
    svg.text({kLeft + kWidth + 8, y + 4}, fmt::format("{:.3f} [{:.3f}, {:.3f}]", s.area.value, s.area.low, s.area.high),
             {.size = 11});
  }
  return svg.finish();
}

std::vector<ShiftCorrelation> changed_images(const DatasetSummary& dataset) {
  std::vector<ShiftCorrelation> shifts = dataset.shifts;
  std::erase_if(shifts, [](const ShiftCorrelation& s) { return s.other_domain; });
  return shifts;
}

std::string shift_figure(const StudyResults& results, const DatasetSummary& dataset) {
  const std::vector<Drawn> all = drawn_strategies(results, dataset);
  constexpr double kSide = 270, kTop = 62, kLeft = 60, kRight = 345, kDown = 350;
  constexpr size_t kColumns = 3;
  const std::vector<ShiftCorrelation> shifts = changed_images(dataset);
  if (shifts.empty()) return {};
  const auto rows = static_cast<double>((shifts.size() + kColumns - 1) / kColumns);
  Svg svg(1040, kTop + (rows - 1) * kDown + kSide + 44,
          fmt::format("{}: accuracy on shifted domains", dataset.dataset));
  double least = 1, most = 0;
  for (const Drawn& d : all) {
    for (const RunResult* run : d.runs) {
      for (const Point& p : run->points) {
        std::vector<double> values = {share(p.clean_correct, p.n)};
        for (const ShiftedCount& count : p.shifted)
          if (!count.other_domain) values.push_back(share(count.correct, count.n));
        least = std::min(least, *std::min_element(values.begin(), values.end()));
        most = std::max(most, *std::max_element(values.begin(), values.end()));
      }
    }
  }
  legend(svg, {60, 14}, 960, looks_of(all));
  for (size_t i = 0; i < shifts.size(); ++i) {
    const ShiftCorrelation& shift = shifts[i];
    const Spot corner{kLeft + kRight * static_cast<double>(i % kColumns),
                      kTop + kDown * static_cast<double>(i / kColumns)};
    const Panel panel(svg, corner, kSide, kSide, span_axis("clean accuracy", least, most),
                      span_axis(i % kColumns == 0 ? "shifted accuracy" : "", least, most),
                      fmt::format("{} (correlation {:.2f})", shift.domain, shift.correlation));
    const double start = span_axis("", least, most).low, end = span_axis("", least, most).high;
    svg.line(panel.at(start, start), panel.at(end, end), {.colour = "#999", .dash = "4 4"});
    for (const Drawn& d : all) {
      for (const RunResult* run : d.shown) {
        for (const Point* p : shown_points(*run, d.runs.size() > kFewRuns ? 4 : kMostPointsDrawn)) {
          for (const ShiftedCount& count : p->shifted) {
            if (count.domain != shift.domain) continue;
            svg.marker(d.look.marker, panel.at(share(p->clean_correct, p->n), share(count.correct, count.n)), 3.2,
                       d.look.colour, p == &run->points.back(),
                       fmt::format("{}, step {}: clean {:.3f}, {} {:.3f}", name_of(d, *run), p->step,
                                   share(p->clean_correct, p->n), shift.domain, share(count.correct, count.n)));
          }
        }
      }
    }
  }
  return svg.finish();
}

}  // namespace taut::study
