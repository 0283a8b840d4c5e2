#include "study/report/tables.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "attacks/evaluate.h"
#include "study/report/drawn.h"
#include "study/report/looks.h"
#include "study/report/markup.h"

namespace taut::study {
namespace {

// Ten significant digits: more than any interval resolves, and rounding keeps low <= area <= high.
std::string number(double v) { return std::isfinite(v) ? fmt::format("{:.10g}", v) : ""; }

std::string optional(const std::optional<double>& v) { return v ? number(*v) : ""; }

constexpr size_t kMostRows = 2000;  // of a run in points.csv

// `run_id,dataset,strategy,variant,seed`, what every table of runs starts with.
constexpr const char* kRunHead = "run_id,dataset,strategy,variant,seed";

std::string run_key(const RunResult& run) {
  return fmt::format("{},{},{},{},{}", csv_text(run.run_id), csv_text(run.dataset), csv_text(run.strategy),
                     csv_text(run.variant), run.seed);
}

std::string count_columns(int64_t correct, int64_t n) {
  const attacks::Interval interval = attacks::binomial_interval(correct, n);
  return fmt::format("{},{},{},{}", correct, number(share(correct, n)), number(interval.low), number(interval.high));
}

std::vector<std::string> shifted_domains(const StudyResults& results) {
  std::vector<std::string> domains;
  for (const RunResult& run : results.runs) {
    for (const Point& point : run.points) {
      for (const ShiftedCount& count : point.shifted) {
        if (std::find(domains.begin(), domains.end(), count.domain) == domains.end()) domains.push_back(count.domain);
      }
    }
  }
  return domains;
}

}  // namespace

std::string areas_csv(const Analysis& analysis) {
  std::string out =
      "dataset,strategy,area,low,high,area_raw,bias,percent_above_average,best,area_best_iterate,"
      "area_best_iterate_raw,area_best_iterate_low,area_best_iterate_high,trapezoid_front,trapezoid_extended,trapezoid_"
      "all,"
      "hypervolume_chance,mean_robust,union_area,lower_bound,upper_bound,run_sd,runs,n\n";
  for (const DatasetSummary& dataset : analysis.datasets) {
    for (const StrategySummary& s : dataset.strategies) {
      if (s.done == 0) continue;
      const Areas& a = s.alternatives;
      out += csv_text(dataset.dataset) + ',' + csv_text(s.strategy);
      for (double v : {s.area.value, s.area.low, s.area.high, s.area.raw, s.area.bias, s.percent_above_average}) {
        out += ',' + number(v);
      }
      out += s.best ? ",true" : ",false";
      for (double v : {s.area_best.value, s.area_best.raw, s.area_best.low, s.area_best.high, a.trapezoid_front,
                       a.trapezoid_extended, a.trapezoid_all, a.hypervolume_chance, a.mean_robust, s.union_area,
                       a.lower_bound, a.upper_bound}) {
        out += ',' + number(v);
      }
      out += fmt::format(",{},{},{}\n", optional(s.run_sd), s.done, dataset.n);
    }
  }
  return out;
}

std::string points_csv(const StudyResults& results) {
  const std::vector<std::string> domains = shifted_domains(results);
  std::string out = fmt::format("{},state,step,n", kRunHead);
  for (const char* name : {"clean", "robust_last", "robust_best"}) {
    out += fmt::format(",{0}_correct,{0}_accuracy,{0}_low,{0}_high", name);
  }
  out += ",mean_loss_clean,mean_loss_adv,train_n,train_correct";
  for (const std::string& domain : domains) {
    out += ',' + csv_text("shifted_" + domain + "_n") + ',' + csv_text("shifted_" + domain + "_correct");
  }
  out += '\n';
  for (const RunResult& run : results.runs) {
    for (const Point* point : shown_points(run, kMostRows)) {
      const Point& p = *point;
      const auto robust = [&](int64_t correct) { return run.attacked ? count_columns(correct, p.n) : ",,,"; };
      out +=
          fmt::format("{},{},{},{},{},{},{},{},{}", run_key(run), state_name(run.state), p.step, p.n,
                      count_columns(p.clean_correct, p.n), robust(p.robust_last_correct), robust(p.robust_best_correct),
                      number(p.mean_loss_clean), run.attacked ? number(p.mean_loss_adv) : "");
      out += p.train_n > 0 ? fmt::format(",{},{}", p.train_n, p.train_correct) : ",,";
      for (const std::string& domain : domains) {
        const auto found = std::find_if(p.shifted.begin(), p.shifted.end(),
                                        [&domain](const ShiftedCount& count) { return count.domain == domain; });
        out += found == p.shifted.end() ? ",," : fmt::format(",{},{}", found->n, found->correct);
      }
      out += '\n';
    }
  }
  return out;
}

std::string fronts_csv(const StudyResults& results) {
  std::string out = fmt::format("{},step,clean_accuracy,robust_accuracy\n", kRunHead);
  for (const RunResult& run : results.runs) {
    if (!has_area(run)) continue;
    const auto points = trade_off(run, Judged::kLastIterate);
    for (const TradeOff<double>& p : pareto_front(points)) {
      // Equal points merge on the front; the first of them stands for all.
      const auto first = static_cast<size_t>(std::find(points.begin(), points.end(), p) - points.begin());
      out += fmt::format("{},{},{},{}\n", run_key(run), run.points[first].step, number(p.clean), number(p.robust));
    }
  }
  return out;
}

std::string pairs_csv(const Analysis& analysis) {
  std::string out = "dataset,first,second,difference,low,high,share,intervals_disjoint\n";
  for (const DatasetSummary& dataset : analysis.datasets) {
    for (const PairComparison& pair : dataset.pairs) {
      out += fmt::format("{},{},{},{},{},{},{},{}\n", csv_text(dataset.dataset),
                         csv_text(dataset.strategies[pair.first].strategy),
                         csv_text(dataset.strategies[pair.second].strategy), number(pair.difference.value),
                         number(pair.difference.low), number(pair.difference.high), number(pair.share), pair.disjoint);
    }
  }
  return out;
}

std::string parameters_csv(const StudyResults& results) {
  std::string out = fmt::format(
      "{},trainable,total,percent_trainable,images_trained,train_flops,eval_flops,train_seconds,eval_seconds,recipe\n",
      kRunHead);
  for (const RunResult& run : results.runs) {
    const double percent = run.total > 0 ? 100 * share(run.trainable, run.total) : std::nan("");
    out += fmt::format("{},{},{},{},{},{},{},{},{},{}\n", run_key(run), run.trainable, run.total, number(percent),
                       run.images_trained, number(run.train_flops), number(run.eval_flops), optional(run.train_seconds),
                       optional(run.eval_seconds), csv_text(run.recipe));
  }
  return out;
}

std::string runs_csv(const StudyResults& results, const Analysis& analysis) {
  std::string out = fmt::format(
      "{},state,attacked,steps,evaluations,hypervolume,final_clean_accuracy,peak_robust_accuracy,peak_step,"
      "final_robust_accuracy,error\n",
      kRunHead);
  for (size_t r = 0; r < results.runs.size(); ++r) {
    const RunResult& run = results.runs[r];
    out += fmt::format("{},{},{},{},{},{},", run_key(run), state_name(run.state), run.attacked, run.steps,
                       run.points.size(), has_area(run) ? number(analysis.run_area[r]) : "");
    if (run.points.empty()) {
      out += ",,,";
    } else {
      const Course course = course_of(run);
      out += number(share(course.end->clean_correct, course.end->n));
      out += !run.attacked
                 ? ",,,"
                 : fmt::format(",{},{},{}", number(share(course.peak->robust_last_correct, course.peak->n)),
                               course.peak->step, number(share(course.end->robust_last_correct, course.end->n)));
    }
    out += ',' + csv_text(run.error) + '\n';
  }
  return out;
}

std::string checks_csv(const StudyResults& results) {
  std::string out = fmt::format("{},check,value,pass\n", kRunHead);
  for (const RunResult& run : results.runs) {
    for (const Check& check : run.checks) {
      out += fmt::format("{},{},{},{}\n", run_key(run), csv_text(check.name), csv_text(check.value), check.pass);
    }
  }
  return out;
}

std::string area_table_markdown(const StudyResults& results, const Analysis& analysis) {
  std::string out = "| strategy |", rule = "|---|";
  for (const DatasetSummary& dataset : analysis.datasets) {
    out += fmt::format(" {} |", markdown_text(dataset.dataset));
    rule += "---|";
  }
  out += '\n' + rule + '\n';
  for (size_t s = 0; s < analysis.strategies.size(); ++s) {
    out += fmt::format("| {} |", markdown_text(look_of(analysis.strategies[s], s).label));
    for (const DatasetSummary& dataset : analysis.datasets) {
      const StrategySummary& summary = dataset.strategies[s];
      if (summary.done == 0) {
        out += fmt::format(" {} |", why_no_area(results, summary));
        continue;
      }
      const std::string area = fmt::format("{:.3f}", summary.area.value);
      out += fmt::format(" {} [{:.3f}, {:.3f}] ({:+.0f} %) |", summary.best ? "**" + area + "**" : area,
                         summary.area.low, summary.area.high, summary.percent_above_average);
    }
    out += '\n';
  }
  out += fmt::format(
      "\nArea under the Pareto front of clean and robust accuracy, [{:g} % bootstrap interval over images], "
      "(relative to the strategies' mean).\n\n",
      100 * analysis.options.level);
  for (const std::string& finding : analysis.findings) out += fmt::format("- {}\n", markdown_text(finding));
  return out;
}

std::string why_no_area(const StudyResults& results, const StrategySummary& summary) {
  return summary.unattacked > 0 ? kNotAttacked : open_runs(results, summary);
}

std::string open_runs(const StudyResults& results, const StrategySummary& summary) {
  if (summary.runs.empty()) return "not planned";
  std::string out;
  for (RunState state : {RunState::kFailed, RunState::kRunning, RunState::kTodo}) {
    const auto count = std::count_if(summary.runs.begin(), summary.runs.end(),
                                     [&](size_t r) { return results.runs[r].state == state; });
    if (count == 0) continue;
    out += out.empty() ? "" : ", ";
    out += summary.runs.size() == 1 ? state_name(state) : fmt::format("{} {}", count, state_name(state));
  }
  return out;
}

const char* state_name(RunState state) {
  switch (state) {
    case RunState::kTodo: return "todo";
    case RunState::kRunning: return "running";
    case RunState::kDone: return "done";
    case RunState::kFailed: return "failed";
  }
  return "unknown";
}

Course course_of(const RunResult& run) {
  Course course{&run.points.front(), &run.points.back()};
  for (const Point& p : run.points) {
    if (p.robust_last_correct > course.peak->robust_last_correct) course.peak = &p;
  }
  return course;
}

}  // namespace taut::study
