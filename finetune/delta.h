// Delta checkpoints: what a strategy trained, the head included, plus a hash of the base it belongs to.
#pragma once

#include <string>

#include "finetune/strategy.h"

namespace taut::finetune {

// SHA-256 over the names, shapes and bytes of all parameters the strategy does not train (for `full` and `bitfit`, which
// train base parameters, of the model's configuration and names alone plus the base file's hash given).
std::string base_hash(const nn::Vit& vit);

// Writes all trainable parameters under AdapterHub's names as safetensors; metadata: format, strategy, options, model
// configuration, base hash.
void save_delta(const std::string& file, const nn::Vit& vit, const Strategy& strategy, const StrategyOptions& options);
// Loads it into a model to which the same strategy was applied; bit-equal. Throws Error(kBadData) if strategy, options,
// shapes or the base's hash differ (naming both).
void load_delta(const std::string& file, nn::Vit& vit, const Strategy& strategy, const StrategyOptions& options);

}  // namespace taut::finetune
