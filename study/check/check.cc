#include "study/check/check.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "study/check/ranks.h"

namespace taut::study {
namespace {

constexpr size_t kFewestRanks = 3;  // strategies an order takes

// The plan's data sets in order of first appearance.
std::vector<StudiedDataset> planned_datasets(const Plan& plan) {
  std::vector<StudiedDataset> out;
  for (const PlanRow& row : plan.rows) {
    auto d = std::ranges::find(out, row.dataset, &StudiedDataset::name);
    if (d == out.end()) {
      d = out.insert(d, StudiedDataset{});
      d->name = row.dataset;
      d->paper = paper_dataset(row.dataset);
      d->domain = row.config.text("data.domain");
    }
    ++d->planned;
    const int64_t updates = row.config.integer("train.steps");
    if (updates > 0) d->updates = d->updates == 0 ? updates : std::min(d->updates, updates);
    d->attacked = d->attacked || is_attacked(row.config);
    d->judges_domains = d->judges_domains || !row.config.texts("eval.domains").empty();
    for (const Departure& departure : departures(row))
      if (std::ranges::find(d->departures, departure) == d->departures.end()) d->departures.push_back(departure);
    if (d->paper == nullptr) continue;
    if (row.config.text("data.path").starts_with("procedural"))
      d->not_the_papers = fmt::format("{} is procedural here", row.dataset);
    else if (!row.config.integers("data.classes").empty())
      d->not_the_papers = fmt::format("{} has a part of its classes here", row.dataset);
  }
  return out;
}

void check_identity(StudiedDataset& d) {
  if (d.paper == nullptr) return;
  const int64_t classes = d.statistics.classes;
  if (d.not_the_papers.empty() && classes > 0 && std::ranges::find(d.paper->classes, classes) == d.paper->classes.end())
    d.not_the_papers = fmt::format("{} has {} classes here, the paper's {}", d.name, classes, d.paper->classes[0]);
  if (!d.not_the_papers.empty()) d.paper = nullptr;
}

// The two lists of areas of a data set, over the strategies in both.
struct Paired {
  std::vector<double> paper, ours;
  std::vector<const StrategyStatistics*> statistics;
};

template <class Value>
Paired paired(const StudiedDataset& d, const DatasetSummary& summary, const Value& value) {
  Paired out;
  for (const StrategySummary& s : summary.strategies) {
    const auto published = paper_area(*d.paper, s.strategy);
    if (!published || s.done == 0) continue;
    out.paper.push_back(*published);
    out.ours.push_back(value(s));
    out.statistics.push_back(d.statistics.find(s.strategy));
  }
  return out;
}

Estimate resampled_ranks(const Paired& p, double (*coefficient)(const std::vector<double>&, const std::vector<double>&),
                         double level) {
  std::vector<double> draws;
  for (size_t b = 0; b < p.statistics[0]->area.draws.size(); ++b) {
    std::vector<double> ours;
    for (const StrategyStatistics* s : p.statistics) ours.push_back(s->area.draws[b]);
    draws.push_back(coefficient(p.paper, ours));
  }
  // Around their own median the interval is the plain percentile one: a correction for bias breaks down where the real
  // order is as alike as orders can be and every resample less so.
  std::ranges::sort(draws);
  const double raw = coefficient(p.paper, p.ours), median = draws[draws.size() / 2];
  Estimate out = bias_corrected(median, std::move(draws), level, -1, 1);
  out.low = std::min(out.low, raw);
  out.high = std::max(out.high, raw);
  return out;
}

std::vector<RankComparison> compare_ranks(const StudiedDataset& d, const DatasetSummary& summary, double level) {
  struct Definition {
    const char* name;
    double (*value)(const StrategySummary&);
  };
  static constexpr Definition kDefinitions[] = {
      {"hypervolume", [](const StrategySummary& s) { return s.area.raw; }},
      {"hypervolume_union", [](const StrategySummary& s) { return s.union_area; }},
      {"hypervolume_chance", [](const StrategySummary& s) { return s.alternatives.hypervolume_chance; }},
      {"trapezoid_extended", [](const StrategySummary& s) { return s.alternatives.trapezoid_extended; }},
      {"trapezoid_front", [](const StrategySummary& s) { return s.alternatives.trapezoid_front; }},
      {"trapezoid_all", [](const StrategySummary& s) { return s.alternatives.trapezoid_all; }},
      {"mean_robust", [](const StrategySummary& s) { return s.alternatives.mean_robust; }}};
  std::vector<RankComparison> out;
  for (const Definition& definition : kDefinitions) {
    const Paired p = paired(d, summary, definition.value);
    if (p.ours.size() < kFewestRanks) return {};
    RankComparison r{.dataset = d.name, .definition = definition.name};
    r.strategies = static_cast<int64_t>(p.ours.size());
    r.spearman = spearman(p.paper, p.ours);
    r.kendall = kendall(p.paper, p.ours);
    r.chance = order_chance(p.paper, p.ours);
    r.slope = slope_through_origin(p.paper, p.ours);
    if (out.empty()) {
      r.spearman_interval = resampled_ranks(p, spearman, level);
      r.kendall_interval = resampled_ranks(p, kendall, level);
    }
    out.push_back(std::move(r));
  }
  return out;
}

}  // namespace

bool StudyCheck::refuted() const {
  return std::ranges::any_of(claims, [](const Claim& c) { return c.verdict() == Verdict::kRefuted; });
}

std::vector<std::string> StudyCheck::departures() const {
  std::vector<std::pair<std::string, std::vector<std::string>>> texts;  // each with its strategies
  for (const StudiedDataset& d : datasets) {
    for (const Departure& departure : d.departures) {
      auto known = std::ranges::find(texts, departure.text, [](const auto& entry) { return entry.first; });
      if (known == texts.end()) known = texts.insert(known, {departure.text, {}});
      std::vector<std::string>& strategies = known->second;
      if (!departure.strategy.empty() && std::ranges::find(strategies, departure.strategy) == strategies.end())
        strategies.push_back(departure.strategy);
    }
  }
  std::vector<std::string> out;
  for (const auto& [text, strategies] : texts)
    out.push_back(strategies.empty() ? text : fmt::format("{} ({})", text, fmt::join(strategies, ", ")));
  return out;
}

StudyCheck check_study(const Plan& plan, const StudyResults& results, const BootstrapOptions& options) {
  StudyCheck out;
  out.title = plan.title;
  out.analysis = analyse(results, options);
  out.datasets = planned_datasets(plan);
  out.planned = static_cast<int64_t>(plan.rows.size());
  for (StudiedDataset& d : out.datasets) {
    d.statistics = measure(results, d.name, options);
    for (const StrategyStatistics& s : d.statistics.strategies) d.done += s.runs;
    out.done += d.done;
    check_identity(d);
    if (d.paper == nullptr || !d.attacked || d.statistics.strategies.empty()) continue;
    const auto summary = std::ranges::find(out.analysis.datasets, d.name, &DatasetSummary::dataset);
    for (RankComparison& r : compare_ranks(d, *summary, options.level)) out.ranks.push_back(std::move(r));
  }
  out.claims = judge_claims(out.datasets, options.level);
  return out;
}

}  // namespace taut::study
