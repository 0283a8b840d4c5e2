#include "study/analysis.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "attacks/evaluate.h"
#include "kernels/error.h"
#include "study/correlation.h"
#include "study/report/looks.h"

namespace taut::study {
namespace {

void check_flags(const RunResult& run, const Point& point, const std::vector<uint8_t>& flags, int64_t correct,
                 const char* name) {
  const auto ones = static_cast<int64_t>(std::count(flags.begin(), flags.end(), uint8_t{1}));
  const auto zeros = static_cast<int64_t>(std::count(flags.begin(), flags.end(), uint8_t{0}));
  if (ones != correct || ones + zeros != point.n || static_cast<int64_t>(flags.size()) != point.n) {
    fail(Exit::kBadData, "[report] run {}, step {}: expected {} flags {} with {} ones, got {} with {}", run.run_id,
         point.step, point.n, name, correct, flags.size(), ones);
  }
}

int64_t robust_correct(const Point& point, Judged judged) {
  return judged == Judged::kLastIterate ? point.robust_last_correct : point.robust_best_correct;
}

// From counts, rounded once: equal to the resampled areas to the bit where a resample has the same counts.
double run_hypervolume(const RunResult& run, Judged judged) {
  std::vector<TradeOff<int64_t>> counts;
  for (const Point& p : run.points) counts.push_back({p.clean_correct, robust_correct(p, judged)});
  const int64_t n = run.points[0].n;
  return static_cast<double>(hypervolume(counts)) / static_cast<double>(n * n);
}

Outcomes outcomes(const RunResult& run) {
  Outcomes out;
  out.n = run.points[0].n;
  for (const Point& point : run.points) {
    out.clean.push_back(pack_bits(point.clean_ok));
    out.last.push_back(pack_bits(point.robust_last_ok));
    out.best.push_back(pack_bits(point.robust_best_ok));
  }
  return out;
}

// The runs of one data set that have an area, with their resampled areas.
struct Resampled {
  std::vector<const RunResult*> runs;
  ResampledAreas areas;

  // Means over the runs of `strategy`, resample by resample.
  std::vector<double> mean(const std::string& strategy, const std::vector<std::vector<double>>& areas) const {
    std::vector<double> sum(areas[0].size(), 0.0);
    double count = 0;
    for (size_t r = 0; r < runs.size(); ++r) {
      if (runs[r]->strategy != strategy) continue;
      ++count;
      for (size_t b = 0; b < sum.size(); ++b) sum[b] += areas[r][b];
    }
    for (double& s : sum) s /= count;
    return sum;
  }
};

Resampled resample(const StudyResults& results, const std::string& dataset, const BootstrapOptions& options) {
  Resampled out;
  std::vector<Outcomes> each;
  for (const RunResult& run : results.runs) {
    if (run.dataset != dataset || !has_area(run)) continue;
    out.runs.push_back(&run);
    each.push_back(outcomes(run));
  }
  out.areas = resampled_areas(each, options);
  return out;
}

void add(Areas& sum, const Areas& a, double weight) {
  for (double Areas::*member :
       {&Areas::hypervolume, &Areas::trapezoid_front, &Areas::trapezoid_extended, &Areas::trapezoid_all,
        &Areas::hypervolume_chance, &Areas::mean_robust, &Areas::lower_bound, &Areas::upper_bound}) {
    sum.*member += weight * a.*member;
  }
}

// Where no image survives anywhere, every resample says 0, too: what 0 of n leaves open is Wilson's upper end, at the
// best clean accuracy.
double zero_area_high(const std::vector<const RunResult*>& runs, const std::string& strategy) {
  double high = 0;
  for (const RunResult* run : runs) {
    if (run->strategy != strategy) continue;
    for (const Point& p : run->points)
      high = std::max(high, static_cast<double>(p.clean_correct) / static_cast<double>(p.n) *
                                attacks::binomial_interval(0, p.n).high);
  }
  return high;
}

void fill_areas(StrategySummary& summary, const Resampled& resampled, double chance, double level) {
  std::vector<double> each;
  std::vector<TradeOff<double>> everything;
  double sum_last = 0, sum_best = 0;
  const auto count = static_cast<double>(summary.done);
  for (const RunResult* run : resampled.runs) {
    if (run->strategy != summary.strategy) continue;
    const auto points = trade_off(*run, Judged::kLastIterate);
    everything.insert(everything.end(), points.begin(), points.end());
    each.push_back(run_hypervolume(*run, Judged::kLastIterate));
    sum_last += each.back();
    sum_best += run_hypervolume(*run, Judged::kBestOfIterates);
    add(summary.alternatives, areas(points, chance), 1 / count);
  }
  summary.union_area = hypervolume(everything);
  summary.area = bias_corrected(sum_last / count, resampled.mean(summary.strategy, resampled.areas.last), level, 0, 1);
  summary.area_best =
      bias_corrected(sum_best / count, resampled.mean(summary.strategy, resampled.areas.best), level, 0, 1);
  for (const auto& [sum, area] : {std::pair{sum_last, &summary.area}, std::pair{sum_best, &summary.area_best}})
    if (sum == 0) area->high = zero_area_high(resampled.runs, summary.strategy);
  if (each.size() > 1) {
    double squares = 0;
    for (double a : each) squares += (a - sum_last / count) * (a - sum_last / count);
    summary.run_sd = std::sqrt(squares / (count - 1));
  }
}

void compare(DatasetSummary& dataset, const Resampled& resampled, double level) {
  std::vector<size_t> with_area;
  std::vector<std::vector<double>> means(dataset.strategies.size());
  std::vector<double> values;
  for (size_t s = 0; s < dataset.strategies.size(); ++s) {
    if (dataset.strategies[s].done == 0) continue;
    with_area.push_back(s);
    values.push_back(dataset.strategies[s].area.value);
    means[s] = resampled.mean(dataset.strategies[s].strategy, resampled.areas.last);
  }
  const std::vector<double> percent = percent_above_average(values);
  for (size_t i = 0; i < with_area.size(); ++i) {
    StrategySummary& a = dataset.strategies[with_area[i]];
    a.percent_above_average = percent[i];
    a.best = values.size() > 1 && a.area.value > 0 && a.area.value == *std::max_element(values.begin(), values.end());
    for (size_t j = i + 1; j < with_area.size(); ++j) {
      const StrategySummary& b = dataset.strategies[with_area[j]];
      PairComparison pair;
      pair.first = with_area[i];
      pair.second = with_area[j];
      pair.disjoint = a.area.low > b.area.high || b.area.low > a.area.high;
      std::vector<double> difference = means[pair.first];
      for (size_t k = 0; k < difference.size(); ++k) difference[k] -= means[pair.second][k];
      const double raw = a.area.raw - b.area.raw;
      pair.share = share_against(raw, difference);
      pair.difference = bias_corrected(raw, std::move(difference), level, -1, 1);
      dataset.disjoint += pair.disjoint;
      dataset.pairs.push_back(pair);
    }
  }
}

std::vector<ShiftCorrelation> correlations(const StudyResults& results, const std::string& dataset) {
  std::vector<ShiftCorrelation> out;
  std::map<std::string, Correlation> points;
  for (const RunResult& run : results.runs) {
    if (run.dataset != dataset || run.state != RunState::kDone) continue;
    for (const Point& point : run.points) {
      for (const ShiftedCount& shift : point.shifted) {
        if (!points.contains(shift.domain)) out.push_back({shift.domain, 0, 0, shift.other_domain});
        points[shift.domain].add(static_cast<double>(point.clean_correct) / static_cast<double>(point.n),
                                 static_cast<double>(shift.correct) / static_cast<double>(shift.n));
      }
    }
  }
  for (ShiftCorrelation& shift : out) {
    shift.points = points[shift.domain].size();
    shift.correlation = points[shift.domain].value();
  }
  return out;
}

// Appends `name` unless it is there; returns its position.
size_t position(std::vector<std::string>& names, const std::string& name) {
  const auto found = std::find(names.begin(), names.end(), name);
  if (found != names.end()) return static_cast<size_t>(found - names.begin());
  names.push_back(name);
  return names.size() - 1;
}

std::vector<DatasetSummary> lay_out(const StudyResults& results, std::vector<std::string>& strategies) {
  std::vector<DatasetSummary> datasets;
  std::vector<std::string> names;
  for (const RunResult& run : results.runs) position(strategies, run.strategy);
  for (size_t r = 0; r < results.runs.size(); ++r) {
    const RunResult& run = results.runs[r];
    const size_t d = position(names, run.dataset);
    if (d == datasets.size()) {
      datasets.emplace_back().dataset = run.dataset;
      for (const std::string& strategy : strategies) datasets[d].strategies.emplace_back().strategy = strategy;
    }
    StrategySummary& summary = datasets[d].strategies[position(strategies, run.strategy)];
    summary.runs.push_back(r);
    summary.done += has_area(run);
    summary.unattacked += run.state == RunState::kDone && !has_area(run);
    datasets[d].classes = std::max(datasets[d].classes, run.classes);
    if (!run.points.empty()) datasets[d].n = std::max(datasets[d].n, run.points[0].n);
  }
  return datasets;
}

std::string percent_text(double level) { return fmt::format("{:g} %", 100 * level); }

std::vector<std::string> findings(const StudyResults& results, const Analysis& analysis) {
  std::vector<std::string> out;
  for (const DatasetSummary& dataset : analysis.datasets) {
    const StrategySummary *best = nullptr, *worst = nullptr;
    for (const StrategySummary& s : dataset.strategies) {
      if (s.done == 0) continue;
      if (best == nullptr || s.area.value > best->area.value) best = &s;
      if (worst == nullptr || s.area.value < worst->area.value) worst = &s;
    }
    if (best == nullptr && std::ranges::any_of(dataset.strategies, &StrategySummary::unattacked)) {
      out.push_back(fmt::format("{}: not attacked, so there is no robust accuracy and no area.", dataset.dataset));
    } else if (best == nullptr) {
      out.push_back(fmt::format("{}: no run is done, so there is no area.", dataset.dataset));
    } else if (dataset.pairs.empty()) {
      out.push_back(fmt::format("{}: only one strategy has an area, so nothing is compared.", dataset.dataset));
    } else if (dataset.disjoint == 0) {
      out.push_back(fmt::format("{}: the table decides nothing: all {} intervals overlap one another ({} images).",
                                dataset.dataset, percent_text(analysis.options.level), dataset.n));
    } else {
      out.push_back(fmt::format(
          "{}: {} of {} pairs of strategies have disjoint {} intervals ({} images); the largest area is that of {} "
          "({:.3f}), the smallest that of {} ({:.3f}).",
          dataset.dataset, dataset.disjoint, dataset.pairs.size(), percent_text(analysis.options.level), dataset.n,
          look_of(best->strategy, 0).label, best->area.value, look_of(worst->strategy, 0).label, worst->area.value));
    }
    for (const ShiftCorrelation& shift : dataset.shifts) {
      out.push_back(fmt::format(
          "{}: accuracy on the {} domain {} and clean accuracy correlate at {:.2f} over {} evaluations.",
          dataset.dataset, shift.other_domain ? "other" : "shifted", shift.domain, shift.correlation, shift.points));
    }
  }
  const auto is_not_done = [](const RunResult& run) { return run.state != RunState::kDone; };
  const auto open = std::count_if(results.runs.begin(), results.runs.end(), is_not_done);
  if (open > 0) {
    out.push_back(fmt::format("{} of {} planned runs are not done; they are listed with their state and enter no area.",
                              open, results.runs.size()));
  }
  int64_t checks = 0, failed = 0;
  for (const RunResult& run : results.runs) {
    for (const Check& check : run.checks) ++checks, failed += !check.pass;
  }
  if (failed > 0) {
    out.push_back(fmt::format("{} of {} checks did NOT hold; the table of checks says which: read those runs with it.",
                              failed, checks));
  }
  return out;
}

}  // namespace

void check_run(const RunResult& run) {
  if (run.state == RunState::kDone && run.points.empty()) {
    fail(Exit::kBadData, "[report] run {}: expected a done run to have points, got none", run.run_id);
  }
  for (size_t i = 0; i < run.points.size(); ++i) {
    const Point& point = run.points[i];
    if (point.n < 1 || point.n != run.points[0].n) {
      fail(Exit::kBadData, "[report] run {}, step {}: expected the same images at every point, got {} after {}",
           run.run_id, point.step, point.n, run.points[0].n);
    }
    if (i > 0 && point.step <= run.points[i - 1].step) {
      fail(Exit::kBadData, "[report] run {}: expected ascending steps, got {} after {}", run.run_id, point.step,
           run.points[i - 1].step);
    }
    check_flags(run, point, point.clean_ok, point.clean_correct, "clean_ok");
    check_flags(run, point, point.robust_last_ok, point.robust_last_correct, "robust_last_ok");
    check_flags(run, point, point.robust_best_ok, point.robust_best_correct, "robust_best_ok");
    for (const ShiftedCount& shift : point.shifted) {
      if (shift.n < 1 || shift.correct < 0 || shift.correct > shift.n) {
        fail(Exit::kBadData, "[report] run {}, step {}: expected a count of shifted images, got {} of {} on {}",
             run.run_id, point.step, shift.correct, shift.n, shift.domain);
      }
    }
  }
}

bool has_area(const RunResult& run) { return run.state == RunState::kDone && run.attacked; }

std::vector<TradeOff<double>> trade_off(const RunResult& run, Judged judged) {
  std::vector<TradeOff<double>> points;
  for (const Point& p : run.points) {
    points.push_back({static_cast<double>(p.clean_correct) / static_cast<double>(p.n),
                      static_cast<double>(robust_correct(p, judged)) / static_cast<double>(p.n)});
  }
  return points;
}

Analysis analyse(const StudyResults& results, const BootstrapOptions& options) {
  for (const RunResult& run : results.runs) check_run(run);
  Analysis out;
  out.options = options;
  out.datasets = lay_out(results, out.strategies);
  for (const RunResult& run : results.runs) {
    out.run_area.push_back(has_area(run) ? run_hypervolume(run, Judged::kLastIterate) : -1);
  }
  for (DatasetSummary& dataset : out.datasets) {
    const Resampled resampled = resample(results, dataset.dataset, options);
    const double chance = dataset.classes > 0 ? 1 / static_cast<double>(dataset.classes) : 0;
    for (StrategySummary& summary : dataset.strategies) {
      if (summary.done > 0) fill_areas(summary, resampled, chance, options.level);
    }
    compare(dataset, resampled, options.level);
    dataset.shifts = correlations(results, dataset.dataset);
  }
  out.findings = findings(results, out);
  return out;
}

}  // namespace taut::study
