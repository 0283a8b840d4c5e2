// One step of an attack and the memory it works on. A step reads and writes nothing else, so that a GPU replays it
// (kernels/graph.h): step after step and, where the model says where it lies, batch after batch of the same shape.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "attacks/attack.h"
#include "attacks/objective.h"
#include "kernels/graph.h"

namespace taut::attacks {

// What becomes of the gradient of an iterate before it is ascended.
struct Direction {
  std::string name = "gradient";
  // Moves `direction`, which is zero before the first step and is what is ascended; null: the gradient is. It may not
  // look at numbers on the host.
  std::function<void(const Tensor& gradient, Tensor& direction)> follow;
};

// What is known of an iterate, one number an image, on the images' device.
struct Verdicts {
  Tensor predicted, losses, zeros;  // (b): class, cross-entropy, pixels whose gradient is exactly zero
  Verdicts(const Shape& shape, DType dtype, Device device);
};
// The class and the cross-entropy of each image.
void judge(const Tensor& logits, const Tensor& labels, Verdicts& verdicts);

// What the steps of an attack have in common; all must outlive it.
struct StepRule {
  const Logits& model;
  const AttackConfig& config;
  const Objective& objective;
  const Direction& direction;
};

class AttackStep {
 public:
  // `kept`: the memory is copied to and stays, and so does what a GPU recorded, until the model, a shape or a setting
  // changes. Else a batch is worked on where it lies, and `adv` is moved in place.
  explicit AttackStep(bool kept) : kept_(kept) {}

  // The next batch: images x (b, c, h, w), labels (b), and the iterate the first step begins from. Throws
  // Error(kBadData) for a label that a replay would not look at.
  void begin(const StepRule& rule, const Tensor& x, const Tensor& labels, const Tensor& adv);
  // Judges the iterate, then moves it up the objective. `rule` as at the beginning.
  void take(const StepRule& rule);

  const Verdicts& verdicts() const { return *verdicts_; }  // of the iterate the last step began from
  const Tensor& adversarial() const { return adv_; }
  // How often a step was called, recorded and replayed so far.
  RepeatedStep::Counts counts() const { return repeated_ == nullptr ? RepeatedStep::Counts{} : repeated_->counts(); }

 private:
  bool is_fused(const StepRule& rule) const;
  std::string key_of(const StepRule& rule) const;
  void put(const Tensor& from, Tensor& there) const;
  void learn_labels(const Objective& objective);
  void run(const StepRule& rule);
  void move_patches(const StepRule& rule, const Tensor& gradient);

  const bool kept_;
  Device device_;
  std::unique_ptr<RepeatedStep> repeated_;
  std::string key_;
  int64_t classes_ = 0;  // these two are known after the first step under a key
  DType logits_ = DType::kF32;
  Tensor x_, labels_, adv_, patches_, direction_, table_;
  std::optional<Verdicts> verdicts_;
};

}  // namespace taut::attacks
