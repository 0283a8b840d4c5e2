// The benchmark of whole models: images a second and the fraction of the processor's multiply-add peak.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "kernels/runtime.h"
#include "study/config.h"
#include "study/output.h"

namespace taut::study {

// Asked before each repetition, with the seconds of the one before (0 before the first): whether there is another.
using Pace = std::function<bool(double last)>;

// A row a pass:
//   forward   no gradients, evaluation mode
//   train     forward, loss, backward, clipping, AdamW on fresh images, no cache of features
//   pgd       forward, gradient of the images, one step of the attack, evaluation mode; on a GPU a fifteenth of 15
//   steps
// Median of 7 repetitions, or of as many as `pace` asks for, after two that are not counted, with the peak measured
// between them on the same threads. FLOPs: a forward is 2 x the multiply-adds of linear layers, QK^T and PV; train
// counts 3 forwards (2 where the backbone is frozen, 1 for linear probing), pgd 2. peak_memory_bytes is the tensor
// allocator's peak, parameters included. Throws Error(kUnavailable) in a debug build, Error(kUsage) for an unknown
// pass.
std::vector<Row> bench_model(const Config& config, const std::vector<std::string>& passes, int64_t batch, int threads,
                             Device device, const Pace& pace = {});

// Throws Error(kUnavailable) in a debug build: what measures refuses to run in one.
void refuse_debug_build();

}  // namespace taut::study
