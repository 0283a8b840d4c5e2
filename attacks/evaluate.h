// The evaluation harness: clean and adversarial accuracy that are honest by construction.
//
// Every call: the model must be in evaluation mode; the budget, the range [0, 1] and finiteness of every perturbation
// are checked; the clean and the stored adversarial images are judged again by an independently built model, whose
// verdicts are the ones that count and may differ from the attacked model's by rounding alone. A violated check is an
// Error, never a number.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "attacks/attack.h"

namespace taut::attacks {

struct Interval {
  double low = 0, high = 0;
};
// Wilson's 95 % interval of k successes in n trials.
Interval binomial_interval(int64_t k, int64_t n);

// What is evaluated: `attacked` computes gradients (merged weights allowed), `judge` is built separately with nothing
// merged.
struct Subject {
  Logits attacked;
  Logits judge;
  bool training = false;  // true is refused
  int64_t classes = 0;
  Device device;  // of both; images come to it batch by batch
  // How far apart `attacked` and `judge` may be, which are one function but round differently: of the largest logit.
  double rounding = 1e-3;
};

// A batch source: fills images (b, c, h, w) in [0, 1], labels (b) and the ids of images begin .. begin + b, all in host
// memory.
struct Batch {
  Tensor images, labels;
  std::vector<int64_t> ids;
};
using Batches = std::function<Batch(int64_t begin, int64_t count)>;

struct CheckResult {
  std::string name;   // "budget", "range", "re-judge", ...
  std::string value;  // the figure
  bool pass = true;
};

struct CleanResult {
  int64_t n = 0, top1_correct = 0, top5_correct = 0;
  double mean_loss = 0;
  std::vector<uint8_t> correct;  // per image, in order
};

// What an evaluation under attack counts; that of a whole is the sum of its parts'.
struct Tally {
  int64_t images = 0;
  double loss_clean = 0, loss_adv = 0;                          // sums over images
  double max_perturbation = 0;                                  // in the attack's norm
  double low = 1, high = 0;                                     // range of the adversarial pixels
  int64_t nonfinite = 0;                                        // adversarial pixels
  int64_t verdicts_differ = 0, unexplained = 0;                 // attacked model against judge, on adversarial images
  int64_t clean_verdicts_differ = 0, clean_unexplained = 0;     // on clean images
  int64_t steps_not_falling = 0, steps = 0;                     // (image, step) with a loss that did not fall, of all
  int64_t zero_images = 0, zero_pixels = 0, judged_pixels = 0;  // gradients that are exactly zero

  void add(const Tally& other);
  double mean_loss_clean() const;
  double mean_loss_adv() const;
  double loss_increase_share() const;
  double zero_gradient_share() const;
};
// What must hold of an evaluation, each with its figure: budget, range, finiteness, the second verdict.
std::vector<CheckResult> checks_of(const Tally& tally, const AttackConfig& attack);

struct RobustResult {
  int64_t n = 0, clean_correct = 0, robust_last_correct = 0, robust_best_correct = 0;
  Tally tally;
  std::vector<uint8_t> clean_ok, last_ok, best_ok;  // per image
  std::vector<CheckResult> checks;
  // The first `keep_images` images and their adversarial versions, with predictions.
  std::vector<Tensor> kept_clean, kept_adversarial;
  std::vector<int64_t> kept_labels, kept_clean_prediction, kept_adversarial_prediction;
};

struct EvaluateOptions {
  int64_t n = 0;
  int64_t batch = 64;
  int64_t keep_images = 0;
  uint64_t seed = 0;
  uint64_t step = 0;
  // Called after each batch with the number of images done.
  std::function<void(int64_t)> progress;
};

CleanResult evaluate_clean(const Subject& subject, const Batches& batches, const EvaluateOptions& options);
RobustResult evaluate_robust(const Subject& subject, const Batches& batches, const AttackConfig& attack,
                             const EvaluateOptions& options);

}  // namespace taut::attacks
