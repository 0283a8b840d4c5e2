// Golden cases, format `taut-golden-1`: numbers that other libraries computed, one safetensors file a case, with the
// metadata `format`, `kind` and `attrs` (JSON). Sizes come from tensors and attrs alone. Every tensor of a file must be
// used: what is not compared could be anything.
#pragma once

#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <vector>

#include "tensor/safetensors.h"
#include "tests/cases/tolerance.h"

namespace taut::cases {

// One case and what became of it.
class GoldenCase {
 public:
  // Throws Error(kBadData) for a file that is no golden case. Values are computed in `dtype`.
  GoldenCase(const std::string& path, DType dtype);

  const std::string& kind() const { return kind_; }
  const nlohmann::json& attrs() const { return attrs_; }
  DType dtype() const { return in_f64_ ? DType::kF64 : dtype_; }

  std::vector<std::string> names() const { return file_.names(); }
  bool has(const std::string& name) const { return file_.contains(name); }
  Tensor tensor(const std::string& name);  // as stored; counts as used

  // Runs a model, which may have kinks. In f32 it must pass in f64 first; then it runs in f64 kGoldenDisturbances times
  // with its parameters moved by a few roundings (disturb() in golden_model.h, which the runner calls), where compare()
  // only notes the largest errors of results, of norms and of single elements of gradients. The f32 run is judged by
  // those.
  void run_model(const std::function<void()>& run, bool kinks);
  int disturbance() const { return disturbance_; }
  // By how many roundings.
  double roundings() const { return disturbance_ > kGoldenDisturbances ? kGoldenKinkRoundings : kGoldenRoundings; }

  // Compares with the stored tensor `name`, whose shape must be `shape`: f64 by `limit`, relative to its largest
  // magnitude; f32 by the policy (tests/cases/tolerance.h).
  void compare(const std::string& name, const std::vector<double>& got, const Shape& shape, double limit);
  void compare(const std::string& name, const Tensor& got, double limit);
  void compare_absolutely(const std::string& name, const Tensor& got, double limit);  // max |difference|, any dtype
  void compare_exactly(const std::string& name, const Tensor& got);                   // whole numbers: bytes, flags
  template <class... Args>
  void expect(bool ok, fmt::format_string<Args...> format, Args&&... args) {
    if (!ok) add_failure(fmt::format(format, std::forward<Args>(args)...));
  }
  void unsupported(const std::string& why) { unsupported_ = why; }

  // Fails the case if a tensor was not used.
  void finish();
  const Judgement& judgement() const { return judgement_; }
  const char* status() const { return !unsupported_.empty() ? "unsupported" : judgement_.pass ? "pass" : "fail"; }
  const std::string& detail() const { return unsupported_.empty() ? detail_ : unsupported_; }
  void add_failure(const std::string& what);

 private:
  double f32_limit(const std::string& of) const;

  SafetensorsFile file_;
  DType dtype_;
  std::string kind_;
  nlohmann::json attrs_;
  std::set<std::string> used_;
  bool in_f64_ = false;
  int disturbance_ = 0;  // which one is running; the one past kGoldenDisturbances is for gradients over kinks
  bool kinks_ = false;
  std::map<std::string, double> disturbed_;  // the largest error of each kind of value
  Judgement judgement_;
  std::string detail_, unsupported_;
};

// The kinds, one function each.
void run_golden_op(GoldenCase& c);   // golden_ops.cc
void run_golden_vit(GoldenCase& c);  // golden_models.cc
void run_golden_resnet(GoldenCase& c);
void run_golden_peft(GoldenCase& c);
void run_golden_train(GoldenCase& c);  // golden_train.cc
void run_golden_attack(GoldenCase& c);
void run_golden_resize(GoldenCase& c);  // golden_images.cc
void run_golden_jpeg(GoldenCase& c);
void run_golden_pos_embed(GoldenCase& c);

}  // namespace taut::cases
