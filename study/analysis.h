// From results to what the report says: areas with intervals, comparisons of strategies, findings in words.
//
// The area of a strategy on a data set is the mean over its done runs (seeds, settings) of each run's hypervolume; the
// bootstrap resamples the images of all of them together. The front of the union of the runs is an alternative: it
// grows with their number, so it favours strategies that were tried with more settings.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "study/bootstrap.h"
#include "study/pareto.h"
#include "study/results.h"

namespace taut::study {

// Whether the run is done and was attacked.
bool has_area(const RunResult& run);

// The points of one run, as fractions, judged by the last or the best iterate.
enum class Judged { kLastIterate, kBestOfIterates };
std::vector<TradeOff<double>> trade_off(const RunResult& run, Judged judged);

// What a strategy came to on one data set.
struct StrategySummary {
  std::string strategy;
  std::vector<size_t> runs;      // indices into StudyResults::runs, planned order
  int64_t unattacked = 0;        // of those, done without an attack: they have no area
  int64_t done = 0;              // of those, done under attack; the rest below is meaningless without any
  Estimate area;                 // judged by the last iterate (primary)
  Estimate area_best;            // judged by the best of the iterates
  Areas alternatives;            // means over the done runs, last iterate, not bias-corrected
  double union_area = 0;         // hypervolume of the points of all done runs together
  std::optional<double> run_sd;  // of the per-run areas, where there are at least two
  double percent_above_average = 0;
  bool best = false;  // largest area of the data set
};

// Two strategies on the same resampled images; the difference is first minus second.
struct PairComparison {
  size_t first = 0, second = 0;  // indices into DatasetSummary::strategies
  bool disjoint = false;         // the two intervals do not overlap
  Estimate difference;
  double share = 1;  // see share_against
};

struct ShiftCorrelation {
  std::string domain;
  int64_t points = 0;
  double correlation = 0;  // Pearson, of clean with shifted accuracy over all points of all done runs
  bool other_domain = false;
};

struct DatasetSummary {
  std::string dataset;
  int64_t n = 0;  // images of an evaluation, the most of any run
  int64_t classes = 0;
  std::vector<StrategySummary> strategies;
  std::vector<PairComparison> pairs;  // of the strategies with a done run
  int64_t disjoint = 0;               // pairs with disjoint intervals
  std::vector<ShiftCorrelation> shifts;
};

struct Analysis {
  BootstrapOptions options;
  std::vector<std::string> strategies;   // all, in order of first appearance
  std::vector<DatasetSummary> datasets;  // each with all its planned strategies
  std::vector<double> run_area;          // hypervolume of each run, -1 unless has_area
  std::vector<std::string> findings;     // sentences
};

// Throws Error(kBadData) naming run and step where counts, flags or steps of a run contradict each other.
void check_run(const RunResult& run);

// Throws what check_run throws of each run.
Analysis analyse(const StudyResults& results, const BootstrapOptions& options = {});

}  // namespace taut::study
