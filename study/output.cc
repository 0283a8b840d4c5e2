#include "study/output.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "kernels/error.h"
#include "tensor/files/file_bytes.h"

namespace taut::study {
namespace {

std::vector<std::string> columns_of(const std::vector<Row>& rows) {
  std::vector<std::string> columns;
  for (const Row& row : rows)
    for (const auto& [key, value] : row.items())
      if (std::find(columns.begin(), columns.end(), key) == columns.end()) columns.push_back(key);
  return columns;
}

std::string cell(const Row& row, const std::string& column) {
  const auto it = row.find(column);
  if (it == row.end() || it->is_null()) return "";
  return it->is_string() ? it->get<std::string>() : it->dump();
}

// Shorter, for eyes: six significant digits.
std::string readable_cell(const Row& row, const std::string& column) {
  const auto it = row.find(column);
  std::string text =
      it != row.end() && it->is_number_float() ? fmt::format("{:.6g}", it->get<double>()) : cell(row, column);
  for (size_t i = 0; (i = text.find('|', i)) != std::string::npos; i += 2) text.insert(i, "\\");
  std::replace(text.begin(), text.end(), '\n', ' ');
  return printable(text, std::string::npos);  // a name out of a file does not command a terminal
}

// Characters of UTF-8 text, what fmt pads by.
size_t width_of(const std::string& text) {
  return static_cast<size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xc0) != 0x80; }));
}

std::string markdown(const std::vector<Row>& rows) {
  const std::vector<std::string> columns = columns_of(rows);
  std::vector<size_t> widths;
  for (const std::string& c : columns) {
    widths.push_back(std::max<size_t>(width_of(c), 3));
    for (const Row& row : rows) widths.back() = std::max(widths.back(), width_of(readable_cell(row, c)));
  }
  std::string out = "|", rule = "|";
  for (size_t i = 0; i < columns.size(); ++i) {
    out += fmt::format(" {:<{}} |", columns[i], widths[i]);
    rule += std::string(widths[i] + 2, '-') + "|";
  }
  out += "\n" + rule + "\n";
  for (const Row& row : rows) {
    out += "|";
    for (size_t i = 0; i < columns.size(); ++i)
      out += fmt::format(" {:<{}} |", readable_cell(row, columns[i]), widths[i]);
    out += "\n";
  }
  return out;
}

std::string csv_cell(const std::string& text) {
  if (text.find_first_of(",\"\n\r") == std::string::npos) return text;
  std::string out = "\"";
  for (const char c : text) out += c == '"' ? std::string("\"\"") : std::string(1, c);
  return out + "\"";
}

std::string csv(const std::vector<Row>& rows) {
  const std::vector<std::string> columns = columns_of(rows);
  std::string out;
  for (size_t i = 0; i < columns.size(); ++i) out += (i ? "," : "") + csv_cell(columns[i]);
  out += "\n";
  for (const Row& row : rows) {
    for (size_t i = 0; i < columns.size(); ++i) out += (i ? "," : "") + csv_cell(cell(row, columns[i]));
    out += "\n";
  }
  return out;
}

std::string quoted(const std::string& text, char quote) {
  std::string out(1, quote);
  for (const char c : text) out += c == quote ? std::string(2, c) : std::string(1, c);
  return out + quote;
}

// INTEGER, REAL or TEXT: what holds every value of the column.
const char* sql_type(const std::vector<Row>& rows, const std::string& column) {
  const char* type = "INTEGER";
  for (const Row& row : rows) {
    const auto it = row.find(column);
    if (it == row.end() || it->is_null() || it->is_boolean() || it->is_number_integer()) continue;
    if (!it->is_number()) return "TEXT";
    type = "REAL";
  }
  return type;
}

std::string sql_value(const Row& row, const std::string& column) {
  const auto it = row.find(column);
  if (it == row.end() || it->is_null()) return "NULL";
  if (it->is_boolean()) return it->get<bool>() ? "1" : "0";
  return it->is_number() ? it->dump() : quoted(cell(row, column), '\'');
}

std::string sql(const std::vector<Row>& rows) {
  const std::vector<std::string> columns = columns_of(rows);
  std::string names, types, out;
  for (const std::string& c : columns) {
    const char* const comma = names.empty() ? "" : ", ";
    names += comma + quoted(c, '"');
    types += fmt::format("{}{} {}", comma, quoted(c, '"'), sql_type(rows, c));
  }
  out = fmt::format("CREATE TABLE IF NOT EXISTS taut_rows ({});\n", types);
  for (const Row& row : rows) {
    std::string values;
    for (const std::string& c : columns) values += (values.empty() ? "" : ", ") + sql_value(row, c);
    out += fmt::format("INSERT INTO taut_rows ({}) VALUES ({});\n", names, values);
  }
  return out;
}

}  // namespace

Row number_or_null(const std::optional<double>& number) {
  return number && std::isfinite(*number) ? Row(*number) : Row(nullptr);
}

Format format_by_name(const std::string& name) {
  if (name == "md") return Format::kMarkdown;
  if (name == "csv") return Format::kCsv;
  if (name == "json") return Format::kJson;
  if (name == "sql") return Format::kSql;
  TAUT_CHECK(name == "jsonl", "[--output-format] expected md, csv, json, jsonl or sql, got '{}'", name);
  return Format::kJsonl;
}

std::string to_text(const std::vector<Row>& rows, Format format) {
  if (format == Format::kMarkdown) return rows.empty() ? "" : markdown(rows);
  if (format == Format::kSql) return rows.empty() ? "" : sql(rows);
  if (format == Format::kCsv) return rows.empty() ? "" : csv(rows);
  std::string out;
  // Paths may be no UTF-8, which JSON is: U+FFFD stands for what is none.
  const auto dump = [](const Row& row) { return row.dump(-1, ' ', false, Row::error_handler_t::replace); };
  for (const Row& row : rows)
    out += (format == Format::kJson && !out.empty() ? ",\n" : "") + dump(row) + (format == Format::kJsonl ? "\n" : "");
  return format == Format::kJson ? "[" + out + "]\n" : out;
}

void print_rows(const std::vector<Row>& rows, Format format) { print_text(to_text(rows, format)); }

void print_text(const std::string& text) {
  if (std::fwrite(text.data(), 1, text.size(), stdout) != text.size() || std::fflush(stdout) != 0)
    fail(Exit::kIo, "[stdout] cannot be written");
}

}  // namespace taut::study
