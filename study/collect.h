// From the folder of a study to what its report is made of.
#pragma once

#include <string>

#include "study/plan.h"
#include "study/results.h"

namespace taut::study {

// Runs that are not done give the evaluations they have; one whose files are damaged or missing is a failed run that
// says so. Throws Error(kBadData) naming a file of the whole study that cannot be understood.
StudyResults collect(const Plan& plan, const std::string& folder);

}  // namespace taut::study
