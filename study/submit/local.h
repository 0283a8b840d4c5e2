// Tasks on this machine: several worker processes, each with its share of the processors or a GPU of its own.
#pragma once

#include <string>
#include <vector>

#include "study/progress.h"
#include "study/submit/tasks.h"

namespace taut::study {

struct LocalOptions {
  int workers = 1;
  std::vector<std::string> gpus;  // one a worker, as CUDA_VISIBLE_DEVICES names them; empty: no GPU
  int restarts = 3;               // of a task whose worker died or was stopped
  ProgressMode progress = ProgressMode::kAuto;
};

// How tasks ended, in their order: "done", "failed", or "running" where a process elsewhere has the run.
//
// A worker that a signal killed, that ran out of memory or that was stopped (75) is started again, at most `restarts`
// times a task; any other exit is a failure that would come again. What workers say goes to FOLDER/logs/.
// After a signal to this process the workers get SIGTERM, write their checkpoints and end, and Error(kInterrupted) is
// thrown. Workers end with this process, even when it is killed.
std::vector<std::string> run_locally(const std::string& folder, const std::vector<Task>& tasks,
                                     const LocalOptions& options);

// The GPUs that this process may use, as CUDA_VISIBLE_DEVICES names them; found without a driver's library.
std::vector<std::string> visible_gpus();

}  // namespace taut::study
