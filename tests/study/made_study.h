// Folders of finished studies without training: plan, results, metrics and verdicts as a run writes them.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "study/plan.h"

namespace taut::study {

struct MadeStudy {
  std::vector<std::string> datasets = {"fine", "easy"};
  std::vector<std::string> strategies = {"full", "lp", "lora", "adapter", "compacter", "ia3", "bitfit"};
  int64_t seeds = 1;
  std::vector<int64_t> steps = {0, 8, 16, 32, 64};
  int64_t images = 60;
  // Data sets whose runs attack nothing, so that clean images are counted as robust ones, and are judged on two other
  // domains.
  std::vector<std::string> unattacked = {};
};

// Writes the whole study and returns its plan. Robust accuracy rises and falls; the same options give the same bytes.
Plan make_study(const std::string& folder, const MadeStudy& options = {});

// Writes one run of it.
void make_run(const std::string& folder, const PlanRow& row, const MadeStudy& options);

}  // namespace taut::study
