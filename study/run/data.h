// The images of a run: training, validation, test and shifted domains, opened from settings.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "attacks/evaluate.h"
#include "data/loader.h"
#include "study/config.h"

namespace taut::study {

using StorePtr = std::shared_ptr<const ImageStore>;

struct RunData {
  StorePtr train, validation, test;  // validation may be null
  StorePtr train_sample;             // eval.train_n training images, null where that is 0
  std::vector<std::pair<std::string, StorePtr>> shifted;
  int64_t classes = 0;
  std::vector<std::string> class_names, notes;
};

// Test images and their shifts do not depend on the run's seed, so that runs can be compared image by image; which
// training images are held out for validation, and which are sampled for eval.train_n, does (at random: class folders
// list their images class by class). Throws what open_dataset throws, and Error(kUsage)
// where data.path is empty.
RunData open_run_data(const Config& config, const Preprocess& how);

// The images that eval and attack judge.
StorePtr open_judged_data(const Config& config, const Preprocess& how);

// Images begin .. begin + n of a store as a batch source; an image's id is its position. Throws Error(kUsage) if they
// do not fit the model's input.
attacks::Batches batches_of(StorePtr store, int64_t channels, int64_t side);

Tensor images_of(const Batch& batch);  // (n, c, h, w)
Tensor labels_of(const Batch& batch);  // (n)

}  // namespace taut::study
