// In which order images are used: a pure function of the step, so that a resumed run continues exactly.
#pragma once

#include <cstdint>
#include <utility>
#include <vector>

namespace taut {

class Order {
 public:
  enum class Kind : uint8_t {
    kSequential,  // 0, 1, 2, ... ; the last batch may be short; after it, from the start again
    kEpochs,      // every epoch a new permutation keyed by (seed, epoch); the last batch of an epoch may be short
    kDraws,       // with replacement; batch `step` is keyed by (seed, step)
  };

  // `n` images in batches of `batch`. Throws Error(kUsage) unless both are at least 1.
  Order(Kind kind, int64_t n, int64_t batch, uint64_t seed = 0);

  int64_t steps_per_epoch() const { return (n_ + batch_ - 1) / batch_; }
  int64_t epoch(int64_t step) const { return step / steps_per_epoch(); }
  int64_t batch() const { return batch_; }
  // Indices of batch `step` >= 0.
  std::vector<int64_t> indices(int64_t step) const;

 private:
  Kind kind_;
  int64_t n_, batch_;
  uint64_t seed_;
  mutable int64_t cached_epoch_ = -1;  // the permutation of the epoch in use; not for several threads at once
  mutable std::vector<int64_t> permutation_;
};

// Training and validation indices, each ascending: a random `fraction` of n, rounded up as scikit-learn does, for
// validation, keyed by the seed. Throws Error(kUsage) unless 0 <= fraction < 1.
struct Split {
  std::vector<int64_t> train, validation;
};
Split train_validation_split(int64_t n, double fraction, uint64_t seed);
// The same with a number of images; at least one is left for training.
Split hold_out(int64_t n, int64_t count, uint64_t seed);

}  // namespace taut
