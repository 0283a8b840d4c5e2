// The manifest of a study that many processes work on: which runs there are, the same for all of them and for good.
//
//   study.json      the plan, a row a run with every setting as resolved
//   manifest.json   {"format", "plan", "sha256" of study.json, "rows"}: with it the plan can change no more
//
// A row's position is its index. What is done is asked of the runs' folders, of no queue.
#pragma once

#include <cstdint>
#include <string>

#include "study/plan.h"

namespace taut::study {

struct StudyManifest {
  std::string folder;  // the study's, absolute
  std::string sha256;
  Plan plan;

  // Throw Error(kUsage) naming what is asked for where there is no such row.
  const PlanRow& row(int64_t index) const;
  int64_t index_of(const std::string& run_id) const;
};

// Writes the plan where the folder has none. Throws Error(kUsage), naming the first run that differs, where a manifest
// is there and is of other runs; a plan without a manifest is replaced, as `taut study run` does.
void write_plan(const Plan& plan, const std::string& folder);

// The folder's plan, sealed from the first time on. Throws Error(kMissing) where there is no plan, Error(kBadData)
// where it is not the one that was sealed.
StudyManifest open_manifest(const std::string& folder);

}  // namespace taut::study
