#include "study/report/appendix.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "study/report/looks.h"
#include "study/report/markup.h"
#include "study/report/tables.h"

namespace taut::study {
namespace {

std::string label_html(const std::string& strategy) { return html_escape(look_of(strategy, 0).label); }

std::string seconds_or_unknown(const std::optional<double>& seconds) {
  return seconds ? seconds_text(*seconds) : "not recorded";
}

std::string cost_section(const StudyResults& results, Captions& captions) {
  HtmlTable table({"data set", "strategy", "variant", "trainable", "of all", "images trained", "training", "evaluation",
                   "time training", "time evaluating", "recipe"});
  for (const RunResult& run : results.runs) {
    const double percent =
        run.total > 0 ? 100 * static_cast<double>(run.trainable) / static_cast<double>(run.total) : 0;
    table.row({html_escape(run.dataset), label_html(run.strategy), html_escape(run.variant), grouped(run.trainable),
               fmt::format("{:.3g}\u00a0%", percent), grouped(run.images_trained), flops_text(run.train_flops),
               flops_text(run.eval_flops), seconds_or_unknown(run.train_seconds), seconds_or_unknown(run.eval_seconds),
               html_escape(run.recipe)});
  }
  return "<section id=\"cost\"><h2>Parameters and cost</h2>\n" + table.finish() +
         fmt::format(
             "<p class=\"caption\"><b>{}.</b> Trainable parameters include the new head. FLOPs count two for each "
             "multiply-add of linear layers, convolutions and attention products, nothing else; evaluation is nearly "
             "all "
             "attack. Times are of the machine that ran it. {}</p></section>\n",
             captions.table(), file_link("parameters.csv", "parameters.csv"));
}

std::string runs_section(const StudyResults& results, const Analysis& analysis, Captions& captions) {
  HtmlTable table({"run", "data set", "strategy", "variant", "seed", "state", "evaluations", "hypervolume"});
  for (size_t r = 0; r < results.runs.size(); ++r) {
    const RunResult& run = results.runs[r];
    std::string state = state_name(run.state);
    if (run.state != RunState::kDone) {
      state = fmt::format("<span class=\"bad\">{}</span>", state);
      if (!run.points.empty()) state += fmt::format(" after step {} of {}", run.points.back().step, run.steps);
      if (!run.error.empty()) state += ": " + html_escape(run.error);
    }
    table.row({"<code>" + html_escape(run.run_id) + "</code>", html_escape(run.dataset), label_html(run.strategy),
               html_escape(run.variant), std::to_string(run.seed), state, std::to_string(run.points.size()),
               run.state == RunState::kDone ? fmt::format("{:.4f}", analysis.run_area[r]) : "none"});
  }
  return "<section id=\"runs\"><h2>Runs</h2>\n" + table.finish() +
         fmt::format(
             "<p class=\"caption\"><b>{}.</b> Every planned run. Runs that are not done enter no area and no "
             "figure; what they measured is in {}. The hypervolume is uncorrected. {}</p></section>\n",
             captions.table(), file_link("points.csv", "points.csv"), file_link("runs.csv", "runs.csv"));
}

std::string settings_section(const StudyResults& results, Captions& captions) {
  HtmlTable table({"setting", "value"});
  bool hinted = false;
  for (const Setting& setting : results.settings) {
    table.row({"<code>" + html_escape(setting.key) + "</code>",
               html_escape(setting.value) + (setting.hinted ? " <span class=\"tag\">hinted</span>" : "")});
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

std::string checks_section(const StudyResults& results, Captions& captions) {
  struct Tally {
    int64_t ran = 0, passed = 0;
  };
  std::vector<std::string> names;
  std::map<std::string, Tally> tallies;
  HtmlTable every({"run", "check", "value", "result"}), failing({"run", "check", "value"});
  int64_t failed = 0;
  for (const RunResult& run : results.runs) {
    for (const Check& check : run.checks) {
      if (!tallies.contains(check.name)) names.push_back(check.name);
      ++tallies[check.name].ran;
      tallies[check.name].passed += check.pass;
      const std::string id = "<code>" + html_escape(run.run_id) + "</code>";
      every.row({id, html_escape(check.name), html_escape(check.value),
                 check.pass ? "<span class=\"ok\">pass</span>" : "<span class=\"bad\">FAIL</span>"});
      if (check.pass) continue;
      failing.row({id, html_escape(check.name), html_escape(check.value)});
      ++failed;
    }
  }
  std::string out = "<section id=\"checks\"><h2>Checks that ran</h2>\n";
  if (names.empty()) return out + "<p class=\"bad\">No run reports a check.</p></section>\n";
  HtmlTable summary({"check", "passed", "of runs"});
  for (const std::string& name : names) {
    const Tally& tally = tallies[name];
    const bool all = tally.passed == tally.ran;
    summary.row({html_escape(name), fmt::format("<span class=\"{}\">{}</span>", all ? "ok" : "bad", tally.passed),
                 std::to_string(tally.ran)});
  }
  out += summary.finish() + fmt::format("<p class=\"caption\"><b>{}.</b> Checks by name. {}</p>\n", captions.table(),
                                        file_link("checks.csv", "checks.csv"));
  if (failed > 0) out += "<h3 class=\"bad\">Failed</h3>\n" + failing.finish();
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

std::string appendix_html(const StudyResults& results, const Analysis& analysis, Captions& captions) {
  std::string out = cost_section(results, captions);  // one by one: captions count in the order of the page
  out += runs_section(results, analysis, captions);
  out += settings_section(results, captions);
  out += checks_section(results, captions);
  return out + methods_section(analysis);
}

}  // namespace taut::study
