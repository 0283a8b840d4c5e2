#include "study/run/data.h"

#include <algorithm>
#include <cstdlib>
#include <numeric>
#include <unordered_set>

#include "data/dataset.h"
#include "data/manifest.h"
#include "data/shift.h"
#include "kernels/error.h"
#include "study/plan.h"

namespace taut::study {
namespace {

constexpr int64_t kResidentBytes = int64_t{1} << 30;

// Preprocessed images and their stores, out of the cache or without one.
class Stores {
 public:
  Stores(const Preprocess& how, const DecodedCache* cache) : how_(how), cache_(cache) {}

  bool has_cache() const { return cache_ != nullptr; }
  DatasetPtr decoded(DatasetPtr dataset) const { return preprocessed(std::move(dataset), how_, *cache_); }
  // Of images as they come, and of images that are decoded.
  StorePtr plain(DatasetPtr dataset) const { return store(std::move(dataset), how_); }
  static StorePtr ready(DatasetPtr dataset) { return store(std::move(dataset), Preprocess{}); }

  StorePtr cached(DatasetPtr dataset) const {
    return has_cache() ? ready(decoded(std::move(dataset))) : plain(std::move(dataset));
  }

 private:
  static StorePtr store(DatasetPtr dataset, const Preprocess& how) {
    return std::make_shared<const ImageStore>(std::move(dataset), how, kResidentBytes);
  }
  Preprocess how_;
  const DecodedCache* cache_;
};

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

// Whether the run uses about every training image at least once.
bool goes_through(const Config& config, int64_t images) {
  const int64_t steps = config.integer("train.steps"), batch = config.integer("train.batch");
  return steps == 0 || steps >= (images + batch - 1) / batch;
}

void check_same_classes(const Dataset& training, const Dataset& judged, const std::string& what) {
  if (judged.classes() != training.classes())
    fail(Exit::kBadData, "[{}] expected as many classes as the training images have, {}, got {}", what,
         training.classes(), judged.classes());
  for (int64_t c = 0; c < training.classes(); ++c)
    if (judged.class_name(c) != training.class_name(c))
      fail(Exit::kBadData, "[{}] expected class {} to be '{}' as in the training images, got '{}'", what, c,
           training.class_name(c), judged.class_name(c));
}

// Accuracy on images that were trained on says nothing.
void check_disjoint(const Dataset& training, const Dataset& judged, const std::string& path) {
  std::unordered_set<std::string> trained;
  for (int64_t i = 0; i < training.size(); ++i) trained.insert(training.source(i));
  int64_t shared = 0;
  std::string example;
  for (int64_t i = 0; i < judged.size(); ++i) {
    std::string source = judged.source(i);
    if (trained.contains(source) && shared++ == 0) example = std::move(source);
  }
  TAUT_CHECK(shared == 0,
             "[data.path] {}: {} of the {} test images are training images, too, such as {}; hint: a column split in "
             "the list that was imported, or folders train/ and test/",
             path, shared, judged.size(), example);
}

std::vector<std::string> other_domains(const Config& config) {
  const std::string path = path_of(config), &own = config.text("data.domain");
  std::vector<std::string> names = config.texts("eval.domains");
  if (names.empty()) return names;
  TAUT_CHECK(!own.empty(), "[eval.domains] expected data.domain to name the domain of the training images");
  if (names == std::vector<std::string>{"all"}) {
    names = dataset_domains(path);
    std::erase(names, own);
    TAUT_CHECK(!names.empty(), "[eval.domains] expected {} to have domains other than {}, got none", path, own);
    return names;
  }
  for (const std::string& name : names) {
    TAUT_CHECK(name != own, "[eval.domains] expected domains other than data.domain, got '{}'", name);
    TAUT_CHECK(std::ranges::count(names, name) == 1, "[eval.domains] expected each domain once, got '{}' twice", name);
  }
  return names;
}

DatasetPtr open_domain(const Config& config, const std::string& domain) {
  DatasetOptions options = options_of(config);
  options.domain = domain;
  options.limit = tighter(config.integer("eval.n"), config.integer("data.limit"));
  if (split_was_drawn(path_of(config))) options.split = "all";
  return open_dataset(path_of(config), options);
}

// The plan names the list it was made for; the folder may have got another one since.
void check_list(const Config& config) {
  const std::string &wanted = config.text("data.sha256"), found = imported_list_sha256(path_of(config));
  if (!wanted.empty() && wanted != found)
    fail(Exit::kMissing, "[data.sha256] expected the imported list {} in {}, got {}; hint: plan anew, or import again",
         wanted, path_of(config), found.empty() ? "none" : found);
}

}  // namespace

std::string cache_folder(const Config& config, const std::string& beside) {
  const std::string& where = config.text("data.cache");
  if (where == "off") return {};
  if (where != "auto") return where;
  const char* home = std::getenv("XDG_CACHE_HOME");
  return home != nullptr && home[0] == '/' ? std::string(home) + "/taut" : beside;  // relative ones are to be ignored
}

RunData open_run_data(const Config& config, const Preprocess& how, const DecodedCache* cache) {
  // Everything is opened and compared before the first image is decoded.
  RunData data;
  check_list(config);
  DatasetOptions options = options_of(config);
  options.split = "train";
  options.divide = true;
  options.limit = config.integer("data.train_limit");
  const DatasetPtr pool = open_dataset(path_of(config), options);
  data.classes = pool->classes();
  for (int64_t c = 0; c < data.classes; ++c) data.class_names.push_back(pool->class_name(c));
  data.notes = pool->notes();
  DatasetOptions tested = options_of(config);
  tested.split = "test";  // where images come without a split, those that "train" left
  tested.divide = true;
  const DatasetPtr test = open_test(config, tested);
  check_same_classes(*pool, *test, path_of(config));
  check_disjoint(*pool, *test, path_of(config));
  std::vector<std::pair<std::string, DatasetPtr>> others;
  for (const std::string& domain : other_domains(config)) {
    others.emplace_back(domain, open_domain(config, domain));
    check_same_classes(*pool, *others.back().second, path_of(config) + ", domain " + domain);
  }

  const Stores stores(how, cache);
  // Before the split, so that runs of other seeds find the same file.
  const bool decoded = stores.has_cache() && goes_through(config, pool->size());
  const auto store_of = [&](DatasetPtr part) {
    return decoded ? Stores::ready(std::move(part)) : stores.plain(std::move(part));
  };
  const auto seed = static_cast<uint64_t>(config.integer("seed"));
  const auto [train, validation] =
      split_off_validation(decoded ? stores.decoded(pool) : pool, config.number("data.validation"), seed);
  data.train = store_of(train);
  if (validation != nullptr) data.validation = store_of(validation);
  const int64_t sample = config.integer("eval.train_n");
  if (sample >= train->size()) data.train_sample = data.train;
  if (sample > 0 && sample < train->size())
    data.train_sample = store_of(subset(train, hold_out(train->size(), sample, seed).validation));
  data.test = stores.cached(test);
  for (const std::string& kind : config.texts("eval.shifts"))
    data.shifted.push_back({kind, false, stores.cached(shifted(test, kind, 0))});
  for (const auto& [domain, images] : others) data.shifted.push_back({domain, true, stores.cached(images)});
  return data;
}

StorePtr open_judged_data(const Config& config, const Preprocess& how, const DecodedCache* cache) {
  return Stores(how, cache).cached(open_test(config, options_of(config)));
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
