// The roofline of measured kernels (Williams, Waterman, Patterson 2009): operations a second over operations a byte.
#pragma once

#include <string>
#include <vector>

#include "kernels/lab/gpu_model.h"
#include "study/output.h"

namespace taut::study {

// One drawing of rows of `taut kernel bench`, or of those below: a mark a row under the roofs that the peaks of the
// same rows make, of multiply-adds one for every peak among them. Throws Error(kUsage) where there is no row,
// Error(kUnavailable) where one has no peak.
std::string roofline_svg(const std::vector<Row>& rows, const std::string& title);

// The same for kernels that were counted and not timed, from rows of `taut kernel profile`: operations are the counted
// multiply-adds, bytes the different sectors, the time is the model's bound, and the roofs are the model's, of tensor
// cores where a kernel uses them. A kernel without multiply-adds is left out.
// Throws Error(kUsage) where no kernel is left.
std::vector<Row> roofline_of_counts(const std::vector<Row>& profile, const lab::Gpu& gpu);

}  // namespace taut::study
