// The second half of the overview: what the numbers rest on. Cost, settings, checks, methods, command lines.
#pragma once

#include <string>

#include "study/report/html.h"
#include "study/report/page.h"

namespace taut::study {

std::string appendix_html(const ReportContext& report, Captions& captions);

}  // namespace taut::study
