// The model of a run or of an evaluation, built from settings.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "data/preprocess.h"
#include "finetune/strategy.h"
#include "finetune/train.h"
#include "study/config.h"

namespace taut::study {

struct RunModel {
  std::shared_ptr<nn::Model> net;
  const finetune::Strategy* strategy = nullptr;
  finetune::StrategyOptions options;
  std::string base_hash;           // of the backbone, before the strategy
  bool new_head = false;           // the file of weights had none that fits
  std::string weights_sha256;      // of the weights file; empty: drawn from the seed
  std::vector<std::string> notes;  // a head that was made anew, tensors left out, a position embedding interpolated
};

// The configuration of the settings' model; classes = 0: its own number. Throws Error(kUsage).
std::shared_ptr<nn::ModelConfig> net_config(const Config& config, int64_t classes);
finetune::StrategyOptions strategy_options(const Config& config);
finetune::Mode mode_of(const Config& config);  // study.mode
// Forward passes that one image of a training step costs: backward runs through the backbone for its inputs, and once
// more for weights where those train.
double training_passes(const finetune::Strategy& strategy);

// For fine-tuning: weights loaded (`weights` is the file; empty: drawn from the seed), a head of `classes` outputs that
// is made anew unless the file's has that size, the strategy applied.
RunModel training_model(const Config& config, const std::string& weights, int64_t classes);
// For judging: weights, then strategy and model.delta if that is given; a delta of another library (finetune/foreign.h)
// brings its own strategy. Without a delta a head of another size is
// refused: Error(kBadData). Throws Error(kUsage) if model.weights is empty.
RunModel judged_model(const Config& config);
// Zero weights with the strategy applied, for counting.
RunModel counted_model(const Config& config);

// What the settings say of images, else what the model was trained with.
Preprocess preprocess_of(const Config& config, const nn::ModelConfig& model);

}  // namespace taut::study
