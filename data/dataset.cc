#include "data/dataset.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "data/wrapper.h"
#include "kernels/error.h"

namespace taut {
namespace {

class Subset : public Wrapper {
 public:
  Subset(DatasetPtr base, std::vector<int64_t> indices) : Wrapper(std::move(base)), indices_(std::move(indices)) {
    for (const int64_t i : indices_) {
      TAUT_CHECK(i >= 0 && i < base_->size(), "[{}] expected image numbers in [0, {}), got {}", base_->name(),
                 base_->size(), i);
    }
  }
  int64_t size() const override { return static_cast<int64_t>(indices_.size()); }
  int64_t label(int64_t i) const override { return base_->label(at(i)); }
  Image image(int64_t i) const override { return base_->image(at(i)); }
  const uint8_t* pixels(int64_t i) const override { return base_->pixels(at(i)); }
  std::string identity(int64_t i) const override { return base_->identity(at(i)); }
  std::string source(int64_t i) const override { return base_->source(at(i)); }

 private:
  int64_t at(int64_t i) const {
    TAUT_CHECK(i >= 0 && i < size(), "[{}] expected an image number in [0, {}), got {}", name(), size(), i);
    return indices_[static_cast<size_t>(i)];
  }
  std::vector<int64_t> indices_;
};

class Relabelled : public Wrapper {
 public:
  Relabelled(DatasetPtr base, std::vector<int64_t> classes) : Wrapper(std::move(base)), classes_(std::move(classes)) {}
  int64_t classes() const override { return static_cast<int64_t>(classes_.size()); }
  std::string class_name(int64_t c) const override { return base_->class_name(classes_.at(static_cast<size_t>(c))); }
  int64_t label(int64_t i) const override {
    return std::find(classes_.begin(), classes_.end(), base_->label(i)) - classes_.begin();
  }

 private:
  std::vector<int64_t> classes_;
};

class Transformed : public Wrapper {
 public:
  Transformed(DatasetPtr base, std::string name, std::function<Image(const Image&, int64_t)> change,
              std::string identity)
      : Wrapper(std::move(base)), name_(std::move(name)), identity_(std::move(identity)), change_(std::move(change)) {}
  std::string name() const override { return name_; }
  Image image(int64_t i) const override { return change_(base_->image(i), i); }
  const uint8_t* pixels(int64_t) const override { return nullptr; }
  bool in_memory() const override { return false; }
  std::string identity(int64_t i) const override {
    const std::string before = base_->identity(i);
    return before.empty() || identity_.empty() ? "" : fmt::format("{} of image {}: {}", identity_, i, before);
  }

 private:
  std::string name_, identity_;
  std::function<Image(const Image&, int64_t)> change_;
};

}  // namespace

DatasetPtr subset(DatasetPtr base, std::vector<int64_t> indices) {
  return std::make_shared<Subset>(std::move(base), std::move(indices));
}

DatasetPtr first(DatasetPtr base, int64_t n) {
  if (n >= base->size()) return base;
  std::vector<int64_t> indices(static_cast<size_t>(n));
  std::iota(indices.begin(), indices.end(), 0);
  return subset(std::move(base), std::move(indices));
}

DatasetPtr keep_classes(DatasetPtr base, std::vector<int64_t> classes) {
  for (size_t k = 0; k < classes.size(); ++k) {
    TAUT_CHECK(classes[k] >= 0 && classes[k] < base->classes(), "[{}] expected classes in [0, {}), got {}",
               base->name(), base->classes(), classes[k]);
    TAUT_CHECK(std::count(classes.begin(), classes.end(), classes[k]) == 1,
               "[{}] expected each class once, got {} twice", base->name(), classes[k]);
  }
  std::vector<int64_t> indices;
  for (int64_t i = 0; i < base->size(); ++i) {
    if (std::find(classes.begin(), classes.end(), base->label(i)) != classes.end()) indices.push_back(i);
  }
  return std::make_shared<Relabelled>(subset(std::move(base), std::move(indices)), std::move(classes));
}

DatasetPtr transformed(DatasetPtr base, std::string name, std::function<Image(const Image&, int64_t)> change,
                       std::string identity) {
  return std::make_shared<Transformed>(std::move(base), std::move(name), std::move(change), std::move(identity));
}

std::vector<int64_t> first_per_class(const Dataset& dataset, int64_t n) {
  std::vector<int64_t> count(static_cast<size_t>(dataset.classes()), 0), indices;
  for (int64_t i = 0; i < dataset.size(); ++i) {
    if (++count[static_cast<size_t>(dataset.label(i))] <= n) indices.push_back(i);
  }
  for (size_t c = 0; c < count.size(); ++c) {
    TAUT_CHECK(count[c] >= n, "[{}] expected at least {} images of class {} ({}), got {}", dataset.name(), n, c,
               dataset.class_name(static_cast<int64_t>(c)), count[c]);
  }
  return indices;
}

void check_labels(const Dataset& dataset, int64_t classes) {
  for (int64_t i = 0; i < dataset.size(); ++i) {
    const int64_t label = dataset.label(i);
    if (label < 0 || label >= classes) {
      fail(Exit::kBadData, "[{}] expected a label in [0, {}) as the model has {} classes, got {}", dataset.source(i),
           classes, classes, label);
    }
  }
}

}  // namespace taut
