// What a run works with, opened from its settings: images, the model before training, its length, its points.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "data/order.h"
#include "study/run/data.h"
#include "study/run/model.h"
#include "study/run/run.h"

namespace taut::study {

struct RunSetup {
  RunData data;
  RunModel model;
  int64_t total = 0;            // updates
  std::vector<int64_t> points;  // after which it is evaluated, ascending
};

// `folder` is where weights and decoded images go that no option places; `say` hears what a reader should be told.
// Throws what opening throws, Error(kBadData) where labels do not fit the model, Error(kInterrupted).
RunSetup set_up(const PlanRow& row, const std::string& folder, const RunOptions& options,
                const std::function<void(const std::string&)>& say);

// The order of a run whose training split has n images.
Order order_of(const Config& config, int64_t n);

}  // namespace taut::study
