// What a run costs, counted before it runs: images and forward passes, from how many images its data have.
//
// A pass is what one forward pass of one image costs; a backward pass to the image counts as one more, and so does one
// to the weights.
#pragma once

#include <optional>

#include "study/plan.h"
#include "study/run/data.h"

namespace taut::study {

// Images of a run's parts.
struct DataSizes {
  int64_t train = 0, validation = 0, test = 0, train_sample = 0;
  int64_t shifted = 0;    // of all versions of the test images
  int64_t elsewhere = 0;  // of all other domains
};

DataSizes sizes_of(const RunData& data);
// From what is known of the data set whose name data.path ends with (data/import/known.h), where it is not here;
// nothing where there is none of that name, its counts are not known, or only some of its classes are wanted.
std::optional<DataSizes> known_sizes(const Config& config);

// Passes that one evaluation costs.
double evaluation_passes(const Config& config, const DataSizes& sizes);

struct RunCost {
  int64_t updates = 0, evaluations = 0;
  double images = 0;  // trained on and judged, with repetition
  // Passes of updates, of the attack's steps (two each) and of the other forward passes of evaluations. Features of a
  // backbone that does not change are computed once, and count once.
  double training = 0, attacking = 0, judging = 0;
  double passes() const { return training + attacking + judging; }
};
RunCost cost_of(const PlanRow& row, const DataSizes& sizes);

}  // namespace taut::study
