// Settings: dotted keys with values from built-in < hint < preset < file < environment < command line.
//
// Values are kept as they were written, so that 1/255 stays 1/255 in what a run records. TOML files use the same keys;
// their fractions are strings. The environment spells attack.eps as TAUT_CFG_ATTACK_EPS.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "study/config_keys.h"

namespace taut::study {

enum class Source { kBuiltIn, kHint, kPreset, kFile, kEnvironment, kCommandLine };
const char* name(Source source);
Source source_by_name(const std::string& name);  // throws Error(kUsage)

// A number or a fraction of two: "0.01", "1/255". Throws Error(kUsage) naming `key`.
double parse_number(const std::string& key, const std::string& text);

class Config {
 public:
  Config();  // built-in values

  // All check key, type and range and throw Error(kUsage) naming the key. A weaker source does not replace a stronger.
  void set(const std::string& key, const std::string& value, Source source);
  void set_argument(const std::string& argument, Source source);  // "key=value"
  void set_arguments(const std::vector<std::string>& arguments);  // of the command line
  // A table of dotted keys and values, already flattened.
  void set_all(const std::map<std::string, std::string>& values, Source source);
  void set_from_environment();
  // The learning rate, decay, warm-up and schedule that the released study's comments suggest for the strategy, where
  // nothing else was said: full 2e-5, 1e-2, linear without warm-up; LoRA 5e-4, 1e-2; the others 5e-3, 0; cosine with
  // 800 updates of warm-up.
  void set_hints();

  const std::string& text(const std::string& key) const;
  int64_t integer(const std::string& key) const;
  double number(const std::string& key) const;
  bool flag(const std::string& key) const;
  std::vector<std::string> texts(const std::string& key) const;
  std::vector<int64_t> integers(const std::string& key) const;
  std::vector<double> numbers(const std::string& key) const;
  Source source(const std::string& key) const;
  const std::string& value_text(const std::string& key) const;  // of any type, as it was written

  // All settings as TOML, each with where it came from.
  std::string to_toml() const;
  // SHA-256 over the settings that name a run (threads and where files lie do not).
  std::string hash() const;
  // The keys that name a run and whose values differ: "train.lr (0.1 instead of 0.2)".
  std::vector<std::string> differences(const Config& before) const;

 private:
  struct Value {
    std::string text;
    Source source = Source::kBuiltIn;
  };
  const Value& at(const std::string& key, KeyType type) const;
  std::map<std::string, Value> values_;
};

// Whether the attack of this name (attack.name) attacks: "none" leaves images as they are, and where it stands, counts
// of robust images are counts of clean ones that nobody may show as robust.
bool is_attack(const std::string& name);
bool is_attacked(const Config& config);

// The configuration a run recorded. Throws Error(kBadData) where the file cannot be understood.
Config read_resolved(const std::string& path);

}  // namespace taut::study
