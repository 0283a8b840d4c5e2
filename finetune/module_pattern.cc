#include "finetune/module_pattern.h"

#include "kernels/error.h"
#include "tensor/files/file_bytes.h"

namespace taut::finetune {
namespace {

std::regex compiled(const std::string& pattern, const std::string& key, const std::string& file,
                    const std::string& before) {
  const auto refuse = [&](const std::string& expected) {
    fail(Exit::kBadData, "[{}] key '{}': expected a regular expression {}, got '{}'", file, key, expected,
         printable(pattern));
  };
  if (pattern.size() > ModulePattern::kMostBytes) refuse(fmt::format("of at most {} bytes", ModulePattern::kMostBytes));
  bool plain_groups = true;
  for (size_t at = 0; (at = pattern.find("(?", at)) != std::string::npos; ++at)
    plain_groups = plain_groups && pattern.compare(at, 3, "(?:") == 0;
  if (!plain_groups || pattern.find('{') != std::string::npos)
    refuse("without counted repetitions and groups other than (...) and (?:...)");
  // libstdc++'s breadth-first search, which keeps the states it is in instead of trying one way after another. It has
  // no references back.
  try {
    return std::regex(before + "(" + pattern + ")", std::regex::ECMAScript | std::regex_constants::__polynomial);
  } catch (const std::regex_error& e) {
    refuse(fmt::format("that is one ({})", e.what()));
  }
  return {};
}

}  // namespace

ModulePattern::ModulePattern(const std::string& pattern, const std::string& key, const std::string& file,
                             const std::string& before)
    : regex_(compiled(pattern, key, file, before)) {}

}  // namespace taut::finetune
