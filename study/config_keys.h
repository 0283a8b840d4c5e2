// Every setting there is: key, type, built-in value, range and one line of documentation, in one table.
#pragma once

#include <string>
#include <vector>

namespace taut::study {

enum class KeyType { kText, kInteger, kNumber, kFlag, kChoice, kTexts, kIntegers, kNumbers };

struct Key {
  std::string name;  // "attack.eps"
  KeyType type;
  std::string built_in;  // as it would be typed; lists are separated by commas
  std::string doc;       // one line
  double low, high;      // of numbers and of each element of a list of numbers
  std::vector<std::string> choices;
  bool names_run = true;  // false: where things lie and how fast it runs; enters no hash, may change on resume
};

const std::vector<Key>& all_keys();
// Throws Error(kUsage) naming the nearest key.
const Key& find_key(const std::string& name);

}  // namespace taut::study
