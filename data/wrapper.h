// A data set that is another one, except for what a derived class overrides.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "data/dataset.h"

namespace taut {

class Wrapper : public Dataset {
 public:
  explicit Wrapper(DatasetPtr base) : base_(std::move(base)) {}
  std::string name() const override { return base_->name(); }
  int64_t size() const override { return base_->size(); }
  int64_t classes() const override { return base_->classes(); }
  std::string class_name(int64_t c) const override { return base_->class_name(c); }
  int64_t label(int64_t i) const override { return base_->label(i); }
  Image image(int64_t i) const override { return base_->image(i); }
  const uint8_t* pixels(int64_t i) const override { return base_->pixels(i); }
  std::string identity(int64_t i) const override { return base_->identity(i); }
  bool in_memory() const override { return base_->in_memory(); }
  std::string list_sha256() const override { return base_->list_sha256(); }
  std::string source(int64_t i) const override { return base_->source(i); }
  std::vector<std::string> notes() const override { return base_->notes(); }

 protected:
  DatasetPtr base_;
};

}  // namespace taut
