// What `taut study check` measures on a data set, each with its bootstrap: the numbers the verdicts rest on.
//
// A resample draws the images (bootstrap.h) and, where a strategy has m >= 2 done runs, m of those runs with
// replacement, their deviation from the mean scaled by sqrt(m / (m - 1)) so that few runs do not look surer than they
// are (Rao and Wu, 1988). With one run a strategy nothing is known of another seed, and the intervals are over images
// alone; `runs` says which.
#pragma once

#include <string>
#include <vector>

#include "study/bootstrap.h"
#include "study/results.h"

namespace taut::study {

// A number and what the resamples made of it.
struct Resampled {
  double raw = 0;
  std::vector<double> draws;

  Estimate estimate(double level) const { return bias_corrected(raw, draws, level, -1e9, 1e9); }
  // The mean of several, or the sum of a multiple.
  void add(const Resampled& other, double weight);
};

// How a measured accuracy moves over the evaluations of a run, as fractions of the images. The peak is the highest
// evaluation between the first and the last, so that a course that only climbs has none to fall from. Where it is
// picked on the same images as it is measured, it is too high (`_most`); so it is also picked on one half of the images
// and measured on the other, both ways round, which favours neither side.
struct CourseStatistics {
  Resampled rise, fall;            // peak - first, peak - last; picked and measured apart
  Resampled rise_most, fall_most;  // picked and measured on the same images
  Resampled peak, peak_step, end;
};

struct StrategyStatistics {
  std::string strategy;
  int64_t runs = 0;  // done
  Resampled area;    // hypervolume, last iterate
  CourseStatistics robust;
  Resampled early_clean;     // the best clean accuracy up to kEarlySteps updates
  Resampled out;             // accuracy on all other domains together, at the end
  CourseStatistics domains;  // the same over the course
};
inline constexpr int64_t kEarlySteps = 1000;

struct DatasetStatistics {
  std::string dataset;
  std::vector<StrategyStatistics> strategies;  // those with a done run, planned order
  int64_t images = 0, domain_images = 0;       // of an evaluation; 0 without other domains
  int64_t classes = 0;
  int64_t last_step = 0;    // the smallest of a run
  bool course = false;      // every run has at least three evaluations
  bool from_start = false;  // every run was evaluated before its first update
  bool domains = false;     // every run has verdicts on other domains
  Resampled correlation;    // of the probits of accuracy out of and in domain, over the evaluations after the first
                            // update of all runs
  int64_t evaluations = 0;  // that is over

  const StrategyStatistics* find(std::string_view strategy) const;
  int64_t fewest_runs() const;  // of a strategy
};

// Nothing but the name where no run of the data set is done.
DatasetStatistics measure(const StudyResults& results, const std::string& dataset, const BootstrapOptions& options);

}  // namespace taut::study
