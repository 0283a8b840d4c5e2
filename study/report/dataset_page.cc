// The page of one data set.
#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "attacks/evaluate.h"
#include "study/report/domains.h"
#include "study/report/drawn.h"
#include "study/report/figures.h"
#include "study/report/html.h"
#include "study/report/markup.h"
#include "study/report/page.h"
#include "study/report/samples.h"
#include "study/report/tables.h"

namespace taut::study {
namespace {

std::string run_label(const DatasetSummary& dataset, const RunResult& run) {
  const bool several = std::any_of(dataset.strategies.begin(), dataset.strategies.end(),
                                   [](const StrategySummary& s) { return s.done + s.unattacked > 1; });
  return label_html(run.strategy) + (several ? ", " + html_escape(run.run_id) : "");
}

std::string course_data(const StudyResults& results, const DatasetSummary& dataset) {
  std::set<int64_t> steps;
  const std::vector<const RunResult*> runs = done_runs(results, dataset);
  for (const RunResult* run : runs) {
    for (const Point& p : run->points) steps.insert(p.step);
  }
  std::vector<std::string> head = {"clean / robust at step"};
  for (int64_t step : steps) head.push_back(std::to_string(step));
  HtmlTable table(head);
  for (const RunResult* run : runs) {
    std::vector<std::string> cells = {run_label(dataset, *run)};
    for (int64_t step : steps) {
      const auto p = std::find_if(run->points.begin(), run->points.end(),
                                  [step](const Point& point) { return point.step == step; });
      cells.push_back(p == run->points.end() ? "not evaluated"
                      : run->attacked        ? fmt::format("{:.3f} / {:.3f}", share(p->clean_correct, p->n),
                                                           share(p->robust_last_correct, p->n))
                                             : fmt::format("{:.3f} / {}", share(p->clean_correct, p->n), kNotAttacked));
    }
    table.row(cells);
  }
  return table.finish();
}

std::string front_data(const StudyResults& results, const DatasetSummary& dataset) {
  HtmlTable table({"strategy", "front: (clean, robust), from the most accurate to the most robust"});
  for (const RunResult* run : done_runs(results, dataset)) {
    if (!run->attacked) continue;
    std::string points;
    for (const auto& p : pareto_front(trade_off(*run, Judged::kLastIterate))) {
      points += fmt::format("({:.3f}, {:.3f}) ", p.clean, p.robust);
    }
    table.row({run_label(dataset, *run), points});
  }
  return table.finish();
}

std::string area_data(const DatasetSummary& dataset) {
  HtmlTable table({"strategy", "area", "uncorrected", "bias", "best of iterates", "A2", "A3", "A4", "A5", "A6", "A7"});
  for (const StrategySummary& s : dataset.strategies) {
    if (s.done == 0) continue;
    const Areas& a = s.alternatives;
    table.row({label_html(s.strategy), interval_text(s.area), fmt::format("{:.3f}", s.area.raw),
               fmt::format("{:+.4f}", s.area.bias), interval_text(s.area_best),
               fmt::format("{:.3f}", a.trapezoid_front), fmt::format("{:.3f}", a.trapezoid_extended),
               fmt::format("{:.3f}", a.trapezoid_all), fmt::format("{:.3f}", a.hypervolume_chance),
               fmt::format("{:.3f}", a.mean_robust), fmt::format("{:.3f}", s.union_area)});
  }
  return table.finish() +
         "<p class=\"caption\">A2 to A7 are defined under <a href=\"index.html#methods\">Methods</a>.</p>\n";
}

std::string shift_data(const StudyResults& results, const DatasetSummary& dataset) {
  std::vector<std::string> head = {"strategy", "step", "clean"};
  const std::vector<ShiftCorrelation> shifts = changed_images(dataset);
  for (const ShiftCorrelation& shift : shifts) head.push_back(html_escape(shift.domain));
  HtmlTable table(head);
  for (const RunResult* run : done_runs(results, dataset)) {
    for (const Point& p : run->points) {
      std::vector<std::string> cells = {run_label(dataset, *run), std::to_string(p.step),
                                        fmt::format("{:.3f}", share(p.clean_correct, p.n))};
      for (const ShiftCorrelation& shift : shifts) {
        const auto found = std::find_if(p.shifted.begin(), p.shifted.end(),
                                        [&shift](const ShiftedCount& count) { return count.domain == shift.domain; });
        cells.push_back(found == p.shifted.end() ? "not evaluated"
                                                 : fmt::format("{:.3f}", share(found->correct, found->n)));
      }
      table.row(cells);
    }
  }
  return table.finish();
}

std::string pair_matrix(const ReportContext& report, const DatasetSummary& dataset, Captions& captions) {
  if (dataset.pairs.empty()) return {};
  std::vector<size_t> order;
  for (size_t s = 0; s < dataset.strategies.size(); ++s) {
    if (dataset.strategies[s].done > 0) order.push_back(s);
  }
  std::stable_sort(order.begin(), order.end(), [&dataset](size_t a, size_t b) {
    return dataset.strategies[a].area.value > dataset.strategies[b].area.value;
  });
  std::vector<std::string> head = {"area of the row minus area of the column"};
  for (size_t j = 1; j < order.size(); ++j) head.push_back(label_html(dataset.strategies[order[j]].strategy));
  std::string out = "<h3>Which strategies differ</h3>\n";
  HtmlTable table(head, "matrix");
  for (size_t i = 0; i + 1 < order.size(); ++i) {
    std::string row = fmt::format("<tr><th scope=\"row\">{}</th>", label_html(dataset.strategies[order[i]].strategy));
    for (size_t j = 1; j < order.size(); ++j) {
      const auto pair = std::find_if(dataset.pairs.begin(), dataset.pairs.end(), [&](const PairComparison& p) {
        return p.first == std::min(order[i], order[j]) && p.second == std::max(order[i], order[j]);
      });
      if (j <= i || pair == dataset.pairs.end()) {
        row += "<td></td>";
        continue;
      }
      const double sign = pair->first == order[i] ? 1 : -1;
      row += fmt::format("<td{}>{:+.3f}{}<small>share {}</small></td>", pair->disjoint ? " class=\"apart\"" : "",
                         sign * pair->difference.value, pair->disjoint ? " ●" : "",
                         pair->share < 0.001 ? "&lt; 0.001" : fmt::format("{:.3f}", pair->share));
    }
    table.raw_row(row + "</tr>\n");
  }
  return out + table.finish() +
         fmt::format(
             "<p class=\"caption\"><b>{}.</b> {}: {} of {} pairs have disjoint {:g} % intervals (●). Share: the paired "
             "bootstrap analogue of a two-sided p-value on the same resampled images, not corrected for the number of "
             "comparisons. "
             "{}</p>\n",
             captions.table(), html_escape(dataset.dataset), dataset.disjoint, dataset.pairs.size(),
             100 * report.analysis.options.level, report.link("pairs.csv"));
}

std::string drawn_file(const DatasetFigures& drawn, const char* kind) {
  return file_link(fmt::format("figures/{}-{}.svg", drawn.stem, kind), fmt::format("{}.svg", kind));
}

// The plane, the areas, the fronts and which strategies differ.
std::string trade_off_section(const ReportContext& report, size_t d, Captions& captions, bool many) {
  const StudyResults& results = report.results;
  const DatasetSummary& dataset = report.analysis.datasets[d];
  const DatasetFigures& drawn = report.figures[d];
  const std::string name = html_escape(dataset.dataset);
  const std::string left_out = left_out_text(drawn_strategies(results, dataset, DrawnRuns::kAttacked));
  std::string out = "<h2>Trade-off</h2>\n<div class=\"pair\">\n";
  out += figure(captions, drawn.plane,
                fmt::format("{}: every evaluation in the plane of the trade-off, with the stairs of the Pareto fronts. "
                            "Filled: on the front of its run. Hollow: dominated. Clean accuracy does not start at "
                            "zero; what lies left of the frame is in the figure of the fronts.{}",
                            name, left_out),
                {report.link("fronts.csv"), report.link("points.csv"), drawn_file(drawn, "plane")},
                many ? "" : front_data(results, dataset));
  out += figure(
      captions, drawn.areas,
      fmt::format("{}: areas with their {:g} % intervals, largest first. The dashed tick is the uncorrected area.",
                  name, 100 * report.analysis.options.level),
      {report.link("areas.csv"), drawn_file(drawn, "areas")}, area_data(dataset));
  out += "</div>\n";
  out += figure(captions, drawn.fronts,
                fmt::format("{}: one strategy a panel, from the origin. The shaded area is the hypervolume before "
                            "correction; the number is the corrected area; the dotted line follows training; the "
                            "others' stairs are grey.{}",
                            name, left_out),
                {report.link("fronts.csv"), drawn_file(drawn, "fronts")}, {});
  return out + pair_matrix(report, dataset, captions);
}

// A row a planned run; of one that is done its area and course.
std::string run_table(const ReportContext& report, const DatasetSummary& dataset, Captions& captions) {
  const StudyResults& results = report.results;
  size_t planned = 0, done = 0;
  for (const StrategySummary& s : dataset.strategies)
    planned += s.runs.size(), done += static_cast<size_t>(s.done + s.unattacked);
  const bool many = planned > kManyRuns;  // without intervals, which the CSV files have
  const auto accuracy = [&](int64_t correct, int64_t n) {
    return many ? fmt::format("{:.3f}", share(correct, n)) : accuracy_html(correct, n);
  };
  HtmlTable table({"run", "strategy", "variant", "seed", "state", "area", "clean at the end", "robust at its peak",
                   "at step", "robust at the end", "peak minus end", "falls"},
                  "runs sortable", many);
  for (const StrategySummary& s : dataset.strategies) {
    for (size_t r : s.runs) {
      const RunResult& run = results.runs[r];
      std::vector<std::string> cells = {"<code>" + html_escape(run.run_id) + "</code>", label_html(run.strategy),
                                        html_escape(run.variant), std::to_string(run.seed), state_name(run.state)};
      if (run.state == RunState::kDone && !run.attacked) {
        const Point& end = run.points.back();
        cells.insert(cells.end(), {kNotAttacked, accuracy(end.clean_correct, end.n)});
        cells.resize(12, kNotAttacked);
      } else if (run.state == RunState::kDone) {
        const Course course = course_of(run);
        const Point &peak = *course.peak, &end = *course.end;
        const bool falls = attacks::binomial_interval(peak.robust_last_correct, peak.n).low >
                           attacks::binomial_interval(end.robust_last_correct, end.n).high;
        cells.insert(cells.end(),
                     {fmt::format("{:.4f}", report.analysis.run_area[r]), accuracy(end.clean_correct, end.n),
                      accuracy(peak.robust_last_correct, peak.n), std::to_string(peak.step),
                      accuracy(end.robust_last_correct, end.n),
                      fmt::format("{:.3f}", share(peak.robust_last_correct - end.robust_last_correct, end.n)),
                      falls ? "<b>yes</b>" : "no"});
      } else {
        cells[4] = fmt::format("<span class=\"bad\">{}</span>", cells[4]);
        cells.resize(12);
      }
      table.row(cells);
    }
  }
  return table.finish() +
         fmt::format(
             "<p class=\"caption\"><b>{}.</b> {} of {} planned runs are done; a heading sorts. The area is the "
             "hypervolume of the run, uncorrected.{} <i>Falls</i>: Wilson's 95 % intervals of peak and end are "
             "disjoint "
             "(the peak is the best of several evaluations and so somewhat too high). {} · {}</p>\n",
             captions.table(), done, planned, many ? "" : " In brackets Wilson's 95 % intervals.",
             report.link("runs.csv"), report.link("points.csv"));
}

}  // namespace

std::string dataset_page(const ReportContext& report, size_t d) {
  const StudyResults& results = report.results;
  const DatasetSummary& dataset = report.analysis.datasets[d];
  const DatasetFigures& drawn = report.figures[d];
  const bool no_area = drawn.areas.empty() && !drawn.trajectories.empty();  // nothing that is done was attacked
  Captions captions;
  const std::string name = html_escape(dataset.dataset);
  std::string out = fmt::format("<header><nav><a href=\"index.html\">{}</a>", html_escape(results.title));
  for (size_t other = 0; other < report.figures.size(); ++other) {
    const std::string label = html_escape(report.analysis.datasets[other].dataset);
    out +=
        other == d ? "<b>" + label + "</b>" : fmt::format("<a href=\"{}\">{}</a>", report.figures[other].page(), label);
  }
  out += fmt::format("</nav><h1>{}</h1>\n<p class=\"lead\">{} classes, {} images an evaluation. {}</p></header>\n",
                     name, dataset.classes, grouped(dataset.n),
                     no_area ? "Not attacked: accuracy on images as they are." : html_escape(results.attack));
  const std::string title = dataset.dataset + ": " + results.title;
  if (drawn.trajectories.empty()) {
    out += "<p class=\"bad\">No run is done, so there is nothing to draw.</p>\n" + run_table(report, dataset, captions);
    return page_frame(title, out);
  }
  const std::vector<const RunResult*> runs = done_runs(results, dataset);
  size_t evaluations = 0;
  for (const RunResult* run : runs) evaluations += run->points.size();
  const bool many = runs.size() > kManyRuns || evaluations > kManyEvaluations;
  const std::string left_out = left_out_text(drawn_strategies(results, dataset));
  out += "<h2>Course</h2>\n";
  out +=
      figure(captions, drawn.trajectories,
             fmt::format("{}: {} accuracy while the model trains. Bars are Wilson's 95 % intervals of a strategy's "
                         "only run; of several runs the thick line is the mean. Strategies are set side by side at "
                         "each step.",
                         name, no_area ? "clean" : "clean (left) and robust (right)"),
             {report.link("points.csv"), drawn_file(drawn, "trajectories")}, many ? "" : course_data(results, dataset));
  if (!drawn.courses.empty()) {
    out +=
        figure(captions, drawn.courses,
               fmt::format("{}: robust accuracy of the runs of each strategy; the thick line is their mean, grey the "
                           "means of the others.{}",
                           name, left_out),
               {report.link("points.csv"), drawn_file(drawn, "courses")}, {});
  }
  if (!no_area) out += trade_off_section(report, d, captions, many);
  out += "<h2>Runs</h2>\n";
  if (!drawn.runs.empty()) {
    out += figure(captions, drawn.runs,
                  fmt::format("{}: the uncorrected area of every run, the bar is their mean; of more than 150 runs a "
                              "strategy 150 are drawn, evenly.",
                              name),
                  {report.link("runs.csv"), drawn_file(drawn, "runs")}, {});
  }
  out += run_table(report, dataset, captions);
  if (!drawn.domains.empty()) {
    out += "<h2>Out of domain</h2>\n" +
           figure(captions, drawn.domains,
                  fmt::format("{}: accuracy on images of other domains against accuracy in the domain of the training "
                              "images, at all evaluations; filled at the end of training. Both axes are probits, on "
                              "which related models tend to lie on one line. On the dashed line a domain costs "
                              "nothing; the other one is fitted to all points.{}",
                              name, left_out),
                  {report.link("points.csv"), drawn_file(drawn, "domains")}, {}) +
           domains_table(results, dataset, captions, report.link("domains.csv"));
  }
  if (!drawn.shifts.empty()) {
    out += "<h2>Shifted domains</h2>\n" +
           figure(captions, drawn.shifts,
                  fmt::format("{}: accuracy on shifted images against clean accuracy at all evaluations; filled at the "
                              "end of training. On the dashed line the shift costs nothing.{}",
                              name, left_out),
                  {report.link("points.csv"), drawn_file(drawn, "shifts")}, many ? "" : shift_data(results, dataset));
  }
  const std::string samples = samples_html(results, dataset);
  if (!samples.empty()) out += "<h2>Images</h2>\n" + samples;
  return page_frame(title, out);
}

}  // namespace taut::study
