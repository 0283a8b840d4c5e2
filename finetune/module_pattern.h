// Patterns of modules' names in a configuration of peft: regular expressions, out of a file that may be hostile.
#pragma once

#include <regex>
#include <string>

namespace taut::finetune {

// Compiled once; matches in a time in proportion to the pattern times the name, whatever both are.
class ModulePattern {
 public:
  static constexpr size_t kMostBytes = 200;

  // `before` is put before it. Throws Error(kBadData) naming `file` and `key` for what is no regular expression or too
  // long, looks ahead or behind, counts repetitions ("{9}") or refers back: those may take time or memory without end.
  ModulePattern(const std::string& pattern, const std::string& key, const std::string& file,
                const std::string& before = "");
  // Whether it is the whole name, as Python's re.fullmatch.
  bool matches(const std::string& module) const { return std::regex_match(module, regex_); }

 private:
  std::regex regex_;
};

}  // namespace taut::finetune
