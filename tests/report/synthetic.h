// Made-up results with the shape of real ones: seven strategies, robust accuracy that rises and falls, one latent
// difficulty an image, so that its outcomes at different steps belong together as they do in reality.
#pragma once

#include "study/results.h"

namespace taut::study {

struct SyntheticOptions {
  std::vector<std::string> datasets = {"fine", "easy"};
  std::vector<std::string> strategies = {"full", "lp", "lora", "adapter", "compacter", "ia3", "bitfit"};
  std::vector<int64_t> steps = {0, 8, 16, 32, 64, 128, 256};
  int64_t images = 500;
  int64_t seeds = 1;
  uint64_t seed = 0;
};

StudyResults synthetic_results(const SyntheticOptions& options = {});

}  // namespace taut::study
