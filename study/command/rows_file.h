// A table that another command wrote.
#pragma once

#include <string>
#include <vector>

#include "study/output.h"

namespace taut::study {

// The rows of a file of `-o json`; throws Error(kBadData), with `hint` for how to get one, where it is none.
std::vector<Row> read_rows(const std::string& path, const char* hint);

}  // namespace taut::study
