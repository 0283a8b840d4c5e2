// What the figures of a data set have in common: which runs they draw, thinned so that a drawing stays readable and
// small whatever the size of the study.
#pragma once

#include <string>
#include <vector>

#include "study/analysis.h"
#include "study/report/looks.h"

namespace taut::study {

// Of a strategy's runs so many are drawn one by one, spread evenly over their areas; of a run so many evaluations.
inline constexpr size_t kMostRunsDrawn = 20, kMostPointsDrawn = 300;
// With more runs than this a strategy is drawn as a bundle: no markers, and its courses in a panel of their own.
inline constexpr size_t kFewRuns = 3;

// Which of the done runs: for what has to do with robustness, those that were attacked.
enum class DrawnRuns { kDone, kAttacked };

// A strategy that has such a run, as it is drawn.
struct Drawn {
  const StrategySummary* summary;
  Look look;
  std::vector<const RunResult*> runs;
  std::vector<const RunResult*> shown;  // of those, at most kMostRunsDrawn
};

std::vector<Drawn> drawn_strategies(const StudyResults& results, const DatasetSummary& dataset,
                                    DrawnRuns which = DrawnRuns::kDone);

// Where runs were left out, a sentence that says so; else empty.
std::string left_out_text(const std::vector<Drawn>& drawn);

// `most` of 0 .. n - 1 at even distances, both ends among them; all where they are fewer.
std::vector<size_t> thinned(size_t n, size_t most);

// The evaluations of a run that are drawn, and so its trade-offs.
std::vector<const Point*> shown_points(const RunResult& run, size_t most = kMostPointsDrawn);

// Steps that all runs of a strategy evaluated, with the mean of a count as a share of the images; thinned.
using StepMean = std::pair<int64_t, double>;
using Count = int64_t Point::*;
std::vector<StepMean> mean_course(const Drawn& drawn, Count correct);

double share(int64_t correct, int64_t n);

}  // namespace taut::study
