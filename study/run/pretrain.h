// Pre-training of a small ViT on the procedural upstream task, for machines without weights.
//
//   loss = CE(head(f), class; smoothing) + w mean((A f + a - t)^2)      f the class feature (b, dim), t the clean
//                                                                       figure's cells (b, 36)
// Cross-entropy alone never leaves ln 100 on this task; the figure regression carries the transfer. AdamW, warm-up,
// then cosine to 0, fresh images at every update. The linear map A is dropped at the end.
#pragma once

#include <string>

#include "study/config.h"
#include "study/progress.h"

namespace taut::study {

// The weights' file (timm's names) in `cache`; made if it is not there, going on where an earlier process was killed,
// or waited for where another process makes it. Its bytes depend on model.name and pretrain.* alone. Throws
// Error(kUsage) for a model that does not take the task's images, Error(kInterrupted) after a signal.
std::string pretrained_weights(const Config& config, const std::string& cache, Progress* progress);

// Forward passes of one image that it costs; 0 where the file is there.
double pretraining_cost(const Config& config, const std::string& cache);

// What model.weights stands for: a file, or "" for none; `procedural` is pre-trained here.
std::string weights_file(const Config& config, const std::string& cache, Progress* progress);

}  // namespace taut::study
