// What a result does not depend on but a reader asks for: machine, build, libraries.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace taut::study {

std::string version_line();            // "taut 0.1.0 (commit, compiler, build type)"
nlohmann::ordered_json environment();  // one flat object, for env.json

struct Finding {
  std::string item, value, note;
};
// What `taut doctor` prints: instruction set and why, threads, huge pages, memory, switches, libraries, data.
std::vector<Finding> diagnose();

}  // namespace taut::study
