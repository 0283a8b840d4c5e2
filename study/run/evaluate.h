// An evaluation during a run: clean and attacked accuracy on the test images, clean accuracy in shifted domains and on
// training images; batch by batch, so that a killed run loses at most one.
#pragma once

#include "attacks/attack.h"
#include "study/progress.h"
#include "study/run/directory.h"
#include "study/run/feature_cache.h"
#include "study/run/model.h"

namespace taut::study {

attacks::AttackConfig attack_config(const Config& config);  // checked and resolved

// What is attacked (merged where the strategy can be) and what judges it (built anew, nothing merged).
attacks::Subject subject_of(const RunModel& model);

// Forward passes of one image that a whole evaluation costs.
double evaluation_cost(const Config& config, const RunData& data);

class Evaluator {
 public:
  // All must outlive it; `cache` may be null, `progress` too.
  Evaluator(const Config& config, RunDirectory& directory, const RunModel& model, const RunData& data,
            FeatureCache* cache, Progress* progress);

  // Goes on with evaluation.json if it belongs to this step and configuration. Writes samples/step-XXXXXXXX.json and,
  // with `keep_images`, samples/images.safetensors, then appends the lines of metrics. Returns what result.json holds
  // of the point. Throws Error(kInterrupted) between batches after a signal, and what the harness throws.
  Json evaluate(int64_t step, bool keep_images);

 private:
  // Verdicts under attack, clean ones with them.
  struct Robust {
    std::string clean_ok, last_ok, best_ok;  // '0' or '1' an image
    attacks::Tally tally;
  };
  Robust robust(int64_t step, const std::string& part, const StorePtr& store, bool keep_images);
  // Counts, and the verdicts.
  Json clean(int64_t step, const std::string& part, const StorePtr& store);
  // Counts of one shifted domain; its verdicts go into `samples`, the attack's checks into `checks`.
  Json shifted(int64_t step, const ShiftedData& data, Json& samples, Json& checks);
  Json& part(int64_t step, const std::string& name);
  void save(bool at_once);
  void stop();  // throws Error(kInterrupted) after a signal, with everything saved
  void keep(const attacks::RobustResult& result) const;
  void append_metrics(int64_t step, const Json& point) const;

  const Config& config_;
  RunDirectory& directory_;
  const RunModel& model_;
  const RunData& data_;
  FeatureCache* cache_;
  Progress* progress_;
  attacks::Subject subject_;
  Json partial_;  // evaluation.json
  double saved_at_ = 0;
};

}  // namespace taut::study
