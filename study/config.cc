#include "study/config.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <cstring>

#include "kernels/error.h"
#include "study/config_text.h"
#include "study/schedule.h"
#include "study/text_file.h"
#include "study/toml.h"
#include "tensor/nearest.h"
#include "tensor/sha256.h"

extern char** environ;

namespace taut::study {
namespace {

std::string trim(const std::string& text) {
  const auto begin = text.find_first_not_of(" \t\n\r");
  if (begin == std::string::npos) return "";
  return text.substr(begin, text.find_last_not_of(" \t\n\r") - begin + 1);
}

std::vector<std::string> split_list(const std::string& text) {
  std::vector<std::string> items;
  std::string rest = trim(text);
  if (rest.size() >= 2 && rest.front() == '[' && rest.back() == ']') rest = trim(rest.substr(1, rest.size() - 2));
  while (!rest.empty()) {
    const auto comma = rest.find(',');
    std::string item = trim(rest.substr(0, comma));
    if (item.size() >= 2 && item.front() == '"' && item.back() == '"') item = item.substr(1, item.size() - 2);
    items.push_back(item);
    rest = comma == std::string::npos ? "" : rest.substr(comma + 1);
  }
  return items;
}

double plain_number(const std::string& key, const std::string& text, const std::string& whole) {
  double value = 0;
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, value);
  TAUT_CHECK(!text.empty() && error == std::errc() && stop == end && std::isfinite(value),
             "[{}] expected a number or a fraction like 1/255, got '{}'", key, whole);
  return value;
}

int64_t parse_integer(const std::string& key, const std::string& text) {
  int64_t value = 0;
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, value);
  TAUT_CHECK(!text.empty() && error == std::errc() && stop == end, "[{}] expected a whole number, got '{}'", key, text);
  return value;
}

void check_range(const Key& key, double value) {
  TAUT_CHECK(value >= key.low && value <= key.high, "[{}] expected a value between {:g} and {:g}, got {:g}", key.name,
             key.low, key.high, value);
}

void check_value(const Key& key, const std::string& text) {
  switch (key.type) {
    case KeyType::kText:
    case KeyType::kTexts: return;
    case KeyType::kInteger: return check_range(key, static_cast<double>(parse_integer(key.name, text)));
    case KeyType::kNumber: return check_range(key, parse_number(key.name, text));
    case KeyType::kFlag:
      TAUT_CHECK(text == "true" || text == "false", "[{}] expected true or false, got '{}'", key.name, text);
      return;
    case KeyType::kChoice:
      TAUT_CHECK(std::find(key.choices.begin(), key.choices.end(), text) != key.choices.end(),
                 "[{}] there is no '{}'; hint: {}", key.name, text, did_you_mean(text, key.choices));
      return;
    case KeyType::kIntegers:
      for (const std::string& item : split_list(text))
        check_range(key, static_cast<double>(parse_integer(key.name, item)));
      return;
    case KeyType::kNumbers:
      for (const std::string& item : split_list(text)) check_range(key, parse_number(key.name, item));
      return;
  }
}

// One spelling for one value, so that 5e-3 and 0.005 name the same run; fractions stay fractions.
std::string canonical(const Key& key, const std::string& text) {
  const auto number = [&](const std::string& s) {
    const auto slash = s.find('/');
    if (slash == std::string::npos) return fmt::format("{}", parse_number(key.name, s));
    return fmt::format("{}/{}", parse_number(key.name, s.substr(0, slash)),
                       parse_number(key.name, s.substr(slash + 1)));
  };
  switch (key.type) {
    case KeyType::kInteger: return std::to_string(parse_integer(key.name, text));
    case KeyType::kNumber: return number(text);
    case KeyType::kText:
    case KeyType::kChoice:
    case KeyType::kFlag: return text;
    default: break;
  }
  std::string list;
  for (const std::string& item : split_list(text))
    list +=
        (list.empty() ? "" : ", ") + (key.type == KeyType::kNumbers    ? number(item)
                                      : key.type == KeyType::kIntegers ? std::to_string(parse_integer(key.name, item))
                                                                       : item);
  return list;
}

std::string toml_value(const Key& key, const std::string& text) {
  const auto quoted = [](const std::string& s) { return toml_string(s); };
  const auto is_fraction = [](const std::string& s) { return s.find('/') != std::string::npos; };
  switch (key.type) {
    case KeyType::kText:
    case KeyType::kChoice: return quoted(text);
    case KeyType::kInteger:
    case KeyType::kFlag: return text;
    case KeyType::kNumber: return is_fraction(text) ? quoted(text) : text;
    default: break;
  }
  std::string list;
  for (const std::string& item : split_list(text)) {
    if (!list.empty()) list += ", ";
    list += key.type == KeyType::kTexts || is_fraction(item) ? quoted(item) : item;
  }
  return "[" + list + "]";
}

}  // namespace

const char* name(Source source) {
  switch (source) {
    case Source::kBuiltIn: return "built-in";
    case Source::kHint: return "hinted";
    case Source::kPreset: return "preset";
    case Source::kFile: return "file";
    case Source::kEnvironment: return "environment";
    case Source::kCommandLine: return "command line";
  }
  return "";
}

Source source_by_name(const std::string& text) {
  for (int s = 0; s <= static_cast<int>(Source::kCommandLine); ++s)
    if (text == name(static_cast<Source>(s))) return static_cast<Source>(s);
  fail(Exit::kUsage, "[config] there is no source of settings '{}'", text);
}

double parse_number(const std::string& key, const std::string& text) {
  const auto slash = text.find('/');
  if (slash == std::string::npos) return plain_number(key, trim(text), text);
  const double above = plain_number(key, trim(text.substr(0, slash)), text);
  const double below = plain_number(key, trim(text.substr(slash + 1)), text);
  TAUT_CHECK(below != 0, "[{}] expected a fraction with a denominator other than 0, got '{}'", key, text);
  return above / below;
}

std::string toml_value(const std::string& key, const std::string& text) { return toml_value(find_key(key), text); }

Config::Config() {
  for (const Key& key : all_keys()) values_[key.name] = {canonical(key, key.built_in), Source::kBuiltIn};
}

void Config::set(const std::string& name, const std::string& value, Source source) {
  const Key& key = find_key(name);
  const std::string text = key.type == KeyType::kText ? value : trim(value);
  check_value(key, text);
  Value& held = values_.at(name);
  if (source >= held.source) held = {canonical(key, text), source};
}

void Config::set_argument(const std::string& argument, Source source) {
  const auto equals = argument.find('=');
  TAUT_CHECK(equals != std::string::npos && equals > 0, "[config] expected key=value, got '{}'", argument);
  set(trim(argument.substr(0, equals)), argument.substr(equals + 1), source);
}

void Config::set_arguments(const std::vector<std::string>& arguments) {
  for (const std::string& argument : arguments) set_argument(argument, Source::kCommandLine);
}

void Config::set_all(const std::map<std::string, std::string>& values, Source source) {
  for (const auto& [key, value] : values) set(key, value, source);
}

void Config::set_from_environment() {
  static const std::string kPrefix = "TAUT_CFG_";
  std::map<std::string, std::string> keys;
  std::vector<std::string> spellings;
  for (const Key& key : all_keys()) {
    std::string spelling = kPrefix;
    for (const char c : key.name) spelling += c == '.' ? '_' : static_cast<char>(std::toupper(c));
    keys[spelling] = key.name;
    spellings.push_back(spelling);
  }
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string line = *entry;
    if (!line.starts_with(kPrefix)) continue;
    const auto equals = line.find('=');
    const std::string variable = line.substr(0, equals);
    TAUT_CHECK(keys.contains(variable), "[environment] there is no setting '{}'; hint: {}", variable,
               did_you_mean(variable, spellings));
    set(keys.at(variable), line.substr(equals + 1), Source::kEnvironment);
  }
}

void Config::set_hints() {
  const std::string& strategy = text("model.strategy");
  const bool full = strategy == "full", lora = strategy == "lora";
  const auto hint = [&](const std::string& key, const std::string& value) {
    if (source(key) <= Source::kHint) values_.at(key) = {canonical(find_key(key), value), Source::kHint};
  };
  hint("train.lr", full ? "2e-5" : lora ? "5e-4" : "5e-3");
  hint("train.weight_decay", full || lora ? "1e-2" : "0");
  const int64_t steps = integer("train.steps");  // 0: epochs decide, the protocol's own way
  hint("train.warmup", full ? "0" : std::to_string(steps > 0 ? scaled_warmup(steps) : kProtocolWarmup));
  hint("train.schedule", full ? "linear" : "cosine");
}

const Config::Value& Config::at(const std::string& name, KeyType type) const {
  const Key& key = find_key(name);
  const bool text_like = type == KeyType::kText && key.type == KeyType::kChoice;
  TAUT_CHECK(key.type == type || text_like, "[config] '{}' was asked for as another type than it has", name);
  return values_.at(name);
}

const std::string& Config::text(const std::string& key) const { return at(key, KeyType::kText).text; }
int64_t Config::integer(const std::string& key) const { return parse_integer(key, at(key, KeyType::kInteger).text); }
double Config::number(const std::string& key) const { return parse_number(key, at(key, KeyType::kNumber).text); }
bool Config::flag(const std::string& key) const { return at(key, KeyType::kFlag).text == "true"; }
std::vector<std::string> Config::texts(const std::string& key) const {
  return split_list(at(key, KeyType::kTexts).text);
}
std::vector<int64_t> Config::integers(const std::string& key) const {
  std::vector<int64_t> list;
  for (const std::string& item : split_list(at(key, KeyType::kIntegers).text)) list.push_back(parse_integer(key, item));
  return list;
}
std::vector<double> Config::numbers(const std::string& key) const {
  std::vector<double> list;
  for (const std::string& item : split_list(at(key, KeyType::kNumbers).text)) list.push_back(parse_number(key, item));
  return list;
}
Source Config::source(const std::string& key) const { return values_.at(find_key(key).name).source; }

const std::string& Config::value_text(const std::string& key) const { return values_.at(find_key(key).name).text; }

std::string Config::to_toml() const {
  std::string out = "# Every setting of this run and where it came from.\n";
  for (const Key& key : all_keys()) {
    const Value& value = values_.at(key.name);
    out += fmt::format("{} = {}  # {}\n", key.name, toml_value(key, value.text), name(value.source));
  }
  return out;
}

std::string Config::hash() const {
  std::string all;
  for (const Key& key : all_keys())
    if (key.names_run) all += key.name + " = " + toml_value(key, values_.at(key.name).text) + "\n";
  return sha256_of(all);
}

std::vector<std::string> Config::differences(const Config& before) const {
  std::vector<std::string> list;
  for (const Key& key : all_keys()) {
    const std::string &now = values_.at(key.name).text, &was = before.values_.at(key.name).text;
    if (key.names_run && toml_value(key, now) != toml_value(key, was))
      list.push_back(fmt::format("{} ({} instead of {})", key.name, toml_value(key, now), toml_value(key, was)));
  }
  return list;
}

bool is_attack(const std::string& name) { return name != "none"; }
bool is_attacked(const Config& config) { return is_attack(config.text("attack.name")); }

Config read_resolved(const std::string& path) {
  Config config;
  try {
    for (const auto& [key, value] : parse_toml(read_text_file(path), path).values)
      config.set(key, value, Source::kCommandLine);
  } catch (const Error& error) {
    if (error.code() != Exit::kUsage) throw;
    fail(Exit::kBadData, "[{}] is no configuration of a run: {}", path, error.what());
  }
  return config;
}

}  // namespace taut::study
