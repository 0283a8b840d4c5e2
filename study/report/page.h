// The report as one page: readable without a network and without JavaScript, nothing loaded from anywhere; figures are
// inline SVG, images inline PNG. Links lead to the CSV and SVG files beside it (report.h).
#pragma once

#include <string>
#include <vector>

#include "study/analysis.h"

namespace taut::study {

// The drawings of one data set, made once and used by the page and the files beside it.
struct DatasetFigures {
  std::string stem;                                        // of the file names: figures/STEM-trajectories.svg, ...
  std::string trajectories, plane, areas, fronts, shifts;  // SVG; empty where there is nothing to draw
};

std::string report_html(const StudyResults& results, const Analysis& analysis,
                        const std::vector<DatasetFigures>& figures);

}  // namespace taut::study
