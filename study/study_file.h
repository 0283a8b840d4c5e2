// What a study's TOML says, before it becomes runs (study/plan.h):
//
//   model.name = "vit_demo"              settings of every run, the same keys as everywhere
//   [study]    title, strategies = ["full", "lora"], seeds = [0, 1] or repeats = 2, mode = "fixed"
//   [[study.dataset]]   name = "fine", and settings of its runs
//   [study.strategy.lora]   settings of that strategy's runs
//   [[study.setting]]   name = "r4", settings of its runs, and strategies and datasets where it is not
//                       for all of them
// Each of the four may have seeds or repeats, `sweep.KEY` (in [study]: [study.sweep]; see study/sweep.h), and
// `official.KEY`, a setting in mode official alone. The stronger comes later.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "study/sweep.h"

namespace taut::study {

using Values = std::map<std::string, std::string>;  // settings, as they would be typed

// One of the four places where a file has settings: the whole study, a data set, a strategy, a [[study.setting]].
struct Part {
  std::string name = {};
  Values settings = {}, official = {};                      // official: of study.mode=official alone
  std::vector<SweepAxis> axes = {};                         // what is swept
  std::vector<std::string> strategies = {}, datasets = {};  // to which it applies; empty: all
  std::vector<std::string> seeds = {};                      // empty: another part decides
};

struct StudyFile {
  std::string title;
  std::vector<std::string> strategies;
  Part whole;
  std::vector<Part> datasets, variants;
  std::map<std::string, Part> of_strategy;
};

// `name` is what errors call the text. Throws Error(kUsage) naming file, table and key.
StudyFile read_study_file(const std::string& text, const std::string& name);

}  // namespace taut::study
