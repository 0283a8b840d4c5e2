// Batches for training and evaluation: images decoded and preprocessed once, kept as bytes where they fit, and turned
// to floats as they are used.
//
// The bytes of a batch depend on its indices alone: threads only share the work of decoding. Where the preprocessed set
// is larger than the budget, a few threads prepare the next batches while the current one is in use.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "data/dataset.h"
#include "data/order.h"
#include "data/preprocess.h"

namespace taut {

struct Batch {
  int64_t n = 0, channels = 0, height = 0, width = 0;
  std::vector<float> images;    // (n, channels, height, width) in [0, 1]
  std::vector<int64_t> labels;  // (n)
  std::vector<int64_t> indices;
};

struct LoaderOptions {
  Preprocess preprocess = {};
  int64_t resident_bytes = int64_t{1} << 30;  // keep the whole set in memory if it is not larger
  int threads = 0;                            // that prepare batches ahead where it is; 0: as many as compute
  int ahead = 3;                              // batches prepared ahead
};

// The preprocessed images of a data set, by index. Several threads may use one.
class ImageStore {
 public:
  // Decodes image 0 to learn the size. Throws what Dataset::image throws, and Error(kUsage) for an empty set.
  ImageStore(DatasetPtr dataset, const Preprocess& how, int64_t resident_bytes);
  ~ImageStore();

  const Dataset& dataset() const { return *dataset_; }
  int64_t size() const { return dataset_->size(); }
  int64_t channels() const { return channels_; }
  int64_t height() const { return height_; }
  int64_t width() const { return width_; }
  int64_t image_bytes() const { return channels_ * height_ * width_; }
  // Whether all images lie in memory, or fit there where they are mapped from a file: nothing to prepare ahead.
  bool resident() const { return memory_ != nullptr || (mapped_ && image_bytes() <= resident_bytes_ / size()); }

  // Writes the images at `indices`, one after another, as (n, channels, height, width) floats in [0, 1]. Where several
  // are damaged, the error is the first one's. Throws Error(kBadData) for images of unequal sizes. `alone` keeps to the
  // calling thread, for callers that must not take the threads that compute.
  void gather(std::span<const int64_t> indices, float* images, bool alone = false) const;

 private:
  struct Residency;
  void make(int64_t index, uint8_t* out) const;

  DatasetPtr dataset_;
  Preprocess how_;
  int64_t channels_, height_, width_, resident_bytes_;
  bool mapped_;  // images are used where the data set has them
  std::unique_ptr<Residency> memory_;
};

// Batches of a data set in an order, one step after another.
class Loader {
 public:
  Loader(DatasetPtr dataset, Order order, const LoaderOptions& options);
  // Shares a store, so that training and evaluation of one set decode it once.
  Loader(std::shared_ptr<const ImageStore> store, Order order, const LoaderOptions& options);
  ~Loader();
  Loader(const Loader&) = delete;
  Loader& operator=(const Loader&) = delete;

  const ImageStore& store() const { return *store_; }
  std::shared_ptr<const ImageStore> shared_store() const { return store_; }
  int64_t steps_per_epoch() const { return order_.steps_per_epoch(); }

  // Goes to batch `step`; the next next() returns it. A run resumed at a step seeks there.
  void seek(int64_t step);
  int64_t step() const { return step_; }
  // Batch step(), and on to the next step. An image that cannot be read is an Error(kBadData) of the batch that has it.
  Batch next();

  // Any images, out of order: for evaluation of a fixed subset.
  Batch load(std::span<const int64_t> indices) const;

 private:
  class Ahead;
  Batch fetch(std::span<const int64_t> indices, bool alone) const;
  std::shared_ptr<const ImageStore> store_;
  Order order_;
  LoaderOptions options_;
  int64_t step_ = 0;
  std::unique_ptr<Ahead> ahead_;
};

}  // namespace taut
