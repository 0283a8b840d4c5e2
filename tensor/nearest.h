// "Did you mean": the nearest of a list of names, for error messages.
#pragma once

#include <string>
#include <vector>

namespace taut {

// The name with the smallest edit distance (the first on ties); empty for an empty list.
std::string nearest_name(const std::string& name, const std::vector<std::string>& names);
// "did you mean 'x'?" or, without candidates, "there are none".
std::string did_you_mean(const std::string& name, const std::vector<std::string>& names);

}  // namespace taut
