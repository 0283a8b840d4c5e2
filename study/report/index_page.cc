// index.html: the overview of a study.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <set>

#include "study/report/appendix.h"
#include "study/report/html.h"
#include "study/report/markup.h"
#include "study/report/page.h"
#include "study/report/tables.h"

namespace taut::study {
namespace {

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
  constexpr size_t kMost = 12;  // a sweep over lengths has as many as lengths
  for (size_t i = 0; i < std::min(kMost, sentences.size()); ++i) {
    const auto& [sentence, labels] = sentences[i];
    out += fmt::format("<dt>Warm-up</dt><dd>{}", html_escape(sentence));
    if (sentences.size() > 1) out += fmt::format(" ({})", fmt::join(labels, ", "));
    out += "</dd>\n";
  }
  if (sentences.size() > kMost) out += fmt::format("<dt>Warm-up</dt><dd>and {} more</dd>\n", sentences.size() - kMost);
  return out;
}

std::string header(const ReportContext& report) {
  const StudyResults& results = report.results;
  const Analysis& analysis = report.analysis;
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
  for (size_t d = 0; d < report.figures.size(); ++d) {
    out += fmt::format("<a href=\"{}\">{}</a>", report.figures[d].page(), html_escape(analysis.datasets[d].dataset));
  }
  return out +
         "<a href=\"#state\">State</a><a href=\"#cost\">Parameters and cost</a><a href=\"#settings\">Settings</a><a "
         "href=\"#checks\">Checks</a><a href=\"#methods\">Methods</a></nav></header>\n";
}

// Where the study stands: strategies x data sets, and the runs that are not done by name.
std::string state_section(const ReportContext& report, Captions& captions) {
  const StudyResults& results = report.results;
  std::vector<std::string> head = {"done of planned"};
  for (size_t d = 0; d < report.figures.size(); ++d) head.push_back(html_escape(report.analysis.datasets[d].dataset));
  HtmlTable table(head);
  for (size_t s = 0; s < report.analysis.strategies.size(); ++s) {
    std::vector<std::string> cells = {label_html(report.analysis.strategies[s])};
    for (const DatasetSummary& d : report.analysis.datasets) {
      const StrategySummary& summary = d.strategies[s];
      const std::string why = open_runs(results, summary);
      std::string cell =
          summary.runs.empty() ? "" : fmt::format("{} of {}", summary.done + summary.unattacked, summary.runs.size());
      if (!summary.runs.empty() && !why.empty()) cell += fmt::format(" <span class=\"bad\">({})</span>", why);
      cells.push_back(cell);
    }
    table.row(cells);
  }
  std::string out = "<section id=\"state\"><h2>State</h2>\n" + table.finish();
  out += fmt::format(
      "<p class=\"caption\"><b>{}.</b> Runs that are not done enter no area and no figure; what they "
      "measured is in {}. {}</p>\n",
      captions.table(), report.link("points.csv"), report.link("runs.csv"));
  constexpr size_t kMost = 100;
  HtmlTable open({"run", "data set", "strategy", "state"}, "runs sortable", false);
  size_t missing = 0;
  for (const RunResult& run : results.runs) {
    if (run.state == RunState::kDone || ++missing > kMost) continue;
    std::string state = state_name(run.state);
    if (!run.points.empty()) state += fmt::format(" after step {} of {}", run.points.back().step, run.steps);
    if (!run.error.empty()) state += ": " + html_escape(run.error);
    open.row(
        {"<code>" + html_escape(run.run_id) + "</code>", html_escape(run.dataset), label_html(run.strategy), state});
  }
  if (missing == 0) return out + "<p>Every planned run is done.</p></section>\n";
  out +=
      fmt::format("<h3 class=\"bad\">{} of {} runs are not done</h3>\n", missing, results.runs.size()) + open.finish();
  if (missing > kMost) out += fmt::format("<p>and {} more: {}</p>\n", missing - kMost, report.link("runs.csv"));
  return out + "</section>\n";
}

std::string area_section(const ReportContext& report, Captions& captions) {
  const StudyResults& results = report.results;
  const Analysis& analysis = report.analysis;
  std::vector<std::string> head = {"strategy"};
  for (size_t d = 0; d < report.figures.size(); ++d) {
    head.push_back(
        fmt::format("<a href=\"{}\">{}</a>", report.figures[d].page(), html_escape(analysis.datasets[d].dataset)));
  }
  HtmlTable table(head, "sortable");
  for (size_t s = 0; s < analysis.strategies.size(); ++s) {
    std::vector<std::string> cells = {label_html(analysis.strategies[s])};
    for (const DatasetSummary& d : analysis.datasets) {
      const StrategySummary& summary = d.strategies[s];
      if (summary.done == 0) {
        cells.push_back(fmt::format("<span class=\"{}\">{}</span>", summary.unattacked > 0 ? "muted" : "bad",
                                    why_no_area(results, summary)));
        continue;
      }
      const std::string area = fmt::format("{:.3f}", summary.area.value);
      std::string cell = fmt::format("{} <span class=\"muted\">[{:.3f}, {:.3f}]</span> {:+.0f} %",
                                     summary.best ? "<b>" + area + "</b>" : area, summary.area.low, summary.area.high,
                                     summary.percent_above_average);
      const std::string missing = open_runs(results, summary);
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
      captions.table(), 100 * analysis.options.level, grouped(analysis.options.resamples), report.link("areas.csv"),
      report.link("pairs.csv"), report.link("table.md"));
  for (const std::string& finding : analysis.findings) out += fmt::format("<li>{}</li>\n", html_escape(finding));
  for (const std::string& note : results.notes) out += fmt::format("<li>{}</li>\n", html_escape(note));
  return out + "</ul></section>\n";
}

// Small multiples: the areas of each data set, with the way to its page.
std::string overview_section(const ReportContext& report) {
  std::string out = "<section id=\"overview\"><h2>Data sets</h2>\n<div class=\"grid\">\n";
  for (size_t d = 0; d < report.figures.size(); ++d) {
    const DatasetFigures& figures = report.figures[d];
    out += fmt::format("<figure><h3><a href=\"{}\">{}</a></h3>\n{}</figure>\n", figures.page(),
                       html_escape(report.analysis.datasets[d].dataset),
                       !figures.areas.empty()         ? canvas(figures.areas)
                       : figures.trajectories.empty() ? "<p class=\"bad\">No run is done.</p>\n"
                                                      : "<p>Not attacked: no robust accuracy, no area.</p>\n");
  }
  return out +
         "</div>\n<p class=\"caption\">Areas with their intervals, largest first; the dashed tick is the "
         "uncorrected area. Courses, fronts, comparisons and the runs are on the page of each data set.</p>"
         "</section>\n";
}

}  // namespace

std::string index_page(const ReportContext& report) {
  Captions captions;  // sections one by one: captions count in the order of the page
  std::string out = header(report);
  out += area_section(report, captions);
  out += overview_section(report);
  out += state_section(report, captions);
  out += appendix_html(report, captions);
  return page_frame(report.results.title, out);
}

}  // namespace taut::study
