// The second half of the report: what the numbers rest on. Cost, runs, settings, checks, methods, command lines.
#pragma once

#include <string>

#include "study/analysis.h"
#include "study/report/html.h"

namespace taut::study {

std::string appendix_html(const StudyResults& results, const Analysis& analysis, Captions& captions);

}  // namespace taut::study
