#include "data/order.h"

#include <algorithm>
#include <cmath>

#include "kernels/error.h"
#include "tensor/random.h"

namespace taut {

Order::Order(Kind kind, int64_t n, int64_t batch, uint64_t seed) : kind_(kind), n_(n), batch_(batch), seed_(seed) {
  TAUT_CHECK(n >= 1, "[order] expected at least one image, got {}", n);
  TAUT_CHECK(batch >= 1, "[order] expected a batch of at least 1, got {}", batch);
}

std::vector<int64_t> Order::indices(int64_t step) const {
  TAUT_CHECK(step >= 0, "[order] expected a step of at least 0, got {}", step);
  std::vector<int64_t> result;
  if (kind_ == Kind::kDraws) {
    Random random(seed_, Purpose::kDraw, static_cast<uint64_t>(step));
    for (int64_t k = 0; k < batch_; ++k)
      result.push_back(static_cast<int64_t>(random.below(static_cast<uint64_t>(n_))));
    return result;
  }
  if (kind_ == Kind::kEpochs && cached_epoch_ != epoch(step)) {
    cached_epoch_ = epoch(step);
    permutation_ = permutation(n_, seed_, Purpose::kShuffle, static_cast<uint64_t>(cached_epoch_));
  }
  const int64_t begin = step % steps_per_epoch() * batch_, end = std::min(n_, begin + batch_);
  for (int64_t i = begin; i < end; ++i) {
    result.push_back(kind_ == Kind::kEpochs ? permutation_[static_cast<size_t>(i)] : i);
  }
  return result;
}

Split train_validation_split(int64_t n, double fraction, uint64_t seed) {
  TAUT_CHECK(n >= 1 && fraction >= 0 && fraction < 1,
             "[split] expected at least one image and a fraction in [0, 1), got {} and {}", n, fraction);
  // 0.1 n is not exact in binary: without the slack, ceil would turn 0.1 * 30 into 4.
  return hold_out(n, static_cast<int64_t>(std::ceil(fraction * static_cast<double>(n) - 1e-9)), seed);
}

Split hold_out(int64_t n, int64_t count, uint64_t seed) {
  TAUT_CHECK(n >= 1 && count >= 0, "[split] expected at least one image and none or more held out, got {} and {}", n,
             count);
  const std::vector<int64_t> order = permutation(n, seed, Purpose::kSplit);
  const auto cut = order.begin() + std::min(count, n - 1);
  Split split{.train = {cut, order.end()}, .validation = {order.begin(), cut}};
  std::sort(split.train.begin(), split.train.end());
  std::sort(split.validation.begin(), split.validation.end());
  return split;
}

}  // namespace taut
