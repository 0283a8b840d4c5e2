// Comma-separated values, one record a line; a field may be quoted, with "" for a quote.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace taut {

std::vector<std::string> split_csv(std::string_view line);
// The text as one field: quoted where it holds a comma, a quote or a space at an end. It must hold no line feed.
std::string csv_field(std::string_view text);

}  // namespace taut
