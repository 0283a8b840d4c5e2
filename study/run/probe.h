// How much pre-training on the procedural task is worth: linear probes from it and from a random backbone.
#pragma once

#include <string>

#include "study/plan.h"
#include "study/progress.h"
#include "study/run/directory.h"

namespace taut::study {

// The probe that is meant: the head alone, AdamW at 0.1, 400 updates of 32 images, the class token's features as they
// come (a converged probe on standardised features would gain less).
//
// For each data set of a plan whose backbone was pre-trained here: test accuracy of both probes, written once to
// FOLDER/probes.json as a list of {dataset, n, pretrained_correct, random_correct}.
void measure_probes(const Plan& plan, const std::string& folder, Progress* progress);

}  // namespace taut::study
