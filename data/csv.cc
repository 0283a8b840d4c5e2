#include "data/csv.h"

#include <algorithm>
#include <charconv>
#include <optional>

#include "data/formats.h"
#include "kernels/error.h"

namespace taut {

std::vector<std::string> split_csv(std::string_view line) {
  std::vector<std::string> fields(1);
  bool quoted = false;
  for (size_t i = 0; i < line.size(); ++i) {
    const char c = line[i];
    if (c == '"' && quoted && i + 1 < line.size() && line[i + 1] == '"') {
      fields.back() += '"';
      ++i;
    } else if (c == '"') {
      quoted = !quoted;
    } else if (c == ',' && !quoted) {
      fields.emplace_back();
    } else {
      fields.back() += c;
    }
  }
  return fields;
}

std::string csv_field(std::string_view text) {
  if (text.find_first_of(",\"") == std::string_view::npos && !text.starts_with(' ') && !text.ends_with(' '))
    return std::string(text);
  std::string quoted = "\"";
  for (const char c : text) quoted += c == '"' ? std::string("\"\"") : std::string(1, c);
  return quoted + '"';
}

LabelsCsv parse_labels_csv(std::span<const uint8_t> bytes, const std::string& name, int64_t classes) {
  constexpr int64_t kMostClasses = 1'000'000;
  const std::vector<std::string> lines = lines_of(bytes);
  const auto broken = [&](size_t line, const std::string& text) {
    fail(Exit::kBadData, "[{}] line {}: {}", name, line + 1, text);
  };
  if (lines.empty()) fail(Exit::kBadData, "[{}] expected the header file,class_index, got an empty file", name);
  const std::vector<std::string> header = split_csv(lines[0]);
  const auto column = [&](const char* title) -> std::optional<size_t> {
    const auto it = std::ranges::find(header, title);
    return it == header.end() ? std::nullopt : std::optional(static_cast<size_t>(it - header.begin()));
  };
  const auto file_at = column("file"), label_at = column("class_index"), class_at = column("class_name"),
             split_at = column("split"), domain_at = column("domain");
  if (!file_at || !label_at) broken(0, fmt::format("expected the header file,class_index, got '{}'", lines[0]));
  LabelsCsv csv;
  csv.has_splits = split_at.has_value();
  csv.has_domains = domain_at.has_value();
  const int64_t below = classes > 0 ? classes : kMostClasses;
  for (size_t i = 1; i < lines.size(); ++i) {
    if (lines[i].empty()) continue;
    const std::vector<std::string> fields = split_csv(lines[i]);
    if (fields.size() != header.size())
      broken(i, fmt::format("expected {} fields, got {}: '{}'", header.size(), fields.size(), lines[i]));
    LabelsCsv::Row row{fields[*file_at], 0, static_cast<int64_t>(i + 1), "", ""};
    const std::string& text = fields[*label_at];
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), row.label);
    if (error != std::errc() || end != text.data() + text.size() || row.label < 0 || row.label >= below)
      broken(i, fmt::format("expected a class index in [0, {}), got '{}' for {}", below, text, row.file));
    if (split_at) row.split = fields[*split_at];
    if (!row.split.empty() && row.split != "train" && row.split != "validation" && row.split != "test")
      broken(i, fmt::format("expected the split train, validation, test or none, got '{}'", row.split));
    if (domain_at) row.domain = fields[*domain_at];
    const auto number = static_cast<size_t>(row.label);
    while (csv.class_names.size() <= number) csv.class_names.push_back(std::to_string(csv.class_names.size()));
    if (class_at && !fields[*class_at].empty()) csv.class_names[number] = fields[*class_at];
    csv.rows.push_back(std::move(row));
  }
  if (csv.rows.empty()) fail(Exit::kBadData, "[{}] expected at least one image, got none", name);
  return csv;
}

}  // namespace taut
