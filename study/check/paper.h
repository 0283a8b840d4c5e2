// What the paper says (Li et al., On the Robustness Tradeoff in Fine-Tuning, ICCV 2025, arXiv 2503.14836), as facts a
// study is held against: its table of areas, the figures of its claims, its protocol.
//
// The table is known with two decimals, its text through summaries. "x % above average" is 100 (area - mean) / mean
// with the mean of the seven strategies. By that reading of the table itself, BitFit on CIFAR-10 and CIFAR-100 and
// Compacter on CUB-200 give the abstract's 81.5, 75.0 and 34.6 %; the abstract's 57.5 % for Caltech-256, however, is
// the column of Stanford Dogs, and Caltech-256 gives 24.0 %.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "study/plan.h"

namespace taut::study {

inline constexpr std::array<std::string_view, 7> kPaperStrategies = {"bitfit", "compacter", "lora", "adapter",
                                                                     "ia3",    "lp",        "full"};

struct PaperDataset {
  std::string_view name;         // as `taut data import` calls it
  std::string_view title;        // as people read it
  std::vector<int64_t> classes;  // outputs that make a head the paper's; `official` mode counts Caltech-256 as 258
  int64_t test_images;           // of the official test set; 0: there is none
  std::array<double, 7> areas;   // in the order of kPaperStrategies
  std::optional<double> abstract_says;  // percent above average of the best strategy, where the abstract says one
};
const std::vector<PaperDataset>& paper_datasets();

// The column of that name, however it is spelt (CIFAR-10, cifar_10, CUB-200-2011); nothing for others.
const PaperDataset* paper_dataset(const std::string& name);

// Which of the paper's data sets a small study puts this one in the place of (Caltech-101 for Caltech-256); "" for
// none.
std::string_view stands_for(const std::string& name);

bool is_domainnet(const std::string& name);  // a set trained on one of its domains

// The published area of a strategy. Nothing where the table has no such row.
std::optional<double> paper_area(const PaperDataset& dataset, const std::string& strategy);

// Percent above average of the strategy, as computed from the table, and the least and most that areas which round to
// the table's two decimals can give.
struct PaperPercent {
  double value = 0, low = 0, high = 0;
};
PaperPercent paper_percent(const PaperDataset& dataset, std::string_view strategy);

// One thing that is done otherwise: "attack.eps 1/1020 instead of 1/255", and the strategy, where the paper's value
// depends on it.
struct Departure {
  std::string text, strategy = {};
  bool operator==(const Departure&) const = default;
};

// What a run does otherwise than the paper's protocol, which is what the preset `paper` says of its data set and
// strategy; empty for the protocol itself.
std::vector<Departure> departures(const PlanRow& row);

}  // namespace taut::study
