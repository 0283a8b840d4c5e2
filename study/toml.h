// TOML as settings need it: dotted keys with values as they would be typed, and arrays of tables.
#pragma once

#include <map>
#include <string>
#include <vector>

namespace taut::study {

struct TomlTable {
  std::map<std::string, std::string> values;             // "attack.eps" -> "8/255"; a list as "1, 2, 3"
  std::map<std::string, std::vector<TomlTable>> tables;  // "study.dataset" -> one for each [[study.dataset]]
};

// `name` is what errors call the text. Throws Error(kUsage) with line and column on bad TOML, on dates, on nested
// lists and on text items that hold a comma.
TomlTable parse_toml(const std::string& text, const std::string& name);

// The text quoted and escaped.
std::string toml_string(const std::string& text);

}  // namespace taut::study
