// Made-up worlds for `taut study check`: a study under the paper's protocol whose accuracies are given by a formula, so
// that what is true of it is known.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "study/check/check.h"

namespace taut::study {

// True accuracies of a strategy at an evaluation, as fractions.
struct Truth {
  double clean = 0, robust = 0;
  double other = 0;  // on other domains
};

struct ClaimsWorld {
  // As TOML: of every run (the paper's protocol unless more is said), of every run without other domains.
  std::string settings, dataset_settings;
  std::vector<std::string> datasets = {"cifar10", "cifar100", "caltech256", "cub200", "stanford_dogs"};
  std::vector<std::string> domain_datasets = {"domainnet-real", "domainnet-sketch"};
  std::vector<std::string> strategies = {"full", "lp", "lora", "adapter", "compacter", "ia3", "bitfit"};
  std::vector<int64_t> steps = {0, 50, 150, 400, 1000, 3000, 7040};
  int64_t images = 2000, other_images = 2000;
  int64_t seeds = 1;
  uint64_t seed = 0;                                           // of everything drawn
  std::function<int64_t(const std::string& dataset)> classes;  // the paper's unless given
  std::function<Truth(const std::string& dataset, const std::string& strategy, int64_t step)> truth;
  double run_noise = 0;  // standard deviation of a run's robust accuracy, as a share of it

  Plan plan() const;
  // All runs done. An image has one difficulty, so that its verdicts at several steps and strategies belong together.
  StudyResults results(const Plan& plan) const;
  StudyCheck checked(const BootstrapOptions& options = {.resamples = 400}) const;
};

// What the paper claims: robust accuracy rises to a peak at 400 and falls, BitFit is best on the CIFARs and Compacter
// on the others, other domains follow accuracy with full fine-tuning highest and the linear probe lowest. Sizes are
// near the paper's, too.
Truth as_claimed(const std::string& dataset, const std::string& strategy, int64_t step);

const Claim& claim_of(const StudyCheck& check, int number);
// Fails the test where there is no such part.
const ClaimPart& part_of(const StudyCheck& check, const std::string& part);

}  // namespace taut::study
