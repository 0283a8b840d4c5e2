// YAML from strangers, read into a small tree: yaml-cpp parses, and what it would let grow is bounded here.
#pragma once

#include <string>
#include <utility>
#include <vector>

namespace taut::study {

struct YamlLimits {
  static constexpr size_t kBytes = size_t{1} << 20;
  static constexpr size_t kDepth = 32;
  static constexpr size_t kNodes = 20'000;  // with every alias counted as what it stands for, and a text as one for
  static constexpr size_t kText = 64;       // each so many bytes
};

struct YamlNode {
  enum class Kind { kNull, kScalar, kList, kMap };
  Kind kind = Kind::kNull;
  int line = 0;                                          // from 1
  std::string text;                                      // of a scalar
  bool quoted = false;                                   // then it is text, whatever it looks like
  std::vector<YamlNode> items;                           // of a list
  std::vector<std::pair<std::string, YamlNode>> fields;  // of a map, in the file's order, no key twice

  bool is_map() const { return kind == Kind::kMap; }
  // The field of that name, null where there is none.
  const YamlNode* find(const std::string& key) const;
  // On one line, for messages: `[k, v]`.
  std::string to_text() const;
};

// The documents of a file, without empty ones. Throws Error(kMissing) and Error(kIo) as reading does, Error(kBadData)
// naming file and line: no YAML, no UTF-8, beyond a limit, a key that comes twice or is no scalar, tags of other types
// than YAML's own, an alias of what is around it, merge keys.
std::vector<YamlNode> read_yaml(const std::string& path);
// The same of a text that is called `name`.
std::vector<YamlNode> parse_yaml(const std::string& text, const std::string& name);

}  // namespace taut::study
