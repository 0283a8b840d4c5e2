// Values of settings as files have them.
#pragma once

#include <string>

namespace taut::study {

// As TOML writes it: `"1/255"`, `[1, 2]`. Throws Error(kUsage) for a key that there is not.
std::string toml_value(const std::string& key, const std::string& text);

}  // namespace taut::study
