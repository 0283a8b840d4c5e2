// The images of a run: training, validation, test and shifted domains, opened from settings.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "attacks/evaluate.h"
#include "data/decoded_cache.h"
#include "data/loader.h"
#include "study/config.h"

namespace taut::study {

using StorePtr = std::shared_ptr<const ImageStore>;

// Images that a run is judged on beside its test images.
struct ShiftedData {
  std::string name;           // "rotation", "sketch"
  bool other_domain = false;  // images of another domain; otherwise the test images, changed
  StorePtr store;
};

struct RunData {
  StorePtr train, validation, test;  // validation may be null
  StorePtr train_sample;             // eval.train_n training images, null where that is 0
  std::vector<ShiftedData> shifted;
  int64_t classes = 0;
  std::vector<std::string> class_names, notes;
};

// Test images and their shifts do not depend on the run's seed, so that runs can be compared image by image; which
// training images are held out for validation, and which are sampled for eval.train_n, does (at random: class folders
// list their images class by class). Of another domain, the test images are judged where it comes split, else all: none
// was trained on. Throws what open_dataset throws, Error(kUsage) where data.path is empty or eval.domains names what is
// no other domain, Error(kBadData) where parts number other classes.
//
// With a cache, all images are decoded into it, but for training images that the run will not go through once.
RunData open_run_data(const Config& config, const Preprocess& how, const DecodedCache* cache = nullptr);

// The images that eval and attack judge.
StorePtr open_judged_data(const Config& config, const Preprocess& how, const DecodedCache* cache = nullptr);

// Where data.cache says that decoded images are; `beside` is where they go for `auto` without an $XDG_CACHE_HOME.
// Empty: nowhere.
std::string cache_folder(const Config& config, const std::string& beside);

// Images begin .. begin + n of a store as a batch source; an image's id is its position. Throws Error(kUsage) if they
// do not fit the model's input.
attacks::Batches batches_of(StorePtr store, int64_t channels, int64_t side);

Tensor images_of(const Batch& batch);  // (n, c, h, w)
Tensor labels_of(const Batch& batch);  // (n)

}  // namespace taut::study
