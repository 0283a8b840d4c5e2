// Sample images of the report: clean, adversarial, and the perturbation made visible.
#pragma once

#include <string>

#include "study/analysis.h"

namespace taut::study {

// A table: a row an image, a column a strategy; the perturbation d is shown as 1/2 + factor d, where the factor is
// stated and the same for the whole data set: 1/2 over the largest |d| shown. Empty where no run kept images.
std::string samples_html(const StudyResults& results, const DatasetSummary& dataset);

}  // namespace taut::study
