// A study in TOML becomes a plan: data sets x settings x strategies x seeds, one row a run.
//
//   model.name = "vit_demo"              settings of every run, the same keys as everywhere
//   [study]    title, strategies = ["full", "lora"], seeds = [0, 1], mode = "fixed"
//   [[study.dataset]]   name = "fine", and settings of its runs
//   [[study.setting]]   name = "r4", settings of its runs, and, where it is not for all of them, strategies, datasets
//                       and seeds
//   [study.strategy.lora]   settings of that strategy's runs
// The stronger comes later: file, data set, strategy, setting, environment, command line.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "study/config.h"

namespace taut::study {

struct PlanRow {
  std::string run_id;  // <dataset>-<strategy>-<variant>-s<seed>-<first 8 digits of the settings' hash>
  std::string dataset, strategy, variant;
  Config config;
  std::vector<std::string> notes;  // what a reader should be told: a fallback that was used
};

struct Plan {
  std::string title;
  std::vector<PlanRow> rows;
};

// `text` is TOML; `name` is what errors call it. Throws Error(kUsage) naming the key.
Plan make_plan(const std::string& text, const std::string& name, Source source,
               const std::vector<std::string>& arguments);

// One run out of the same file: its settings, its first data set, and the strategy that model.strategy names.
PlanRow single_run(const std::string& text, const std::string& name, Source source,
                   const std::vector<std::string>& arguments);

// A path from the settings: relative ones lie under data.root where that is set.
std::string located(const Config& config, const std::string& key);

// What `taut study plan` prints and plan.jsonl holds of a row.
nlohmann::ordered_json to_json(const PlanRow& row);

// A run's id is the name of its folder: throws Error(kBadData) naming `file`, where a plan was read, for a path.
void check_run_id(const std::string& run_id, const std::string& file);

// The whole plan with every setting as resolved, so that a report needs neither the environment nor the data of the day
// the plan was made. `file` is what errors call it; throws Error(kBadData).
nlohmann::ordered_json to_json(const Plan& plan);
Plan plan_from_json(const nlohmann::ordered_json& json, const std::string& file);

}  // namespace taut::study
