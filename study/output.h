// Rows of results on standard output, in the format asked for; nothing else is ever written there.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace taut::study {

using Row = nlohmann::ordered_json;  // a flat object

enum class Format { kMarkdown, kCsv, kJson, kJsonl };
Format format_by_name(const std::string& name);  // md, csv, json, jsonl; throws Error(kUsage)

// Columns are the fields in order of first appearance; a field that a row lacks is empty.
std::string to_text(const std::vector<Row>& rows, Format format);
// Throws Error(kIo) if standard output cannot be written.
void print_rows(const std::vector<Row>& rows, Format format);
void print_text(const std::string& text);

}  // namespace taut::study
