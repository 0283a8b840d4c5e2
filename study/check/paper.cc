#include "study/check/paper.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <cmath>
#include <set>

#include "study/pareto.h"
#include "study/presets.h"
#include "study/schedule.h"

namespace taut::study {
namespace {

constexpr double kRounding = 0.005;  // the table has two decimals

// Lower-case letters and digits alone.
std::string plain(std::string_view name) {
  std::string out;
  for (const char c : name) {
    const auto u = static_cast<unsigned char>(c);
    if (std::isalnum(u) != 0) out += static_cast<char>(std::tolower(u));
  }
  return out;
}

size_t row_of(std::string_view strategy) {
  return static_cast<size_t>(std::ranges::find(kPaperStrategies, strategy) - kPaperStrategies.begin());
}

bool same(double a, double b) { return std::abs(a - b) <= 1e-4 * std::abs(b); }

// The preset's row that a row is held against: of its data set, or of CIFAR-10 for one that is not the paper's, under
// its strategy, in its mode.
const PlanRow& papers_row(const PlanRow& row) {
  const auto plan_of = [](const char* mode) {
    return make_plan(preset("paper").text, "paper", Source::kPreset, {std::string("study.mode=") + mode});
  };
  static const Plan fixed = plan_of("fixed"), official = plan_of("official");
  const Plan& plan = row.config.text("study.mode") == "official" ? official : fixed;
  const PaperDataset* known = paper_dataset(row.dataset);
  const std::string dataset(known != nullptr ? known->name : is_domainnet(row.dataset) ? "domainnet-real" : "cifar10");
  const bool compared = std::ranges::find(kPaperStrategies, row.strategy) != kPaperStrategies.end();
  const std::string strategy = compared ? row.strategy : "full";
  return *std::ranges::find_if(plan.rows,
                               [&](const PlanRow& r) { return r.dataset == dataset && r.strategy == strategy; });
}

// What the released code sets by the strategy.
bool is_of_strategy(std::string_view key) {
  static const std::set<std::string_view> hinted = {"train.lr", "train.weight_decay", "train.warmup", "train.schedule"};
  return hinted.contains(key) || key.starts_with("peft.");
}

// Whether a setting is a part of how the paper trains, attacks and evaluates. Not: what the run is about, what has
// words of its own in departures(), what only a module has that the strategy is without, and what changes no number but
// by rounding.
bool is_protocol(std::string_view key, std::string_view strategy, int64_t steps, bool attacked) {
  static const std::set<std::string_view> about = {"model.weights",
                                                   "model.delta",
                                                   "model.strategy",
                                                   "model.classes",
                                                   "model.flavour",
                                                   "model.precision",
                                                   "data.path",
                                                   "data.sha256",
                                                   "data.fallback",
                                                   "data.labels",
                                                   "data.split",
                                                   "data.domain",
                                                   "data.classes",
                                                   "data.limit",
                                                   "data.train_limit",
                                                   "data.cache",
                                                   "data.root",
                                                   "data.short_side",
                                                   "train.steps",
                                                   "train.log_every",
                                                   "train.checkpoint_every",
                                                   "train.keep",
                                                   "eval.points",
                                                   "eval.n",
                                                   "eval.per_class",
                                                   "eval.batch",
                                                   "eval.train_n",
                                                   "eval.shifts",
                                                   "eval.domains",
                                                   "eval.domains_attack",
                                                   "eval.keep_images",
                                                   "attack.targets",
                                                   "study.mode",
                                                   "seed",
                                                   "threads"};
  if (about.contains(key) || key.starts_with("pretrain.") || key.starts_with("model.allow")) return false;
  if (key == "train.epochs") return steps == 0;
  if (key.starts_with("attack.") && key != "attack.name") return attacked;
  if (key == "peft.rank" || key == "peft.alpha") return strategy == "lora";
  if (key.starts_with("peft.phm")) return strategy == "compacter";
  if (key.starts_with("peft.")) return strategy == "adapter" || strategy == "compacter";
  return std::ranges::find(kPaperStrategies, strategy) != kPaperStrategies.end() || !is_of_strategy(key);
}

// Also the same: what is left to the model, which the ViT of the paper has so; both schedules the paper may have used.
bool same_value(const Key& key, const Config& c, const Config& paper) {
  const std::string &ours = c.value_text(key.name), &theirs = paper.value_text(key.name);
  if (ours == theirs) return true;
  if (key.name == "eval.schedule") return ours != "list";
  if (key.name == "model.image_size") return ours == "224" || ours == "0";
  if (key.name.starts_with("data.") && (ours.empty() || ours == "auto")) return true;
  switch (key.type) {
    case KeyType::kInteger: return c.integer(key.name) == paper.integer(key.name);
    case KeyType::kNumber: return same(c.number(key.name), paper.number(key.name));
    case KeyType::kNumbers: return std::ranges::equal(c.numbers(key.name), paper.numbers(key.name), same);
    default: return false;
  }
}

double percent(const PaperDataset& dataset, size_t row, double own, double others) {
  std::vector<double> areas;
  for (size_t s = 0; s < dataset.areas.size(); ++s) areas.push_back(dataset.areas[s] + (s == row ? own : others));
  return percent_above_average(areas)[row];
}

}  // namespace

const std::vector<PaperDataset>& paper_datasets() {
  static const std::vector<PaperDataset> datasets = {
      {"cifar10", "CIFAR-10", {10}, 10000, {0.21, 0.09, 0.14, 0.12, 0.08, 0.06, 0.11}, 81.5},
      {"cifar100", "CIFAR-100", {100}, 10000, {0.10, 0.06, 0.07, 0.05, 0.05, 0.03, 0.04}, 75.0},
      {"caltech256", "Caltech-256", {257, 258}, 0, {0.33, 0.34, 0.23, 0.21, 0.31, 0.24, 0.26}, 57.5},
      {"cub200", "CUB-200", {200}, 5794, {0.14, 0.15, 0.12, 0.07, 0.13, 0.08, 0.09}, 34.6},
      {"stanford_dogs", "Stanford Dogs", {120}, 8580, {0.08, 0.09, 0.06, 0.05, 0.05, 0.02, 0.05}, std::nullopt}};
  return datasets;
}

const PaperDataset* paper_dataset(const std::string& name) {
  const std::string wanted = plain(name);
  for (const PaperDataset& d : paper_datasets())
    if (plain(d.name) == wanted) return &d;
  if (wanted == "cub2002011" || wanted == "cub") return paper_dataset("cub200");
  if (wanted == "dogs") return paper_dataset("stanford_dogs");
  return nullptr;
}

std::string_view stands_for(const std::string& name) {
  const std::string wanted = plain(name);
  if (wanted == "caltech101") return "caltech256";
  if (wanted == "grocery81") return "cub200";
  return "";
}

bool is_domainnet(const std::string& name) { return plain(name).starts_with("domainnet"); }

std::optional<double> paper_area(const PaperDataset& dataset, const std::string& strategy) {
  const size_t row = row_of(strategy);
  return row < dataset.areas.size() ? std::optional(dataset.areas[row]) : std::nullopt;
}

PaperPercent paper_percent(const PaperDataset& dataset, std::string_view strategy) {
  const size_t row = row_of(strategy);
  return {percent(dataset, row, 0, 0), percent(dataset, row, -kRounding, kRounding),
          percent(dataset, row, kRounding, -kRounding)};
}

std::vector<Departure> departures(const PlanRow& row) {
  const Config &c = row.config, &paper = papers_row(row).config;
  std::vector<Departure> out;
  const std::string& weights = c.text("model.weights");
  if (weights.empty() || weights == "procedural")
    out.push_back(
        {weights.empty() ? "random weights instead of pre-trained ones" : "pre-trained on procedural images"});
  if (!c.integers("data.classes").empty()) out.push_back({"a part of the classes"});
  for (const char* key : {"data.limit", "data.train_limit"})
    if (c.integer(key) > 0) out.push_back({fmt::format("{} {} instead of all images", key, c.integer(key))});
  for (const char* key : {"eval.n", "eval.per_class"})
    if (c.integer(key) > 0) out.push_back({fmt::format("{} {} instead of the whole test set", key, c.integer(key))});
  const int64_t steps = c.integer("train.steps");
  if (steps > 0 && steps != kProtocolSteps)
    out.push_back({fmt::format("train.steps {} instead of 20 epochs ({} on CIFAR)", steps, kProtocolSteps)});
  for (const Key& key : all_keys()) {
    if (!is_protocol(key.name, row.strategy, steps, is_attacked(paper) && is_attacked(c))) continue;
    if (same_value(key, c, paper)) continue;
    const std::string theirs = key.name == "model.image_size" ? "224" : paper.value_text(key.name);
    out.push_back({fmt::format("{} {} instead of {}", key.name, c.value_text(key.name), theirs),
                   is_of_strategy(key.name) ? row.strategy : ""});
  }
  return out;
}

}  // namespace taut::study
