#include "study/check/parts.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "study/pareto.h"

namespace taut::study {
namespace {

void set_interval(ClaimPart& part, const Estimate& estimate) {
  part.value = estimate.value;
  part.low = estimate.low;
  part.high = estimate.high;
}

Resampled difference(const Resampled& a, const Resampled& b, double sign) {
  Resampled out;
  out.add(a, sign);
  out.add(b, -sign);
  return out;
}

// A rival's number against ours, with the interval of each level.
struct Rival {
  std::string strategy;
  Estimate plain, strict;
};

}  // namespace

ClaimPart above(std::string part, std::string quantity, const Resampled& confirms, const Resampled& refutes,
                double bound, double level) {
  ClaimPart out{.part = std::move(part), .quantity = std::move(quantity), .level = level};
  out.bound = fmt::format("> {:g}", bound);
  const Estimate low = confirms.estimate(level), high = refutes.estimate(level);
  set_interval(out, low);
  out.high = std::max(*out.high, high.high);
  if (*out.low > bound) {
    out.verdict = Verdict::kConfirmed;
  } else if (*out.high < bound) {
    out.verdict = Verdict::kRefuted;
  }
  return out;
}

ClaimPart below(std::string part, std::string quantity, const Resampled& confirms, const Resampled& refutes,
                double bound, double level) {
  ClaimPart out{.part = std::move(part), .quantity = std::move(quantity), .level = level};
  out.bound = fmt::format("< {:g}", bound);
  const Estimate high = confirms.estimate(level), low = refutes.estimate(level);
  set_interval(out, high);
  out.low = std::min(*out.low, low.low);
  if (*out.high < bound) {
    out.verdict = Verdict::kConfirmed;
  } else if (*out.low > bound) {
    out.verdict = Verdict::kRefuted;
  }
  return out;
}

ClaimPart within(std::string part, std::string quantity, const Resampled& number, double low, double high,
                 double level) {
  ClaimPart out{.part = std::move(part), .counts = false, .quantity = std::move(quantity), .level = level};
  out.bound = fmt::format("{:.4g} to {:.4g}", low, high);
  set_interval(out, number.estimate(level));
  if (*out.low >= low && *out.high <= high) {
    out.verdict = Verdict::kConfirmed;
  } else if (*out.high < low || *out.low > high) {
    out.verdict = Verdict::kRefuted;
  }
  return out;
}

ClaimPart extreme(std::string part, const DatasetStatistics& dataset, std::string_view strategy,
                  const Compared& compared, double level) {
  ClaimPart out{.part = std::move(part), .level = level, .bound = "> 0"};
  const StrategyStatistics* own = dataset.find(strategy);
  std::vector<std::string_view> missing;
  for (const std::string_view s : kPaperStrategies)
    if (dataset.find(s) == nullptr) missing.push_back(s);
  if (!missing.empty()) out.why = fmt::format("no done run of {}", fmt::join(missing, ", "));
  if (own == nullptr || dataset.strategies.size() < 2) return out;
  const double strict = 1 - (1 - level) / static_cast<double>(dataset.strategies.size() - 1);
  std::vector<Rival> rivals;
  for (const StrategyStatistics& s : dataset.strategies) {
    if (&s == own) continue;
    const Resampled apart = difference(own->*compared.number, s.*compared.number, compared.sign);
    rivals.push_back({s.strategy, apart.estimate(level), apart.estimate(strict)});
  }
  const auto describe = [&](const Rival& r, const Estimate& estimate) {
    out.quantity = compared.sign > 0 ? fmt::format("{} of {} minus that of {}", compared.name, strategy, r.strategy)
                                     : fmt::format("{} of {} minus that of {}", compared.name, r.strategy, strategy);
    set_interval(out, estimate);
  };
  const Rival& beaten = *std::ranges::min_element(rivals, {}, [](const Rival& r) { return r.strict.high; });
  const Rival& closest = *std::ranges::min_element(rivals, {}, [](const Rival& r) { return r.plain.low; });
  if (beaten.strict.high < 0) {
    describe(beaten, beaten.strict);
    out.level = strict;
    out.verdict = Verdict::kRefuted;
  } else {
    describe(closest, closest.plain);
    if (closest.plain.low > 0 && missing.empty()) out.verdict = Verdict::kConfirmed;
  }
  return out;
}

std::optional<Resampled> percent_above(const DatasetStatistics& dataset, std::string_view strategy) {
  std::vector<const Resampled*> areas;
  size_t own = 0;
  for (const std::string_view s : kPaperStrategies) {
    const StrategyStatistics* found = dataset.find(s);
    if (found == nullptr) return std::nullopt;
    if (s == strategy) own = areas.size();
    areas.push_back(&found->area);
  }
  const auto percent = [&](const auto& value_of) {
    std::vector<double> values;
    for (const Resampled* a : areas) values.push_back(value_of(*a));
    return percent_above_average(values)[own];
  };
  Resampled out{.raw = percent([](const Resampled& a) { return a.raw; }), .draws = {}};
  for (size_t b = 0; b < areas[0]->draws.size(); ++b)
    out.draws.push_back(percent([b](const Resampled& a) { return a.draws[b]; }));
  return out;
}

}  // namespace taut::study
