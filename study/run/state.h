// What changes during a run, and how it goes into a checkpoint and comes back.
#pragma once

#include <map>

#include "finetune/train.h"
#include "study/run/checkpoint.h"
#include "study/run/model.h"

namespace taut::study {

struct RunState {
  int64_t step = 0;
  bool forced = false;               // some of it ran with other settings (--force-resume)
  Json evaluations = Json::array();  // of the points that are behind
  // Mode `official`: the best epoch by validation accuracy, the first one on ties, and its trainable tensors.
  int64_t best_step = -1, best_correct = -1;
  std::map<std::string, Tensor> best;
};

NamedTensors changing_tensors(const nn::Model& net);

// About how large one is: what changes, and the optimiser's moments.
int64_t checkpoint_bytes(const RunModel& model);

void save_state(const std::string& run_folder, const RunState& state, const Config& config, int64_t metrics_bytes,
                const RunModel& model, const finetune::Trainer& trainer);
// Puts a checkpoint's tensors into model and trainer. Throws Error(kBadData) naming file and tensor where they do not
// fit.
RunState load_state(const Checkpoint& checkpoint, const Config& config, const RunModel& model,
                    finetune::Trainer& trainer);

// The model alone, for those who only judge it: a checkpoint without optimiser. One that is there is left as it is,
// since another process may read it and the bytes are the same.
void save_point(const std::string& folder, int64_t step, const Config& config, const RunModel& model);
// Throws what read_checkpoint throws, Error(kBadData) where it is of other settings or another base model.
void load_point(const std::string& folder, int64_t step, const Config& config, const RunModel& model);

// The released code reloads the best epoch's adapter but leaves the last epoch's head where the strategy adds modules
// (its loader walks adapters only), and reloads everything where it adds none.
void restore_best(const RunState& state, const RunModel& model);

}  // namespace taut::study
