#include "study/report/page.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "attacks/evaluate.h"
#include "study/report/appendix.h"
#include "study/report/html.h"
#include "study/report/looks.h"
#include "study/report/markup.h"
#include "study/report/samples.h"
#include "study/report/style.h"
#include "study/report/tables.h"

namespace taut::study {
namespace {

double share(int64_t correct, int64_t n) { return static_cast<double>(correct) / static_cast<double>(n); }

std::string label_html(const std::string& strategy) { return html_escape(look_of(strategy, 0).label); }

std::string interval_text(const Estimate& e) { return fmt::format("{:.3f} [{:.3f}, {:.3f}]", e.value, e.low, e.high); }

std::string accuracy_html(int64_t correct, int64_t n) {
  const attacks::Interval interval = attacks::binomial_interval(correct, n);
  return fmt::format("{:.3f} <span class=\"muted\">[{:.3f}, {:.3f}]</span>", share(correct, n), interval.low,
                     interval.high);
}

const char* mode_meaning(const std::string& mode) {
  if (mode == "fixed") return ": behaviours of the study's released code that change numbers are repaired";
  if (mode == "official") return ": behaviours of the study's released code are copied where they change numbers";
  return "";
}

// One line for all, or one for each sentence with the strategies it is about.
std::string warm_up_facts(const StudyResults& results) {
  std::vector<std::pair<std::string, std::vector<std::string>>> sentences;
  for (const RunResult& run : results.runs) {
    if (run.warm_up.empty()) continue;
    auto it =
        std::find_if(sentences.begin(), sentences.end(), [&run](const auto& s) { return s.first == run.warm_up; });
    if (it == sentences.end()) it = sentences.insert(sentences.end(), {run.warm_up, {}});
    const std::string label = label_html(run.strategy);
    if (std::find(it->second.begin(), it->second.end(), label) == it->second.end()) it->second.push_back(label);
  }
  std::string out;
  for (const auto& [sentence, labels] : sentences) {
    out += fmt::format("<dt>Warm-up</dt><dd>{}", html_escape(sentence));
    if (sentences.size() > 1) out += fmt::format(" ({})", fmt::join(labels, ", "));
    out += "</dd>\n";
  }
  return out;
}

std::string header(const StudyResults& results, const Analysis& analysis, const std::vector<DatasetFigures>& figures) {
  std::string datasets;
  for (const DatasetSummary& d : analysis.datasets) {
    datasets += (datasets.empty() ? "" : "; ") + html_escape(d.dataset);
    if (d.n > 0) datasets += fmt::format(" ({} classes, {} images an evaluation)", d.classes, grouped(d.n));
  }
  std::set<uint64_t> seeds;
  for (const RunResult& run : results.runs) seeds.insert(run.seed);
  const auto done = std::count_if(results.runs.begin(), results.runs.end(),
                                  [](const RunResult& run) { return run.state == RunState::kDone; });
  std::string out = fmt::format(
      "<header><h1>{}</h1>\n<p class=\"lead\">How the way a pre-trained model is fine-tuned trades accuracy against "
      "robustness, measured while it trains.</p>\n<dl class=\"facts\"><dt>Attack</dt><dd>{}</dd>\n<dt>Data "
      "sets</dt><dd>{}</dd>\n<dt>Strategies</dt><dd>{}</dd>\n<dt>Runs</dt><dd>{} of {} planned are done, with {} "
      "training "
      "seed{}</dd>\n<dt>Mode</dt><dd>{}{}</dd>\n",
      html_escape(results.title), html_escape(results.attack), datasets, analysis.strategies.size(), done,
      results.runs.size(), seeds.size(), seeds.size() == 1 ? "" : "s", html_escape(results.mode),
      mode_meaning(results.mode));
  out += warm_up_facts(results);
  out += fmt::format(
      "</dl>\n<p>What this report does not show: the {:g} % intervals know only the choice of test images, not the "
      "randomness of training; accuracy under one attack is an upper bound on robustness; nothing here says that a "
      "strategy would rank the same at another attack budget, model or training length.</p>\n",
      100 * analysis.options.level);
  out += "<nav><a href=\"#areas\">Areas</a>";
  for (size_t d = 0; d < figures.size(); ++d) {
    out += fmt::format("<a href=\"#data-{}\">{}</a>", figures[d].stem, html_escape(analysis.datasets[d].dataset));
  }
  return out +
         "<a href=\"#cost\">Parameters and cost</a><a href=\"#runs\">Runs</a><a href=\"#settings\">Settings</a><a "
         "href=\"#checks\">Checks</a><a href=\"#methods\">Methods</a></nav></header>\n";
}

std::string area_section(const StudyResults& results, const Analysis& analysis, Captions& captions) {
  std::vector<std::string> head = {"strategy"};
  for (const DatasetSummary& d : analysis.datasets) head.push_back(html_escape(d.dataset));
  HtmlTable table(head);
  for (size_t s = 0; s < analysis.strategies.size(); ++s) {
    std::vector<std::string> cells = {label_html(analysis.strategies[s])};
    for (const DatasetSummary& d : analysis.datasets) {
      const StrategySummary& summary = d.strategies[s];
      if (summary.done == 0) {
        cells.push_back(fmt::format("<span class=\"bad\">{}</span>", why_no_area(results, summary)));
        continue;
      }
      const std::string area = fmt::format("{:.3f}", summary.area.value);
      std::string cell = fmt::format("{} <span class=\"muted\">[{:.3f}, {:.3f}]</span> {:+.0f} %",
                                     summary.best ? "<b>" + area + "</b>" : area, summary.area.low, summary.area.high,
                                     summary.percent_above_average);
      const std::string missing = why_no_area(results, summary);
      if (!missing.empty()) cell += fmt::format(" <span class=\"bad\">({})</span>", missing);
      cells.push_back(cell);
    }
    table.row(cells);
  }
  std::string out = "<section id=\"areas\"><h2>Area under the Pareto front</h2>\n" + table.finish();
  out += fmt::format(
      "<p class=\"caption\"><b>{}.</b> Hypervolume of (clean accuracy, robust accuracy) over the evaluations of a run "
      "with respect to (0, 0), robust by the last iterate; bias-corrected, in brackets the {:g} % bootstrap interval "
      "over "
      "images ({} resamples), then the distance to the mean of the strategies. Bold: the largest of a data set. {} · "
      "{} · {}</p>\n<ul>\n",
      captions.table(), 100 * analysis.options.level, grouped(analysis.options.resamples),
      file_link("areas.csv", "areas.csv"), file_link("pairs.csv", "pairs.csv"), file_link("table.md", "table.md"));
  for (const std::string& finding : analysis.findings) out += fmt::format("<li>{}</li>\n", html_escape(finding));
  for (const std::string& note : results.notes) out += fmt::format("<li>{}</li>\n", html_escape(note));
  return out + "</ul></section>\n";
}

// --- a data set ---

// The done runs of a data set in planned order of strategies.
std::vector<const RunResult*> done_runs(const StudyResults& results, const DatasetSummary& dataset) {
  std::vector<const RunResult*> out;
  for (const StrategySummary& s : dataset.strategies) {
    for (size_t r : s.runs) {
      if (results.runs[r].state == RunState::kDone) out.push_back(&results.runs[r]);
    }
  }
  return out;
}

std::string run_label(const DatasetSummary& dataset, const RunResult& run) {
  const bool several = std::any_of(dataset.strategies.begin(), dataset.strategies.end(),
                                   [](const StrategySummary& s) { return s.done > 1; });
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
                                             : fmt::format("{:.3f} / {:.3f}", share(p->clean_correct, p->n),
                                                           share(p->robust_last_correct, p->n)));
    }
    table.row(cells);
  }
  return table.finish();
}

std::string front_data(const StudyResults& results, const DatasetSummary& dataset) {
  HtmlTable table({"strategy", "front: (clean, robust), from the most accurate to the most robust"});
  for (const RunResult* run : done_runs(results, dataset)) {
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
  return table.finish() + "<p class=\"caption\">A2 to A7 are defined under <a href=\"#methods\">Methods</a>.</p>\n";
}

std::string shift_data(const StudyResults& results, const DatasetSummary& dataset) {
  std::vector<std::string> head = {"strategy", "step", "clean"};
  for (const ShiftCorrelation& shift : dataset.shifts) head.push_back(html_escape(shift.domain));
  HtmlTable table(head);
  for (const RunResult* run : done_runs(results, dataset)) {
    for (const Point& p : run->points) {
      std::vector<std::string> cells = {run_label(dataset, *run), std::to_string(p.step),
                                        fmt::format("{:.3f}", share(p.clean_correct, p.n))};
      for (const ShiftCorrelation& shift : dataset.shifts) {
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

std::string pair_matrix(const Analysis& analysis, const DatasetSummary& dataset, Captions& captions) {
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
             100 * analysis.options.level, file_link("pairs.csv", "pairs.csv"));
}

std::string course_table(const StudyResults& results, const DatasetSummary& dataset, Captions& captions) {
  HtmlTable table({"strategy", "clean at the end", "robust at its peak", "at step", "robust at the end",
                   "peak minus end", "falls"});
  for (const RunResult* run : done_runs(results, dataset)) {
    const Course course = course_of(*run);
    const double drop = share(course.peak->robust_last_correct - course.end->robust_last_correct, course.end->n);
    const bool falls = attacks::binomial_interval(course.peak->robust_last_correct, course.peak->n).low >
                       attacks::binomial_interval(course.end->robust_last_correct, course.end->n).high;
    table.row({run_label(dataset, *run), accuracy_html(course.end->clean_correct, course.end->n),
               accuracy_html(course.peak->robust_last_correct, course.peak->n), std::to_string(course.peak->step),
               accuracy_html(course.end->robust_last_correct, course.end->n), fmt::format("{:.3f}", drop),
               falls ? "<b>yes</b>" : "within the intervals"});
  }
  return "<h3>Rise and fall</h3>\n" + table.finish() +
         fmt::format(
             "<p class=\"caption\"><b>{}.</b> {}: the course of robust accuracy. In brackets Wilson's 95 % intervals; "
             "<i>falls</i> where those of peak and end are disjoint (the peak is the best of several evaluations and "
             "so "
             "somewhat too high). {}</p>\n",
             captions.table(), html_escape(dataset.dataset), file_link("runs.csv", "runs.csv"));
}

std::string dataset_section(const StudyResults& results, const Analysis& analysis, const DatasetSummary& dataset,
                            const DatasetFigures& drawn, Captions& captions) {
  const std::string name = html_escape(dataset.dataset);
  std::string out = fmt::format("<section id=\"data-{}\"><h2>{}</h2>\n", drawn.stem, name);
  if (drawn.trajectories.empty())
    return out + "<p class=\"bad\">No run is done, so there is nothing to draw.</p></section>\n";
  const auto file = [&drawn](const char* kind) { return fmt::format("figures/{}-{}.svg", drawn.stem, kind); };
  out +=
      figure(captions, drawn.trajectories,
             fmt::format("{}: clean (left) and robust (right) accuracy while the model trains. Bars are Wilson's 95 % "
                         "intervals of a strategy's only run; of several runs the thick line is the mean. Strategies "
                         "are set side by side at each step.",
                         name),
             {"points.csv", file("trajectories")}, course_data(results, dataset));
  out += "<div class=\"pair\">\n";
  out += figure(captions, drawn.plane,
                fmt::format("{}: every evaluation in the plane of the trade-off, with the stairs of the Pareto fronts. "
                            "Filled: on the front of its run. Hollow: dominated. Clean accuracy does not start at "
                            "zero; what lies left of the frame is in the next figure but one.",
                            name),
                {"fronts.csv", "points.csv", file("plane")}, front_data(results, dataset));
  out += figure(
      captions, drawn.areas,
      fmt::format("{}: areas with their {:g} % intervals, largest first. The dashed tick is the uncorrected area.",
                  name, 100 * analysis.options.level),
      {"areas.csv", file("areas")}, area_data(dataset));
  out += "</div>\n";
  out +=
      figure(captions, drawn.fronts,
             fmt::format("{}: one strategy a panel, from the origin. The shaded area is the hypervolume before "
                         "correction; the number is the corrected area; the dotted line follows training; the others' "
                         "stairs are grey.",
                         name),
             {"fronts.csv", file("fronts")}, {});
  out += pair_matrix(analysis, dataset, captions);
  out += course_table(results, dataset, captions);
  if (!drawn.shifts.empty()) {
    out += "<h3>Shifted domains</h3>\n" +
           figure(captions, drawn.shifts,
                  fmt::format("{}: accuracy on shifted images against clean accuracy at all evaluations; filled at the "
                              "end of training. On the dashed line the shift costs nothing.",
                              name),
                  {"points.csv", file("shifts")}, shift_data(results, dataset));
  }
  const std::string samples = samples_html(results, dataset);
  if (!samples.empty()) out += "<h3>Images</h3>\n" + samples;
  return out + "</section>\n";
}

}  // namespace

std::string report_html(const StudyResults& results, const Analysis& analysis,
                        const std::vector<DatasetFigures>& figures) {
  Captions captions;
  std::string out = fmt::format(
      "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n<meta name=\"viewport\" "
      "content=\"width=device-width, initial-scale=1\">\n<title>{}</title>\n<style>{}</style></head>\n<body>\n",
      html_escape(results.title), kReportStyle);
  out += header(results, analysis, figures);
  out += area_section(results, analysis, captions);
  for (size_t d = 0; d < analysis.datasets.size(); ++d) {
    out += dataset_section(results, analysis, analysis.datasets[d], figures[d], captions);
  }
  out += appendix_html(results, analysis, captions);
  return out + "</body></html>\n";
}

}  // namespace taut::study
