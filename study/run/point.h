// One point of a run: what its verdicts, measured batch by batch, amount to.
//
// Verdicts are JSON, an object of lists of batches in the images' order:
//   "test"                        {"n", "clean", "last", "best", "tally"}, '0' or '1' an image
//   "shift:NAME", "domain:NAME"   {"n", "clean"} of the test images changed, and of another domain
//   "attack:NAME"                 as "test", of the domain before it
//   "train"                       {"n", "clean"}
// The point depends on the batches alone, so that batches measured in several places make the same bytes.
#pragma once

#include <vector>

#include "attacks/evaluate.h"
#include "study/config.h"
#include "study/plan.h"
#include "study/run/directory.h"

namespace taut::study {

attacks::AttackConfig attack_config(const Config& config);  // checked and resolved
// Throws Error(kUsage) naming key, attack and what to do where the environment, the command line or a file that names
// no other attack gives a setting which the attack does not read. "none" reads nothing, and may have any.
void refuse_unread_attack_settings(const Config& config);
// The same of the runs of a plan, for settings that none of its attacks reads.
void refuse_unread_attack_settings(const Plan& plan);

Json batch_of(const attacks::RobustResult& result);
Json batch_of(const attacks::CleanResult& result);
int64_t images_in(const Json& batches);

struct PointRecord {
  Json result;                // what result.json holds of it
  Json samples;               // samples/step-XXXXXXXX.json
  std::vector<Json> metrics;  // lines of metrics.jsonl
};

// Throws Error(kBadData) where the verdicts are not of that form.
PointRecord point_of(const Config& config, int64_t step, const Json& verdicts);

// Writes samples and appends metrics; returns the point's result.
Json record(const PointRecord& point, RunDirectory& directory);

}  // namespace taut::study
