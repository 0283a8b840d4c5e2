// What a check prints: flat rows for programs, Markdown for people.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "study/check/check.h"
#include "study/report/looks.h"
#include "study/report/markup.h"
#include "study/report/tables.h"

namespace taut::study {
namespace {

const DatasetSummary* summary_of(const StudyCheck& check, const std::string& dataset) {
  const auto it = std::ranges::find(check.analysis.datasets, dataset, &DatasetSummary::dataset);
  return it == check.analysis.datasets.end() ? nullptr : &*it;
}

const StudiedDataset* studied(const StudyCheck& check, const PaperDataset& paper) {
  const auto it = std::ranges::find(check.datasets, &paper, &StudiedDataset::paper);
  return it == check.datasets.end() || !it->attacked ? nullptr : &*it;
}

const StrategySummary* strategy_of(const StudyCheck& check, const std::string& dataset, const std::string& strategy) {
  const DatasetSummary* summary = summary_of(check, dataset);
  if (summary == nullptr) return nullptr;
  const auto it = std::ranges::find(summary->strategies, strategy, &StrategySummary::strategy);
  return it == summary->strategies.end() || it->done == 0 ? nullptr : &*it;
}

// The paper's strategies in its order, then the study's others.
std::vector<std::string> all_strategies(const StudyCheck& check) {
  std::vector<std::string> out(kPaperStrategies.begin(), kPaperStrategies.end());
  for (const std::string& s : check.analysis.strategies)
    if (std::ranges::find(out, s) == out.end()) out.push_back(s);
  return out;
}

std::string label(const std::string& strategy) { return look_of(strategy, 0).label; }

Row area_row(const StudyCheck& check, const std::string& dataset, const PaperDataset* paper, const StudiedDataset* ours,
             const std::string& strategy) {
  Row row = {{"dataset", dataset}, {"strategy", strategy}};
  for (const char* key : {"paper", "area", "low", "high", "paper_percent_above_average", "percent_above_average"})
    row[key] = nullptr;
  if (paper != nullptr) {
    if (const auto published = paper_area(*paper, strategy)) {
      row["paper"] = *published;
      row["paper_percent_above_average"] = paper_percent(*paper, strategy).value;
    }
  }
  const StrategySummary* s = ours == nullptr ? nullptr : strategy_of(check, dataset, strategy);
  row["runs"] = s == nullptr ? 0 : s->done;
  if (s == nullptr) return row;
  row["area"] = s->area.value;
  row["low"] = s->area.low;
  row["high"] = s->area.high;
  row["percent_above_average"] = s->percent_above_average;
  return row;
}

std::string interval(double low, double high) { return fmt::format("[{:.3g}, {:.3g}]", low, high); }

std::string area_table(const StudyCheck& check) {
  std::vector<Row> rows;
  for (const std::string& strategy : all_strategies(check)) {
    Row row = {{"strategy", label(strategy)}};
    bool any = false;
    const auto cell = [&](const std::string& title, const PaperDataset* paper, const StudiedDataset* ours) {
      const std::optional<double> published = paper == nullptr ? std::nullopt : paper_area(*paper, strategy);
      const StrategySummary* s = ours == nullptr ? nullptr : strategy_of(check, ours->name, strategy);
      std::string text = published ? fmt::format("{:.2f} / ", *published) : "";
      text += s == nullptr ? "-" : fmt::format("{:.3f} [{:.3f}, {:.3f}]", s->area.value, s->area.low, s->area.high);
      any = any || published || s != nullptr;
      row[title] = text;
    };
    for (const PaperDataset& paper : paper_datasets()) cell(std::string(paper.title), &paper, studied(check, paper));
    for (const StudiedDataset& d : check.datasets)
      if (d.paper == nullptr && d.attacked) cell(d.name, nullptr, &d);
    if (any) rows.push_back(std::move(row));
  }
  return to_text(rows, Format::kMarkdown);
}

std::string rank_table(const StudyCheck& check) {
  std::vector<Row> rows;
  for (const RankComparison& r : check.ranks) {
    const auto with = [](double v, const std::optional<Estimate>& e) {
      return fmt::format("{:.2f}", v) + (e ? fmt::format(" [{:.2f}, {:.2f}]", e->low, e->high) : "");
    };
    rows.push_back({{"data set", r.dataset},
                    {"area", r.definition},
                    {"strategies", r.strategies},
                    {"Spearman", with(r.spearman, r.spearman_interval)},
                    {"Kendall", with(r.kendall, r.kendall_interval)},
                    {"p of no connection", fmt::format("{:.3f}", r.chance)},
                    {"slope", fmt::format("{:.2f}", r.slope)}});
  }
  return to_text(rows, Format::kMarkdown);
}

std::string remark(const ClaimPart& part) {
  return part.limit + (part.limit.empty() || part.why.empty() ? "" : "; ") + part.why;
}

std::string part_table(const Claim& claim) {
  std::vector<Row> rows;
  for (const ClaimPart& p : claim.parts) {
    std::string number;
    if (p.value) number = fmt::format("{:.3g} {}", *p.value, interval(*p.low, *p.high));
    if (p.value && p.level != 0.95) number += fmt::format(" at {:.4g} %", 100 * p.level);
    rows.push_back({{"part", p.part},
                    {"verdict", name(p.verdict)},
                    {"counts", p.counts ? "yes" : "no"},
                    {"measured", p.quantity},
                    {"value", number},
                    {"bound", p.bound},
                    {"remark", remark(p)}});
  }
  return to_text(rows, Format::kMarkdown);
}

// What the study cannot say of a claim, each once.
std::string remark(const Claim& claim) {
  std::vector<std::string> limits;
  for (const ClaimPart& p : claim.parts) {
    if (!p.counts || p.limit.empty()) continue;
    std::string limit = p.possible ? p.limit : fmt::format("{}: {}", p.part, p.limit);
    if (std::ranges::find(limits, limit) == limits.end()) limits.push_back(std::move(limit));
  }
  return fmt::format("{}", fmt::join(limits, "; "));
}

std::string seeds(const StudyCheck& check) {
  int64_t fewest = 0;
  for (const StudiedDataset& d : check.datasets) {
    if (d.done == 0) continue;
    fewest = fewest == 0 ? d.statistics.fewest_runs() : std::min(fewest, d.statistics.fewest_runs());
  }
  if (fewest > 1) return "Intervals are over test images and over the runs of a strategy.";
  return "A strategy has one run here, so intervals are over test images alone: nothing is known of another seed.";
}

}  // namespace

std::vector<Row> claim_rows(const StudyCheck& check) {
  std::vector<Row> rows;
  const std::string conditions = check.departures().empty() ? "the paper's" : "its own";
  for (const Claim& claim : check.claims) {
    const std::string title = fmt::format("{}: {}", claim.number, claim.statement);
    rows.push_back({{"claim", title},
                    {"part", "claim"},
                    {"verdict", name(claim.verdict())},
                    {"speaks", claim.speaks()},
                    {"conditions", conditions},
                    {"counts", true},
                    {"measured", ""},
                    {"value", nullptr},
                    {"low", nullptr},
                    {"high", nullptr},
                    {"level", nullptr},
                    {"bound", ""},
                    {"remark", remark(claim)}});
    for (const ClaimPart& p : claim.parts) {
      Row row = {{"claim", title},
                 {"part", p.part},
                 {"verdict", name(p.verdict)},
                 {"speaks", !p.possible   ? "no"
                            : p.refutable ? "yes"
                                          : "in part"},
                 {"conditions", conditions},
                 {"counts", p.counts},
                 {"measured", p.quantity}};
      for (const auto& [key, value] : {std::pair{"value", p.value}, {"low", p.low}, {"high", p.high}})
        row[key] = value ? Row(*value) : Row(nullptr);
      row["level"] = p.value ? Row(p.level) : Row(nullptr);
      row["bound"] = p.bound;
      row["remark"] = remark(p);
      rows.push_back(std::move(row));
    }
  }
  return rows;
}

std::vector<Row> area_rows(const StudyCheck& check) {
  std::vector<Row> rows;
  for (const PaperDataset& paper : paper_datasets()) {
    const StudiedDataset* ours = studied(check, paper);
    for (const std::string& strategy : all_strategies(check))
      rows.push_back(area_row(check, ours == nullptr ? std::string(paper.name) : ours->name, &paper, ours, strategy));
  }
  for (const StudiedDataset& d : check.datasets)
    if (d.paper == nullptr && d.attacked)
      for (const std::string& strategy : check.analysis.strategies)
        rows.push_back(area_row(check, d.name, nullptr, &d, strategy));
  return rows;
}

std::vector<Row> rank_rows(const StudyCheck& check) {
  std::vector<Row> rows;
  for (const RankComparison& r : check.ranks) {
    Row row = {{"dataset", r.dataset}, {"definition", r.definition}, {"strategies", r.strategies}};
    for (const auto& [key, value, estimate] :
         {std::tuple{"spearman", r.spearman, r.spearman_interval}, {"kendall", r.kendall, r.kendall_interval}}) {
      row[key] = value;
      row[fmt::format("{}_low", key)] = estimate ? Row(estimate->low) : Row(nullptr);
      row[fmt::format("{}_high", key)] = estimate ? Row(estimate->high) : Row(nullptr);
    }
    row["p"] = r.chance;
    row["slope"] = r.slope;
    rows.push_back(std::move(row));
  }
  return rows;
}

std::string check_markdown(const StudyCheck& check) {
  std::string out = fmt::format("{}: {} of {} planned runs are done. {}\n", markdown_text(check.title), check.done,
                                check.planned, seeds(check));
  const std::vector<std::string> departures = check.departures();
  if (!departures.empty())
    out += fmt::format(
        "\nNot the paper's protocol: {}. A verdict says whether a claim holds under these conditions; it neither "
        "confirms nor refutes the paper's own figures.\n",
        fmt::join(departures, "; "));
  out += "\n### Areas\n\nArea under the Pareto front: the paper's / ours [95 % interval].\n\n" + area_table(check);
  out += "\n### Order of the strategies\n\n";
  out +=
      check.ranks.empty()
          ? "No data set of the paper has areas of three strategies here, so no order is compared.\n"
          : "Rank correlation of our areas with the paper's [95 % interval], how often chance alone gives one as far "
            "from 0, and the slope of ours on the paper's through the origin (1: equal sizes).\n\n" +
                rank_table(check);
  out += "\n### Claims\n\n";
  std::vector<Row> summary;
  for (const Claim& claim : check.claims)
    summary.push_back({{"claim", fmt::format("{}: {}", claim.number, claim.statement)},
                       {"verdict", name(claim.verdict())},
                       {"can this study speak about it", claim.speaks()},
                       {"because", remark(claim)}});
  out += to_text(summary, Format::kMarkdown);
  for (const Claim& claim : check.claims)
    out += fmt::format("\n{}: {}\n\n", claim.number, claim.statement) + part_table(claim);
  const PaperDataset& caltech = *paper_dataset("caltech256");
  out += fmt::format(
      "\nThe paper's abstract gives {} % above average for Compacter on Caltech-256. By the paper's own table that is "
      "the "
      "Stanford Dogs column ({:.1f} %); the Caltech-256 column gives {:.1f} %.\n",
      *caltech.abstract_says, paper_percent(*paper_dataset("stanford_dogs"), "compacter").value,
      paper_percent(caltech, "compacter").value);
  return out;
}

}  // namespace taut::study
