// Rows of results on standard output, in the format asked for; nothing else is ever written there.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

namespace taut::study {

using Row = nlohmann::ordered_json;  // a flat object

enum class Format { kMarkdown, kCsv, kJson, kJsonl, kSql };
Format format_by_name(const std::string& name);  // md, csv, json, jsonl, sql; throws Error(kUsage)

// What nobody could measure, or is not finite, is null, never 0.
Row number_or_null(const std::optional<double>& number);

// Columns are the fields in order of first appearance; a field that a row lacks is empty. SQL makes a table `taut_rows`
// where there is none and inserts the rows: `taut ... -o sql | sqlite3 results.db`.
std::string to_text(const std::vector<Row>& rows, Format format);
// Throws Error(kIo) if standard output cannot be written.
void print_rows(const std::vector<Row>& rows, Format format);
void print_text(const std::string& text);

}  // namespace taut::study
