#include "study/check/claims.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "study/check/parts.h"

namespace taut::study {
namespace {

ClaimPart impossible(std::string part, std::string why) {
  return {.part = std::move(part), .possible = false, .limit = std::move(why)};
}

ClaimPart waiting(std::string part, std::string why) { return {.part = std::move(part), .why = std::move(why)}; }

bool no_run(const StudiedDataset& d) { return d.statistics.strategies.empty(); }

CourseStatistics mean_course(const StudiedDataset& d, CourseStatistics StrategyStatistics::*member) {
  CourseStatistics mean;
  const double w = 1 / static_cast<double>(d.statistics.strategies.size());
  for (const StrategyStatistics& s : d.statistics.strategies)
    for (Resampled CourseStatistics::*number :
         {&CourseStatistics::rise, &CourseStatistics::fall, &CourseStatistics::rise_most, &CourseStatistics::fall_most,
          &CourseStatistics::peak, &CourseStatistics::peak_step, &CourseStatistics::end})
      (mean.*number).add(s.*member.*number, w);
  return mean;
}

// Which strategies alone would be confirmed and refuted, as a reader should know who carries a mean.
std::string one_by_one(const StudiedDataset& d, Resampled CourseStatistics::*apart, Resampled CourseStatistics::*most,
                       double level) {
  std::vector<std::string> yes, no;
  for (const StrategyStatistics& s : d.statistics.strategies) {
    if ((s.robust.*apart).estimate(level).low > kOnePoint)
      yes.push_back(s.strategy);
    else if ((s.robust.*most).estimate(level).high < kOnePoint)
      no.push_back(s.strategy);
  }
  std::string out = fmt::format("alone: {} of {} strategies", yes.size(), d.statistics.strategies.size());
  if (!yes.empty() && yes.size() < d.statistics.strategies.size()) out += fmt::format(" ({})", fmt::join(yes, ", "));
  if (!no.empty()) out += fmt::format("; not: {}", fmt::join(no, ", "));
  return out;
}

// What ends before the paper's courses have fallen cannot say that its own will not.
void leave_open(ClaimPart& part, std::string why) {
  part.refutable = false;
  if (part.verdict == Verdict::kRefuted) part.verdict = Verdict::kUndecided;
  part.limit = std::move(why);
}

void add_course_parts(const StudiedDataset& d, double level, std::vector<ClaimPart>& parts) {
  const int64_t updates = d.updates > 0 ? d.updates : d.statistics.last_step;
  const bool papers = d.paper != nullptr && d.departures.empty();
  const bool shorter = updates > 0 && updates < kEarlySteps && !papers;
  const std::string ends = fmt::format("the course ends after {} updates, so a fall may come later", updates);
  if (no_run(d)) {
    parts.push_back(waiting(d.name + ": rises, then falls", "no run is done"));
    if (shorter) leave_open(parts.back(), ends);
    return;
  }
  if (!d.statistics.course) {
    parts.push_back(impossible(d.name + ": rises, then falls", "a course takes three evaluations of every run"));
    return;
  }
  const CourseStatistics mean = mean_course(d, &StrategyStatistics::robust);
  ClaimPart rise = above(d.name + ": rise", "robust accuracy, peak minus first evaluation, mean over strategies",
                         mean.rise, mean.rise_most, kOnePoint, level);
  rise.why = one_by_one(d, &CourseStatistics::rise, &CourseStatistics::rise_most, level);
  if (!d.statistics.from_start)
    leave_open(rise, "the first evaluation is after the first update, so a rise may have gone before");
  ClaimPart fall = above(d.name + ": fall", "robust accuracy, peak minus last evaluation, mean over strategies",
                         mean.fall, mean.fall_most, kOnePoint, level);
  fall.why = one_by_one(d, &CourseStatistics::fall, &CourseStatistics::fall_most, level);
  if (shorter) leave_open(fall, ends);
  parts.push_back(std::move(rise));
  parts.push_back(std::move(fall));
}

// "On Caltech-256 all methods reach about 90 % accuracy within 1,000 steps while robust accuracy peaks near 25 % around
// step 400 and declines to about 10 %": about is within five points, around within a factor of two.
void add_caltech_sizes(const StudiedDataset& d, double level, std::vector<ClaimPart>& parts) {
  const CourseStatistics mean = mean_course(d, &StrategyStatistics::robust);
  const StrategyStatistics* least = nullptr;
  for (const StrategyStatistics& s : d.statistics.strategies)
    if (least == nullptr || s.early_clean.raw < least->early_clean.raw) least = &s;
  parts.push_back(within(d.name + ": 90 % within 1,000 steps",
                         fmt::format("best clean accuracy by then of {}, the lowest", least->strategy),
                         least->early_clean, 0.85, 1, level));
  parts.push_back(within(d.name + ": peak near 25 %", "robust accuracy at its peak, mean over strategies", mean.peak,
                         0.2, 0.3, level));
  parts.push_back(within(d.name + ": peak around step 400", "step of the peak, mean over strategies", mean.peak_step,
                         200, 800, level));
  parts.push_back(within(d.name + ": declines to 10 %", "robust accuracy at the end, mean over strategies", mean.end,
                         0.05, 0.15, level));
}

Claim course_claim(const std::vector<StudiedDataset>& datasets, double level) {
  Claim claim{.number = 1, .statement = "robustness rises first and falls later"};
  for (const StudiedDataset& d : datasets) {
    if (!d.attacked) continue;
    add_course_parts(d, level, claim.parts);
    const bool papers = d.paper != nullptr && d.paper->name == "caltech256" && d.departures.empty();
    if (papers && !no_run(d) && d.statistics.course) add_caltech_sizes(d, level, claim.parts);
  }
  if (claim.parts.empty()) claim.parts.push_back(impossible("rises, then falls", "nothing is attacked in this study"));
  return claim;
}

// The size of "x % above average", against what the rounded table allows.
ClaimPart size_part(const StudiedDataset& d, std::string_view strategy, double level) {
  ClaimPart part{.part = d.name + ": size", .counts = false};
  const PaperPercent paper = paper_percent(*d.paper, strategy);
  if (d.paper->abstract_says && std::abs(*d.paper->abstract_says - paper.value) > 0.5)
    part.why = fmt::format(
        "the abstract says {} % here, which is the table's Stanford Dogs column; its {} column gives {:.1f} %",
        *d.paper->abstract_says, d.paper->title, paper.value);
  const std::optional<Resampled> percent = percent_above(d.statistics, strategy);
  if (!percent) {
    part.why = "the mean takes all seven strategies" + (part.why.empty() ? "" : "; " + part.why);
    return part;
  }
  const std::string why = part.why;
  part = within(part.part, fmt::format("area of {}, percent above the mean of the seven", strategy), *percent,
                paper.low, paper.high, level);
  part.why = why;
  if (!d.departures.empty()) {
    part.verdict = Verdict::kUndecided;
    part.why = "not the paper's protocol" + (why.empty() ? "" : "; " + why);
  }
  return part;
}

void add_best_parts(const std::vector<StudiedDataset>& datasets, std::string_view wanted, std::string_view strategy,
                    double level, bool counts, Claim& claim) {
  std::string instead, others;
  for (const StudiedDataset& d : datasets) {
    if (d.paper != nullptr && d.paper->name == wanted) {
      const std::string part = d.name + ": best";
      if (!d.attacked) {
        claim.parts.push_back(impossible(part, "its runs are not attacked"));
        claim.parts.back().counts = counts;
        return;
      }
      claim.parts.push_back(no_run(d)
                                ? waiting(part, "no run is done")
                                : extreme(part, d.statistics, strategy, {&StrategyStatistics::area, "area", 1}, level));
      claim.parts.back().counts = counts;
      claim.parts.push_back(size_part(d, strategy, level));
      return;
    }
    if (stands_for(d.name) == wanted && d.attacked) instead = d.name;
    if (!d.not_the_papers.empty() && paper_dataset(d.name)->name == wanted) others = d.not_the_papers;
  }
  if (!counts && instead.empty()) return;
  std::string why = others.empty() ? "not in this study" : others;
  if (!instead.empty()) why += fmt::format("; {} is another task", instead);
  if (counts) claim.parts.push_back(impossible(fmt::format("{}: best", wanted), why));
  for (const StudiedDataset& d : datasets) {
    if (d.name != instead || no_run(d)) continue;
    ClaimPart part = extreme(d.name + ": best", d.statistics, strategy, {&StrategyStatistics::area, "area", 1}, level);
    part.why = fmt::format("in the place of {}: {} here, which decides nothing about the claim{}{}", wanted,
                           name(part.verdict), part.why.empty() ? "" : "; ", part.why);
    part.verdict = Verdict::kUndecided;
    part.counts = false;
    claim.parts.push_back(std::move(part));
  }
}

void add_domain_parts(const StudiedDataset& d, double level, std::vector<ClaimPart>& parts) {
  if (no_run(d) || !d.statistics.domains) {
    parts.push_back(waiting(d.name + ": out of domain",
                            no_run(d) ? "no run is done" : "a run lacks its verdicts on the other domains"));
    return;
  }
  ClaimPart tracks = above(
      d.name + ": tracks",
      fmt::format("correlation of accuracy out of and in domain (probits, {} evaluations)", d.statistics.evaluations),
      d.statistics.correlation, d.statistics.correlation, kTracks, level);
  if (d.statistics.evaluations < 3) {
    tracks.verdict = Verdict::kUndecided;
    tracks.why = "takes three evaluations after the first update";
  }
  parts.push_back(std::move(tracks));
  if (d.statistics.course) {
    const CourseStatistics mean = mean_course(d, &StrategyStatistics::domains);
    parts.push_back(below(d.name + ": no trade-off",
                          "accuracy out of domain, peak minus last evaluation, mean over strategies", mean.fall_most,
                          mean.fall, kOnePoint, level));
  }
  for (const auto& [strategy, what, sign] : {std::tuple{"full", "full highest", 1.0}, {"lp", "lp lowest", -1.0}})
    parts.push_back(extreme(fmt::format("{}: {}", d.name, what), d.statistics, strategy,
                            {&StrategyStatistics::out, "accuracy out of domain", sign}, level));
}

// Full fine-tuning 73 % +- 2, linear probing 61 % +- 5, 64 % +- 5 and so lower where the training domain is close to
// the pre-training, which of DomainNet's is `real`; means over the training domains.
void add_domainnet_sizes(const std::vector<StudiedDataset>& datasets, double level, std::vector<ClaimPart>& parts) {
  std::vector<const StudiedDataset*> real, others;
  for (const StudiedDataset& d : datasets) {
    if (!is_domainnet(d.name) || !d.departures.empty() || !d.statistics.domains) continue;
    (d.domain == "real" ? real : others).push_back(&d);
  }
  std::vector<const StudiedDataset*> all = real;
  all.insert(all.end(), others.begin(), others.end());
  if (all.empty()) return;
  const auto one = [&](std::string_view strategy, double low, double high) {
    Resampled mean;
    for (const StudiedDataset* d : all) {
      const StrategyStatistics* s = d->statistics.find(strategy);
      if (s == nullptr) return;
      mean.add(s->out, 1 / static_cast<double>(all.size()));
    }
    parts.push_back(within(fmt::format("domainnet: size of {}", strategy), "accuracy out of domain, mean over domains",
                           mean, low, high, level));
  };
  one("full", 0.71, 0.75);
  one("lp", 0.56, 0.66);
  if (real.empty()) return;
  Resampled near, lower;
  for (const auto& [group, sign] : {std::pair{&real, -1.0}, {&others, 1.0}}) {
    for (const StudiedDataset* d : *group) {
      const double w = 1 / static_cast<double>(group->size() * d->statistics.strategies.size());
      for (const StrategyStatistics& s : d->statistics.strategies) {
        if (sign < 0) near.add(s.out, w);
        lower.add(s.out, sign * w);
      }
    }
  }
  parts.push_back(within("domainnet: size trained on real", "accuracy out of domain, mean over strategies", near, 0.59,
                         0.69, level));
  if (others.empty()) return;
  ClaimPart part = above("domainnet: lower trained on real",
                         "accuracy out of domain, other training domains minus real", lower, lower, 0, level);
  part.counts = false;
  parts.push_back(std::move(part));
}

Claim domain_claim(const std::vector<StudiedDataset>& datasets, double level) {
  Claim claim{.number = 4,
              .statement = "accuracy on other domains tracks accuracy, full fine-tuning highest, linear probe lowest"};
  for (const StudiedDataset& d : datasets)
    if (d.judges_domains) add_domain_parts(d, level, claim.parts);
  add_domainnet_sizes(datasets, level, claim.parts);
  if (claim.parts.empty())
    claim.parts.push_back(impossible("out of domain", "no data set of this study is judged on other domains"));
  return claim;
}

}  // namespace

const char* name(Verdict verdict) {
  switch (verdict) {
    case Verdict::kConfirmed: return "confirmed";
    case Verdict::kRefuted: return "refuted";
    case Verdict::kUndecided: return "undecided";
  }
  return "undecided";
}

Verdict Claim::verdict() const {
  bool all = false;
  for (const ClaimPart& p : parts) {
    if (!p.counts) continue;
    if (p.verdict == Verdict::kRefuted) return Verdict::kRefuted;
    all = true;
  }
  const auto confirmed = [](const ClaimPart& p) { return !p.counts || p.verdict == Verdict::kConfirmed; };
  return all && std::ranges::all_of(parts, confirmed) ? Verdict::kConfirmed : Verdict::kUndecided;
}

std::string Claim::speaks() const {
  int64_t can = 0, fully = 0, all = 0;
  for (const ClaimPart& p : parts) {
    if (!p.counts) continue;
    ++all;
    can += p.possible;
    fully += p.possible && p.refutable;
  }
  return can == 0 ? "no" : fully == all ? "yes" : "in part";
}

std::vector<Claim> judge_claims(const std::vector<StudiedDataset>& datasets, double level) {
  std::vector<Claim> claims = {course_claim(datasets, level)};
  claims.push_back({.number = 2, .statement = "BitFit is best on simple tasks", .parts = {}});
  for (const char* d : {"cifar10", "cifar100"}) add_best_parts(datasets, d, "bitfit", level, true, claims.back());
  claims.push_back({.number = 3, .statement = "Compacter is best on complex tasks", .parts = {}});
  for (const char* d : {"caltech256", "cub200"}) add_best_parts(datasets, d, "compacter", level, true, claims.back());
  add_best_parts(datasets, "stanford_dogs", "compacter", level, false, claims.back());
  claims.push_back(domain_claim(datasets, level));
  return claims;
}

}  // namespace taut::study
