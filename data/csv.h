// Comma-separated values, one record a line; a field may be quoted, with "" for a quote. And the lists of images in
// them.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace taut {

std::vector<std::string> split_csv(std::string_view line);
// The text as one field: quoted where it holds a comma, a quote or a space at an end. It must hold no line feed.
std::string csv_field(std::string_view text);

// A list of images: the columns file and class_index, and where there are any class_name, split (train, validation,
// test or empty) and domain. `name` is what errors call it; throws Error(kBadData) naming the line.
struct LabelsCsv {
  struct Row {
    std::string file;
    int64_t label = 0, line = 0;
    std::string split, domain;
  };
  std::vector<Row> rows;
  std::vector<std::string> class_names;  // of every class up to the largest label
  bool has_splits = false, has_domains = false;
};
LabelsCsv parse_labels_csv(std::span<const uint8_t> bytes, const std::string& name, int64_t classes = 0);

}  // namespace taut
