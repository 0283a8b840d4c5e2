// TOML as settings need it: dotted keys with values as they would be typed, and arrays of tables.
#pragma once

#include <map>
#include <string>
#include <vector>

namespace taut::study {

struct TomlList {
  std::vector<std::string> items;  // a list within the list as "1, 2, 3"
  std::string where;               // file, line and column
  bool plain = true;               // every item is a value without a comma, so that the list is one of the values
};

struct TomlTable {
  std::map<std::string, std::string> values;             // "attack.eps" -> "8/255"; a list as "1, 2, 3"
  std::map<std::string, TomlList> lists;                 // every list, with TomlItems::kAny
  std::map<std::string, std::vector<TomlTable>> tables;  // "study.dataset" -> one for each [[study.dataset]]
};

// What the items of a list may be: values that hold no comma, or any text and lists, too.
enum class TomlItems { kPlain, kAny };

// `name` is what errors call the text. Throws Error(kUsage) with line and column on bad TOML, on dates and on items of
// another kind.
TomlTable parse_toml(const std::string& text, const std::string& name, TomlItems items = TomlItems::kPlain);

// Throws what parse_toml throws for a list that is not plain.
void check_plain(const TomlList& list);

// The text quoted and escaped.
std::string toml_string(const std::string& text);

}  // namespace taut::study
