// A whole study in a folder: plan.jsonl, runs/RUN_ID/, pretrained/, report/.
#pragma once

#include <string>
#include <vector>

#include "study/output.h"
#include "study/plan.h"
#include "study/progress.h"

namespace taut::study {

struct StudyOptions {
  ProgressMode progress = ProgressMode::kAuto;
  Device device = {};  // where models compute
  bool force_resume = false;
  std::string command;  // the command line, for the report
};

// Runs what is not done yet, one run after another. A run that fails becomes failed.json in its folder and the study
// goes on; the result is the number of failed runs. Throws Error(kInterrupted) after a signal.
int64_t run_study(const Plan& plan, const std::string& folder, const StudyOptions& options);

// A row a run of plan.jsonl: run_id, dataset, strategy, state (done, running, todo, failed), step, error. Throws
// Error(kMissing) where there is no plan.
std::vector<Row> study_status(const std::string& folder);

}  // namespace taut::study
