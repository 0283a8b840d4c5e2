// An evaluation during a run: clean and attacked accuracy on the test images, clean accuracy in shifted domains and on
// training images; batch by batch, so that a killed run loses at most one.
#pragma once

#include "attacks/attack.h"
#include "study/progress.h"
#include "study/run/directory.h"
#include "study/run/feature_cache.h"
#include "study/run/model.h"

namespace taut::study {

// What is attacked (merged where the strategy can be) and what judges it (built anew, nothing merged).
attacks::Subject subject_of(const RunModel& model);
// A net as attacks see it, its input stage included, and where it lies: on a GPU its recorded attack step goes with it.
attacks::Logits logits_of(const std::shared_ptr<nn::Model>& net);

// Forward passes of one image that a whole evaluation costs.
double evaluation_cost(const Config& config, const RunData& data);

// Which of the processes that share a run's images, from 1.
struct Share {
  int64_t part = 1, of = 1;
};

class Evaluator {
 public:
  // All must outlive it; `cache` may be null, `progress` too.
  Evaluator(const Config& config, RunDirectory& directory, const RunModel& model, const RunData& data,
            FeatureCache* cache, Progress* progress, Share share = {});

  // The share's verdicts (study/run/point.h). Goes on with evaluation.json if it belongs to this step and
  // configuration. Writes, with `keep_images`, samples/images.safetensors where the first image is in the share. Throws
  // Error(kInterrupted) between batches after a signal, Error(kNumeric) naming the first tensor that is not finite, and
  // what the harness throws.
  Json measure(int64_t step, bool keep_images);

  // Measures, writes samples/step-XXXXXXXX.json and appends the lines of metrics. Returns what result.json holds of the
  // point.
  Json evaluate(int64_t step, bool keep_images);

 private:
  Json measure_share(int64_t step, bool keep_images);
  std::string first_nonfinite() const;
  struct Range {
    int64_t begin, end;
  };
  Range range(int64_t n) const;  // of n images, those of the share; it begins and ends where a batch does
  void robust(int64_t step, const std::string& split, const StorePtr& store, bool keep_images);
  void clean(int64_t step, const std::string& split, const StorePtr& store);
  Json& batches(int64_t step, const std::string& split);
  void save(bool at_once);
  void stop();  // throws Error(kInterrupted) after a signal, with everything saved
  void keep(const attacks::RobustResult& result) const;

  const Config& config_;
  RunDirectory& directory_;
  const RunModel& model_;
  const RunData& data_;
  FeatureCache* cache_;
  Progress* progress_;
  Share share_;
  attacks::Subject subject_;
  Json partial_;  // evaluation.json
  double saved_at_ = 0;
};

}  // namespace taut::study
