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
};

// A batch source: fills images (b, c, h, w) in [0, 1], labels (b) and the ids of images begin .. begin + b.
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

struct RobustResult {
  int64_t n = 0, clean_correct = 0, robust_last_correct = 0, robust_best_correct = 0;
  double mean_loss_clean = 0, mean_loss_adv = 0;
  double max_perturbation = 0;     // in the attack's norm
  double loss_increase_share = 0;  // share of (image, step) with a loss that did not fall
  double zero_gradient_share = 0;
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
