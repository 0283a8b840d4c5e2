#include "study/check/paper.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <cmath>

#include "study/pareto.h"
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

bool same(double a, double b) { return std::abs(a - b) <= 1e-4 * b; }

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

std::vector<std::string> departures(const PlanRow& row) {
  const Config& c = row.config;
  std::vector<std::string> out;
  const auto differs = [&](const std::string& key, bool same, const std::string& paper) {
    if (!same) out.push_back(fmt::format("{} {} instead of {}", key, c.value_text(key), paper));
  };
  differs("model.name", c.text("model.name") == "vit_base_patch16_224", "vit_base_patch16_224");
  const std::string& weights = c.text("model.weights");
  if (weights.empty() || weights == "procedural")
    out.push_back(weights.empty() ? "random weights instead of pre-trained ones" : "pre-trained on procedural images");
  const int64_t side = c.integer("model.image_size");
  differs("model.image_size", side == 0 || side == 224, "224");
  if (!c.integers("data.classes").empty()) out.emplace_back("a part of the classes");
  for (const char* key : {"data.limit", "data.train_limit"})
    if (c.integer(key) > 0) out.push_back(fmt::format("{} {} instead of all images", key, c.integer(key)));
  differs("attack.name", c.text("attack.name") == "pgd", "pgd");
  differs("attack.norm", c.text("attack.norm") == "linf", "linf");
  differs("attack.eps", same(c.number("attack.eps"), 1.0 / 255), "1/255");
  differs("attack.alpha", same(c.number("attack.alpha"), 1.0 / 1020), "1/1020");
  differs("attack.steps", c.integer("attack.steps") == 15, "15");
  differs("attack.random_start", c.flag("attack.random_start"), "true");
  differs("attack.loss", c.text("attack.loss") == "ce", "ce");
  differs("attack.restarts", c.integer("attack.restarts") == 1, "1");
  differs("train.batch", c.integer("train.batch") == 128, "128");
  const int64_t steps = c.integer("train.steps");
  if (steps > 0) {
    differs("train.steps", steps == kProtocolSteps, fmt::format("20 epochs ({} on CIFAR)", kProtocolSteps));
  } else {
    differs("train.epochs", c.integer("train.epochs") == 20, "20");
  }
  for (const char* key : {"eval.n", "eval.per_class"})
    if (c.integer(key) > 0) out.push_back(fmt::format("{} {} instead of the whole test set", key, c.integer(key)));
  return out;
}

}  // namespace taut::study
