// Delta checkpoints: what a strategy trained or moved, the head included, plus a hash of the base it belongs to.
#pragma once

#include <string>

#include "finetune/strategy.h"

namespace taut::finetune {

// Identity of a base: SHA-256 over the configuration and the names, shapes and bytes of all parameters but the head's
// and of all buffers.
// Take it of the plain model, before a strategy is applied and trained.
std::string base_hash(const nn::Model& plain);

// Writes all trainable parameters as safetensors, a ViT's under AdapterHub's names, and batch norms whole (running
// statistics, gains, biases); metadata: format, strategy, options, base hash.
void save_delta(const std::string& file, const nn::Model& model, const Strategy& strategy,
                const StrategyOptions& options, const std::string& base);
// Loads it into a model of the same base to which the same strategy was applied; bit-equal. Throws Error(kBadData)
// naming both sides where strategy, options, names, shapes or the base's hash differ; the model is unchanged then.
void load_delta(const std::string& file, nn::Model& model, const Strategy& strategy, const StrategyOptions& options,
                const std::string& base);

}  // namespace taut::finetune
