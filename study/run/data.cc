#include "study/run/data.h"

#include <algorithm>
#include <numeric>

#include "data/dataset.h"
#include "data/shift.h"
#include "kernels/error.h"
#include "study/plan.h"

namespace taut::study {
namespace {

constexpr int64_t kResidentBytes = int64_t{1} << 30;

StorePtr store_of(DatasetPtr dataset, const Preprocess& how) {
  return std::make_shared<const ImageStore>(std::move(dataset), how, kResidentBytes);
}

DatasetOptions options_of(const Config& config) {
  DatasetOptions o;
  o.labels = located(config, "data.labels");
  o.domain = config.text("data.domain");
  o.keep_classes = config.integers("data.classes");
  return o;
}

std::string path_of(const Config& config) {
  const std::string path = located(config, "data.path");
  TAUT_CHECK(!path.empty(), "[data.path] expected a data set; hint: data.path=FOLDER, or procedural:easy");
  return path;
}

// 0: no limit; what the run evaluates may be limited further by data.limit.
int64_t tighter(int64_t a, int64_t b) { return a == 0 ? b : b == 0 ? a : std::min(a, b); }

DatasetPtr open_test(const Config& config, DatasetOptions options) {
  if (!config.text("data.split").empty()) options.split = config.text("data.split");
  const int64_t per_class = config.integer("eval.per_class");
  if (per_class == 0) options.limit = tighter(config.integer("eval.n"), config.integer("data.limit"));
  DatasetPtr all = open_dataset(path_of(config), options);
  if (per_class == 0) return all;
  DatasetPtr few = subset(all, first_per_class(*all, per_class));
  return config.integer("data.limit") > 0 ? first(few, config.integer("data.limit")) : few;
}

std::pair<DatasetPtr, DatasetPtr> split_off_validation(const DatasetPtr& pool, double share, uint64_t seed) {
  if (share == 0) return {pool, nullptr};
  const int64_t n = pool->size();
  const auto held = static_cast<int64_t>(share);  // where it is a number of images
  TAUT_CHECK(held < n, "[data.validation] expected less than the {} training images, got {}", n, held);
  Split split = share < 1 ? train_validation_split(n, share, seed) : hold_out(n, held, seed);
  if (split.validation.empty()) return {pool, nullptr};
  return {subset(pool, std::move(split.train)), subset(pool, std::move(split.validation))};
}

StorePtr sample_of(const StorePtr& train, const DatasetPtr& dataset, int64_t n, uint64_t seed, const Preprocess& how) {
  if (n == 0) return nullptr;
  if (n >= train->size()) return train;
  return store_of(subset(dataset, hold_out(train->size(), n, seed).validation), how);
}

}  // namespace

RunData open_run_data(const Config& config, const Preprocess& how) {
  RunData data;
  const std::string path = path_of(config);
  DatasetOptions options = options_of(config);
  options.split = "train";
  options.limit = config.integer("data.train_limit");
  const DatasetPtr pool = open_dataset(path, options);
  data.classes = pool->classes();
  for (int64_t c = 0; c < data.classes; ++c) data.class_names.push_back(pool->class_name(c));
  data.notes = pool->notes();
  const auto seed = static_cast<uint64_t>(config.integer("seed"));
  const auto [train, validation] = split_off_validation(pool, config.number("data.validation"), seed);
  data.train = store_of(train, how);
  data.train_sample = sample_of(data.train, train, config.integer("eval.train_n"), seed, how);
  if (validation != nullptr) data.validation = store_of(validation, how);

  const DatasetPtr test = open_test(config, options_of(config));
  if (test->classes() != data.classes)
    fail(Exit::kBadData, "[{}] expected as many classes in the test as in the {} of the training images, got {}", path,
         data.classes, test->classes());
  data.test = store_of(test, how);
  for (const std::string& kind : config.texts("eval.shifts"))
    data.shifted.emplace_back(kind, store_of(shifted(test, kind, 0), how));
  for (const std::string& domain : config.texts("eval.domains")) {
    DatasetOptions other = options_of(config);
    other.domain = domain;
    other.split = "all";
    other.limit = config.integer("eval.n");
    data.shifted.emplace_back(domain, store_of(open_dataset(path, other), how));
  }
  return data;
}

StorePtr open_judged_data(const Config& config, const Preprocess& how) {
  return store_of(open_test(config, options_of(config)), how);
}

attacks::Batches batches_of(StorePtr store, int64_t channels, int64_t side) {
  TAUT_CHECK(store->channels() == channels && store->height() == side && store->width() == side,
             "[{}] expected images ({}, {}, {}) for the model, got ({}, {}, {}); hint: data.resize, model.image_size",
             store->dataset().name(), channels, side, side, store->channels(), store->height(), store->width());
  return [store = std::move(store)](int64_t begin, int64_t count) {
    attacks::Batch batch;
    batch.ids.resize(static_cast<size_t>(count));
    std::iota(batch.ids.begin(), batch.ids.end(), begin);
    batch.images = Tensor::empty({count, store->channels(), store->height(), store->width()});
    store->gather(batch.ids, batch.images.data<float>());
    std::vector<int64_t> labels;
    for (const int64_t id : batch.ids) labels.push_back(store->dataset().label(id));
    batch.labels = Tensor::from(labels, {count});
    return batch;
  };
}

Tensor images_of(const Batch& batch) {
  return Tensor::from(batch.images, {batch.n, batch.channels, batch.height, batch.width});
}

Tensor labels_of(const Batch& batch) { return Tensor::from(batch.labels, {batch.n}); }

}  // namespace taut::study
