// One run: fine-tunes a model and evaluates it on the schedule, in a directory that a killed run goes on from.
#pragma once

#include <string>

#include "kernels/runtime.h"
#include "study/plan.h"
#include "study/progress.h"
#include "study/run/directory.h"

namespace taut::study {

struct RunOptions {
  std::string cache;         // folder of pre-trained weights; empty: the run's own
  std::string decoded = {};  // folder of decoded images where data.cache is auto; empty: the run's own
  Device device = {};        // where the model computes; the bytes of a run in f32 are the same on all
  // Not empty: nothing is evaluated, the model at each point goes there instead (save_point), and the result has no
  // evaluations (study/run/share.h).
  std::string points = {};
  bool force_resume = false;  // goes on although settings changed; the result says so
  Progress* progress = nullptr;
};

// Runs or goes on, to the end; returns result.json. Throws
//   Error(kInterrupted)  after a signal, with a checkpoint, or where another process has the directory
//   Error(kUsage)        where the directory's settings differ, naming the keys
//   Error(kIo)           where something cannot be written, the last good checkpoint intact
//   Error(kNumeric)      on a loss or gradient that is not finite
Json run(const PlanRow& row, const std::string& folder, const RunOptions& options);

// Forward passes of one image that a run costs, for the time left. Opens the data. Pre-training is not in it.
double run_cost(const PlanRow& row);

// Updates of a run whose training split has n images.
int64_t total_steps(const Config& config, int64_t n);

}  // namespace taut::study
