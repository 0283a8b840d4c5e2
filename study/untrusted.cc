#include "study/untrusted.h"

#include <filesystem>

#include "kernels/error.h"
#include "study/text_file.h"

namespace taut::study {

std::string read_toml_file(const std::string& path) {
  std::error_code error;
  const uintmax_t size = std::filesystem::file_size(path, error);
  TAUT_CHECK(error || size <= kMostTomlBytes, "[{}] expected at most {} bytes, got {}", path, kMostTomlBytes, size);
  return read_text_file(path);
}

void check_toml_keys(const std::string& text, const std::string& name) {
  constexpr int kMostParts = 64;
  int64_t line = 1;
  int dots = 0;
  char quote = 0;
  for (const char c : text) {
    line += c == '\n';
    if (quote != 0) {
      if (c == quote || c == '\n') quote = 0;
      continue;
    }
    if (c == '"' || c == '\'') quote = c;
    if (std::string_view("\n=,[]{}#").find(c) != std::string_view::npos) dots = 0;
    dots += c == '.';
    TAUT_CHECK(dots < kMostParts, "[{}:{}] expected a key of at most {} parts", name, line, kMostParts);
  }
}

nlohmann::ordered_json parse_json(const std::string& text) {
  using Json = nlohmann::ordered_json;
  constexpr int kDeepest = 64;  // values are copied and compared level by level, on the stack
  int depth = 0;
  bool quoted = false;
  for (size_t i = 0; i < text.size() && depth <= kDeepest; ++i) {
    const char c = text[i];
    if (quoted && c == '\\')
      ++i;
    else if (c == '"')
      quoted = !quoted;
    else if (!quoted)
      depth += (c == '[' || c == '{') - (c == ']' || c == '}');
  }
  return depth > kDeepest ? Json(Json::value_t::discarded) : Json::parse(text, nullptr, false);
}

}  // namespace taut::study
