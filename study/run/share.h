// A run that several processes share: one of them trains it, and each judges its share of the images at every point.
//
//   SHARED/train/         the run's folder (run.h) but for evaluations
//   SHARED/points/        the model at each point, until the result is there
//   SHARED/I-of-N/        the verdicts of share I: step-XXXXXXXX.json, evaluation.json under way, share.json at its end
// Whoever has the lock of train/ trains; who does not judges the points as they come, and takes over where the trainer
// died. Whoever finds all shares there makes the run's own folder of them, with the result.json, metrics.jsonl and
// samples/ of a run that one process made, byte for byte, and removes SHARED.
#pragma once

#include <string>

#include "study/run/evaluate.h"
#include "study/run/run.h"

namespace taut::study {

// Does what there is to do for a share, to its end; returns the run's result, or null where other shares are not done
// yet. Throws what `run` throws, Error(kInterrupted) where another process has the same share, and Error(kBadData) or
// Error(kMissing) naming the file of a share that is damaged or incomplete.
Json run_share(const PlanRow& row, const std::string& folder, const std::string& shared, Share share,
               const RunOptions& options);

std::string share_folder(const std::string& shared, Share share);
// Whether the share's verdicts on all points are there.
bool share_is_done(const std::string& shared, Share share);

}  // namespace taut::study
