// Features of a backbone that does not change (linear probing), computed once for each image that is asked for.
//
// A row of a batch does not depend on the other rows, so that the bytes are those of computing them anew every time.
#pragma once

#include <map>
#include <span>
#include <vector>

#include "nn/model.h"
#include "study/run/data.h"

namespace taut::study {

class FeatureCache {
 public:
  explicit FeatureCache(std::shared_ptr<nn::Model> net) : net_(std::move(net)) {}

  // (n, dim) of the images at `indices`.
  Tensor features(const StorePtr& store, std::span<const int64_t> indices);
  // A batch source whose images are features.
  attacks::Batches batches(const StorePtr& store);

 private:
  struct Known {
    std::vector<float> rows;     // (images, dim)
    std::vector<uint8_t> there;  // (images)
  };
  std::shared_ptr<nn::Model> net_;
  std::map<StorePtr, Known> known_;
};

}  // namespace taut::study
