#include "study/run/feature_cache.h"

#include <algorithm>
#include <cstring>
#include <numeric>

namespace taut::study {
namespace {

constexpr int64_t kBatch = 64;

}  // namespace

Tensor FeatureCache::features(const StorePtr& store, std::span<const int64_t> indices) {
  Known& known = known_[store];
  const auto dim = static_cast<size_t>(net_->head->in());
  if (known.there.empty()) {
    known.there.resize(static_cast<size_t>(store->size()), 0);
    known.rows.resize(known.there.size() * dim);
  }
  std::vector<int64_t> missing;
  for (const int64_t i : indices)
    if (known.there[static_cast<size_t>(i)] == 0) missing.push_back(i);
  std::sort(missing.begin(), missing.end());
  missing.erase(std::unique(missing.begin(), missing.end()), missing.end());

  const NoGrad no_grad;
  for (size_t begin = 0; begin < missing.size(); begin += kBatch) {
    const auto batch = std::span(missing).subspan(begin, std::min<size_t>(kBatch, missing.size() - begin));
    Tensor images =
        Tensor::empty({static_cast<int64_t>(batch.size()), store->channels(), store->height(), store->width()});
    store->gather(batch, images.data<float>());
    const Tensor rows = net_->features(Var(images.to(net_->device()))).value().contiguous().to(Device{});
    for (size_t i = 0; i < batch.size(); ++i) {
      const auto at = static_cast<size_t>(batch[i]);
      std::memcpy(known.rows.data() + at * dim, rows.data<float>() + i * dim, dim * sizeof(float));
      known.there[at] = 1;
    }
  }
  Tensor out = Tensor::empty({static_cast<int64_t>(indices.size()), static_cast<int64_t>(dim)});
  for (size_t i = 0; i < indices.size(); ++i)
    std::memcpy(out.data<float>() + i * dim, known.rows.data() + static_cast<size_t>(indices[i]) * dim,
                dim * sizeof(float));
  return out;
}

attacks::Batches FeatureCache::batches(const StorePtr& store) {
  return [this, store](int64_t begin, int64_t count) {
    attacks::Batch batch;
    batch.ids.resize(static_cast<size_t>(count));
    std::iota(batch.ids.begin(), batch.ids.end(), begin);
    batch.images = features(store, batch.ids);
    std::vector<int64_t> labels;
    for (const int64_t id : batch.ids) labels.push_back(store->dataset().label(id));
    batch.labels = Tensor::from(labels, {count});
    return batch;
  };
}

}  // namespace taut::study
