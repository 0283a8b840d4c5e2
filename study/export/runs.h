// What all exports read of a store.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "study/config.h"
#include "study/store/sqlite.h"

namespace taut::study {

// A row of v_run with the settings.
struct StoredRun {
  std::string run_id, dataset, strategy, variant, state, error, model;
  int64_t seed = 0, classes = 0, total = 0, train_images = 0;
  // NaN unless done; areas and robust accuracies unless attacked, those out of domain unless measured, too.
  double area = 0, final_clean = 0, final_robust = 0, final_robust_best = 0, final_out_of_domain = 0;
  std::map<std::string, std::string> params;

  // A setting, or `otherwise` where it is not recorded.
  std::string param(const std::string& key, const std::string& otherwise = "") const;
  bool attacked() const { return is_attack(param("attack.name")); }
  double number(const std::string& key) const;  // NaN where it is not recorded or no number
};

std::vector<StoredRun> stored_runs(Database& store);  // ascending run_id

// `text` with everything but letters, digits, '.', '_' and '-' as '_', at most 200 characters, without a dot at the
// front or two in a row: part of a file's name.
std::string file_name(const std::string& text);

}  // namespace taut::study
