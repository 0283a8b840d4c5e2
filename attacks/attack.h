// What all attacks share: the model as a function from images in [0, 1] to logits, norm balls, and the record of a run.
// An attack never sees parameters.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "autograd/ops.h"

namespace taut::attacks {

class AttackStep;  // attacks/step.h

// A model's first op and what comes after it. An attack that knows them keeps the patches up to date itself: the end of
// its backward pass, the step and the first op are one kernel (pgd_step_patches, kernels/pgd.h), with the same bytes.
struct InputStage {
  ops::ImagePatches patches;
  std::function<Var(const Var& patches, const Shape& images)> logits;
};

// Images (b, c, h, w) in [0, 1] -> logits (b, classes). Normalisation lives inside the model.
class Logits {
 public:
  Logits() = default;
  template <class F>
  requires std::is_invocable_r_v<Var, F, const Var&> Logits(F whole)
      : whole_(std::move(whole)) {}  // NOLINT: a function is what it stands for
  // `places` names all that the kernels of a pass depend on but the contents of memory: where the weights lie, their
  // shapes and dtypes, modes (nn::Module::places). With it a GPU keeps what it recorded of an attack's step from one
  // batch to the next, and the memory of one step, until the last copy of this is gone.
  Logits(std::function<Var(const Var& images)> whole, InputStage stage, std::function<std::string()> places = {});

  Var operator()(const Var& images) const { return whole_(images); }
  explicit operator bool() const { return static_cast<bool>(whole_); }
  const InputStage* stage() const { return stage_.get(); }  // null where it is not known
  AttackStep* kept_step() const { return step_.get(); }     // null where nothing is kept
  std::string places() const { return places_ ? places_() : std::string(); }

 private:
  std::function<Var(const Var& images)> whole_;
  std::shared_ptr<const InputStage> stage_;
  std::function<std::string()> places_;
  std::shared_ptr<AttackStep> step_;
};

enum class Norm { kLinf, kL2 };
enum class Loss { kCrossEntropy, kMargin };  // attacks/objective.h

// One threat and its attack.
struct AttackConfig {
  std::string name = "pgd";  // one of attack_names()
  Norm norm = Norm::kLinf;
  double eps = 1.0 / 255;
  double alpha = 1.0 / 1020;
  int64_t steps = 15;
  bool random_start = true;
  Loss loss = Loss::kCrossEntropy;
  int64_t restarts = 1;  // attempts from different random starts; the strongest counts, image by image
  int64_t targets = 9;   // classes that mtpgd attempts; others have none
  // Throws Error(kUsage) naming attack.KEY for a value outside its range.
  void check() const;
};

// Everything known of a batch after an attack. Iterate 0 is the start point, iterate `steps` the last.
struct AttackResult {
  Tensor adversarial;                         // (b, c, h, w), the last iterate
  Tensor logits;                              // (b, classes) at the last iterate
  std::vector<std::vector<uint8_t>> correct;  // [iterate][image]: argmax == label
  std::vector<std::vector<double>> losses;    // [iterate][image]: cross-entropy, iterates 0 .. steps
  std::vector<uint8_t> zero_gradient;         // [image]: its whole gradient was zero at some step
  int64_t zero_pixels = 0;                    // pixels whose gradient was exactly zero, over all steps, of
  int64_t judged_pixels = 0;                  // all pixels of all steps
};

// Random numbers of a batch: image i of the batch is sample ids[i] of the data set, so that its start does not depend
// on the batch it is in.
struct AttackSeed {
  uint64_t seed = 0;
  uint64_t step = 0;
  std::vector<int64_t> ids;
  uint64_t attempt = 0;  // of several on the same image
};

// One attack of the list: what it makes of the settings it is given, and how it runs.
struct Attack {
  const char* name;
  const char* description;
  AttackConfig (*settle)(AttackConfig config);
  AttackResult (*run)(const Logits& model, const Tensor& x, const Tensor& labels, const AttackConfig& config,
                      const AttackSeed& seed);
};
const std::vector<Attack>& attack_list();
std::vector<std::string> attack_names();

// The settings the named attack runs with: "bim" without a random start, "fgsm" one step of alpha = eps, ... Throws
// Error(kUsage) as AttackConfig::check.
AttackConfig resolve(AttackConfig config);
// Attacks a batch: x (b, c, h, w) in [0, 1], labels (b) i64. steps = 0 or eps = 0 return x bit for bit.
AttackResult run_attack(const Logits& model, const Tensor& x, const Tensor& labels, const AttackConfig& config,
                        const AttackSeed& seed);

// Attempts on one image at most: restarts times targets.
int64_t attempts_of(const AttackConfig& config);
// Forward passes (a backward counts as one) that attacking and judging one image costs at most.
double attack_passes(const AttackConfig& config);

// Index of the largest logit of each row (b) i64, the first one on ties; on the logits' device.
Tensor argmax(const Tensor& logits);
std::vector<int64_t> argmax_rows(const Tensor& logits);  // the same on the host

}  // namespace taut::attacks
