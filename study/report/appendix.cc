#include "study/report/appendix.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <functional>
#include <map>
#include <set>

#include "study/report/markup.h"
#include "study/report/tables.h"

namespace taut::study {
namespace {

std::string seconds_or_unknown(const std::optional<double>& seconds) {
  return seconds ? seconds_text(*seconds) : "not recorded";
}

// Runs that one row of the table of cost stands for.
struct CostRow {
  const RunResult* first;
  std::vector<const RunResult*> runs;
};

// By data set, strategy and variant; a sweep of many variants by data set and strategy.
std::vector<CostRow> cost_rows(const StudyResults& results, bool by_variant) {
  std::vector<CostRow> rows;
  std::map<std::array<std::string, 3>, size_t> places;
  for (const RunResult& run : results.runs) {
    const std::array<std::string, 3> key = {run.dataset, run.strategy, by_variant ? run.variant : ""};
    const auto [it, fresh] = places.emplace(key, rows.size());
    if (fresh) rows.push_back({&run, {}});
    CostRow& row = rows[it->second];
    if (row.first->total == 0 && run.total > 0) row.first = &run;
    row.runs.push_back(&run);
  }
  return rows;
}

// The mean over the runs that have it.
std::optional<double> mean(const std::vector<const RunResult*>& runs,
                           const std::function<std::optional<double>(const RunResult&)>& of) {
  double sum = 0;
  int64_t n = 0;
  for (const RunResult* run : runs) {
    if (const auto value = of(*run)) sum += *value, ++n;
  }
  return n == 0 ? std::nullopt : std::optional(sum / static_cast<double>(n));
}

std::string cost_section(const ReportContext& report, Captions& captions) {
  constexpr size_t kMostRows = 60;
  std::vector<CostRow> rows = cost_rows(report.results, true);
  const bool by_variant = rows.size() <= kMostRows;
  if (!by_variant) rows = cost_rows(report.results, false);
  HtmlTable table({"data set", "strategy", "variant", "runs", "trainable", "of all", "images trained", "training",
                   "evaluation", "time training", "time evaluating", "recipe"},
                  "cost sortable");
  for (const CostRow& row : rows) {
    const RunResult& run = *row.first;
    const double percent =
        run.total > 0 ? 100 * static_cast<double>(run.trainable) / static_cast<double>(run.total) : 0;
    std::set<std::string> variants, recipes;
    for (const RunResult* r : row.runs) variants.insert(r->variant), recipes.insert(r->recipe);
    const auto done = [](const RunResult& r, double value) {
      return r.state == RunState::kDone ? std::optional(value) : std::nullopt;
    };
    const auto of = [&](double RunResult::*member) {
      return mean(row.runs, [&](const RunResult& r) { return done(r, r.*member); }).value_or(0);
    };
    const double images =
        mean(row.runs, [&](const RunResult& r) { return done(r, static_cast<double>(r.images_trained)); }).value_or(0);
    table.row({html_escape(run.dataset), label_html(run.strategy),
               variants.size() == 1 ? html_escape(run.variant) : fmt::format("{} variants", variants.size()),
               std::to_string(row.runs.size()), grouped(run.trainable), fmt::format("{:.3g}\u00a0%", percent),
               grouped(static_cast<int64_t>(images + 0.5)), flops_text(of(&RunResult::train_flops)),
               flops_text(of(&RunResult::eval_flops)),
               seconds_or_unknown(mean(row.runs, [](const RunResult& r) { return r.train_seconds; })),
               seconds_or_unknown(mean(row.runs, [](const RunResult& r) { return r.eval_seconds; })),
               recipes.size() == 1 ? html_escape(run.recipe) : fmt::format("{} recipes", recipes.size())});
  }
  return "<section id=\"cost\"><h2>Parameters and cost</h2>\n" + table.finish() +
         fmt::format(
             "<p class=\"caption\"><b>{}.</b> Of several runs: the mean of a run; parameters are those of the first. "
             "Trainable parameters include the new head. FLOPs count two for each multiply-add of linear layers, "
             "convolutions and attention products, nothing else; evaluation is nearly all attack. Times are of the "
             "machine that ran it. {}</p></section>\n",
             captions.table(), report.link("parameters.csv"));
}

std::string settings_section(const StudyResults& results, Captions& captions) {
  constexpr size_t kMostText = 400;
  HtmlTable table({"setting", "value"});
  bool hinted = false;
  for (const Setting& setting : results.settings) {
    table.row(
        {"<code>" + html_escape(setting.key) + "</code>",
         html_escape(setting.value.size() > kMostText ? setting.value.substr(0, kMostText) + " ..." : setting.value) +
             (setting.hinted ? " <span class=\"tag\">hinted</span>" : "")});
    hinted = hinted || setting.hinted;
  }
  std::string out = "<section id=\"settings\"><h2>Settings</h2>\n" + table.finish();
  out += fmt::format("<p class=\"caption\"><b>{}.</b> Every setting that changes a number, as resolved.{}</p>\n",
                     captions.table(),
                     hinted ? " <span class=\"tag\">hinted</span>: the study only hints at this value." : "");
  if (!results.commands.empty()) {
    out += "<h3>Commands</h3>\n<pre>";
    for (const std::string& command : results.commands) out += html_escape(command) + "\n";
    out += "</pre>\n";
  }
  return out + "</section>\n";
}

std::string checks_section(const ReportContext& report, Captions& captions) {
  constexpr int64_t kMostRows = 500;  // checks.csv has all
  struct Tally {
    int64_t ran = 0, passed = 0;
  };
  std::vector<std::string> names;
  std::map<std::string, Tally> tallies;
  HtmlTable every({"run", "check", "value", "result"}), failing({"run", "check", "value"});
  int64_t failed = 0;
  int64_t all = 0;
  for (const RunResult& run : report.results.runs) {
    for (const Check& check : run.checks) {
      if (!tallies.contains(check.name)) names.push_back(check.name);
      ++tallies[check.name].ran;
      tallies[check.name].passed += check.pass;
      const std::string id = "<code>" + html_escape(run.run_id) + "</code>";
      if (++all <= kMostRows)
        every.row({id, html_escape(check.name), html_escape(check.value),
                   check.pass ? "<span class=\"ok\">pass</span>" : "<span class=\"bad\">FAIL</span>"});
      if (check.pass) continue;
      if (++failed <= kMostRows) failing.row({id, html_escape(check.name), html_escape(check.value)});
    }
  }
  std::string out = "<section id=\"checks\"><h2>Checks that ran</h2>\n";
  if (names.empty()) return out + "<p class=\"bad\">No run reports a check.</p></section>\n";
  HtmlTable summary({"check", "passed", "of runs"});
  for (const std::string& name : names) {
    const Tally& tally = tallies[name];
    const char* look = tally.passed == tally.ran ? "ok" : "bad";
    summary.row({html_escape(name), fmt::format("<span class=\"{}\">{}</span>", look, tally.passed),
                 std::to_string(tally.ran)});
  }
  out += summary.finish() + fmt::format("<p class=\"caption\"><b>{}.</b> Checks by name. {}</p>\n", captions.table(),
                                        report.link("checks.csv"));
  if (failed > 0) out += "<h3 class=\"bad\">Failed</h3>\n" + failing.finish();
  if (failed > kMostRows) out += fmt::format("<p>and {} more</p>\n", failed - kMostRows);
  if (all > kMostRows) return out + "</section>\n";
  return out + "<details><summary>Every check of every run</summary>\n" + every.finish() + "</details></section>\n";
}

std::string methods_section(const Analysis& analysis) {
  const BootstrapOptions& o = analysis.options;
  return fmt::format(
      R"html(<section id="methods"><h2>Methods</h2>
<p>A point is the pair (clean accuracy <i>a</i>, robust accuracy <i>r</i>) of one evaluation, both fractions of the same test
images. The front is the set of points that no other point of the run equals or exceeds in both. With the front in ascending
<i>a</i> and <i>a</i><sub>0</sub> = 0:</p>
<table><tbody>
<tr><th scope="row">A1, area</th><td>Σ (<i>a<sub>i</sub></i> − <i>a<sub>i−1</sub></i>) <i>r<sub>i</sub></i></td><td>hypervolume
with respect to (0, 0): the union of the rectangles [0, <i>a</i>] × [0, <i>r</i>]; it never falls when a point is added</td></tr>
<tr><th scope="row">A2</th><td>trapezoid rule over the front</td><td>0 for a front of one point; can fall when a better point is
added</td></tr>
<tr><th scope="row">A3</th><td>A2 + <i>a</i><sub>1</sub> <i>r</i><sub>1</sub></td><td>A2 extended to <i>a</i> = 0 at the largest
<i>r</i></td></tr>
<tr><th scope="row">A4</th><td>trapezoid rule over all points</td><td>depends on dominated points</td></tr>
<tr><th scope="row">A5</th><td>A1 of (max(<i>a</i> − 1/classes, 0), <i>r</i>)</td><td>reference at guessing</td></tr>
<tr><th scope="row">A6</th><td>A1 / <i>a</i><sub>max</sub></td><td>mean robust accuracy over the attainable accuracies</td></tr>
<tr><th scope="row">A7</th><td>A1 of the points of all runs together</td><td>grows with the number of runs; equals A1 for
one</td></tr>
</tbody></table>
<p>Always max <i>a<sub>i</sub> r<sub>i</sub></i> ≤ A1 ≤ <i>a</i><sub>max</sub> <i>r</i><sub>max</sub>. The area of a strategy is
the mean of A1 over its runs on the data set. “x % above average” is 100 (area − mean of the strategies) / mean.</p>
<p>Intervals: {} bootstrap resamples of the test images (seed {}); an image keeps its outcomes at all steps, and all strategies
of a data set see the same resamples. With A the area and A* the resampled ones: bias = mean A* − A (positive as a rule, since
a front takes maxima over noisy points); the reported area is A − bias; the interval is the bias-corrected percentile interval
(Efron, 1981): the Φ(2z<sub>0</sub> ± {:.3f}) quantiles of A*, Φ(z<sub>0</sub>) the share of A* below A. Where no image is robust at any point, resamples cannot differ, and
the upper end is the best clean accuracy times the upper end of Wilson's interval of 0 images. The interval of a
difference is formed in the same way from paired resamples, and its share is the least α at which that interval excludes
zero. Accuracies have Wilson's 95 % interval. Areas by the best of iterates count an image as robust only if no iterate of the
attack, the start included, is misclassified; they are never mixed with those by the last iterate.</p></section>
)html",
      grouped(o.resamples), o.seed, normal_quantile((1 + o.level) / 2));
}

}  // namespace

std::string appendix_html(const ReportContext& report, Captions& captions) {
  std::string out = cost_section(report, captions);  // one by one: captions count in the order of the page
  out += settings_section(report.results, captions);
  out += checks_section(report, captions);
  return out + methods_section(report.analysis);
}

}  // namespace taut::study
