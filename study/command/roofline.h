// The roofline of measured kernels (Williams, Waterman, Patterson 2009): operations a second over operations a byte.
#pragma once

#include <string>
#include <vector>

#include "study/output.h"

namespace taut::study {

// One drawing of the rows of `taut kernel bench` on the CPU: a mark a row under the roofs that the peaks of the same
// rows make. Throws Error(kUsage) where there is no row.
std::string roofline_svg(const std::vector<Row>& rows);

}  // namespace taut::study
