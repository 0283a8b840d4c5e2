// The figures of the report, one data set each, as SVG. Only done runs are drawn, and where robust accuracy or areas
// are, of those the attacked ones; callers check that there is one. Of many runs and long courses some are drawn
// (drawn.h).
#pragma once

#include <string>

#include "study/analysis.h"

namespace taut::study {

// Clean (left) and robust (right; where a run was attacked) accuracy over the training step. With one run of a strategy
// the bars are Wilson's 95 % intervals; with several, thin lines are the runs and the thick one their mean at the steps
// they share.
std::string trajectory_figure(const StudyResults& results, const DatasetSummary& dataset);

// The plane of clean and robust accuracy: filled markers are on the front of their run, hollow ones dominated; stairs
// are the fronts.
std::string plane_figure(const StudyResults& results, const DatasetSummary& dataset);

// One small panel a strategy, from the origin: the area under the front is what the hypervolume measures.
std::string fronts_figure(const StudyResults& results, const DatasetSummary& dataset);

// Areas with their intervals, largest first.
std::string areas_figure(const DatasetSummary& dataset);

// Of studies with many runs. Small multiples, a panel a strategy: robust accuracy over the step, thin lines are runs,
// the thick one is the mean at the steps they share, grey are the means of the others. Empty unless a strategy has more
// than kFewRuns (drawn.h).
std::string courses_figure(const StudyResults& results, const DatasetSummary& dataset);

// The area of every run, a row a strategy; the bar is the mean. Empty unless a strategy has more than one.
std::string runs_figure(const StudyResults& results, const Analysis& analysis, const DatasetSummary& dataset);

// Shifts that are the test images, changed; other domains have a part of their own (domains.h).
std::vector<ShiftCorrelation> changed_images(const DatasetSummary& dataset);
// Accuracy on each of them against clean accuracy; empty where there is none.
std::string shift_figure(const StudyResults& results, const DatasetSummary& dataset);

}  // namespace taut::study
