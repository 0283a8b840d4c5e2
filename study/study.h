// A whole study in a folder: study.json and plan.jsonl (study/submit/manifest.h), runs/RUN_ID/, pretrained/, report/.
#pragma once

#include <string>
#include <vector>

#include "study/output.h"
#include "study/plan.h"
#include "study/progress.h"
#include "study/run/share.h"

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

struct RowOptions {
  Share share = {};    // of the images that are judged, where several processes share the run (study/run/share.h)
  Device device = {};  // where the model computes
  bool force_resume = false;
  Progress* progress = nullptr;
};

// One run of a study in its place, as `run` and `run_share` do (study/run/run.h, share.h), which throw the same. What
// is thrown is recorded in failed.json first, but for Error(kInterrupted).
Json run_row(const PlanRow& row, const std::string& folder, const RowOptions& options);

// "done", "running" (a process holds a lock of the run), "failed" or "todo".
std::string run_state(const std::string& folder, const std::string& run_id);
// The same of one share of a run. A share that is done counts so before its run is, unless it is the first one and
// nothing but merging is left.
std::string share_state(const std::string& folder, const std::string& run_id, Share share);

// Every different command line is kept in commands.txt: together they made what is in the folder.
void remember_command(const std::string& folder, const std::string& command);

// A row a run of plan.jsonl: run_id, dataset, strategy, state (done, running, todo, failed), step, error. Throws
// Error(kMissing) where there is no plan.
std::vector<Row> study_status(const std::string& folder);

}  // namespace taut::study
