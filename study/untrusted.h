// What a file of others may cost: limits that hold before it is read or parsed.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>

namespace taut::study {

inline constexpr uint64_t kMostTomlBytes = uint64_t{4} << 20;

// The text of a study file. Throws Error(kUsage) where it has more than kMostTomlBytes, and what read_text_file throws.
std::string read_toml_file(const std::string& path);

// Throws Error(kUsage) naming the line where a dotted key has more than 64 parts: each is a table in a table, and the
// parser bounds only how deep values nest. `name` is what errors call the text.
void check_toml_keys(const std::string& text, const std::string& name);

// Discarded where the text is no JSON, or nests deeper than anything we write.
nlohmann::ordered_json parse_json(const std::string& text);

}  // namespace taut::study
