#include "study/study_file.h"

#include <algorithm>
#include <charconv>
#include <filesystem>

#include "finetune/strategy.h"
#include "kernels/error.h"
#include "study/config.h"
#include "tensor/nearest.h"

namespace taut::study {
namespace {

std::vector<std::string> split(const std::string& list) {
  std::vector<std::string> items;
  for (size_t begin = 0; begin < list.size();) {
    const size_t end = std::min(list.find(", ", begin), list.size());
    items.push_back(list.substr(begin, end - begin));
    begin = end + 2;
  }
  return items;
}

// Takes a value out of the table, so that what remains are settings.
std::string take(Values& values, const std::string& key, const std::string& otherwise = "") {
  const auto it = values.find(key);
  if (it == values.end()) return otherwise;
  std::string value = it->second;
  values.erase(it);
  return value;
}

// Everything below a prefix, without it.
template <class Value>
std::map<std::string, Value> take_below(std::map<std::string, Value>& values, const std::string& prefix) {
  std::map<std::string, Value> taken;
  for (auto it = values.lower_bound(prefix); it != values.end() && it->first.starts_with(prefix);) {
    taken[it->first.substr(prefix.size())] = std::move(it->second);
    it = values.erase(it);
  }
  return taken;
}

void check_strategies(const std::vector<std::string>& names, const std::string& where) {
  for (const std::string& s : names)
    TAUT_CHECK(std::ranges::count(finetune::strategy_names(), s) > 0, "[{}] there is no strategy '{}'; hint: {}", where,
               s, did_you_mean(s, finetune::strategy_names()));
}

void check_name(const std::string& name, const std::string& where) {
  const bool fits = !name.empty() && name.size() <= 64 && std::ranges::all_of(name, [](unsigned char c) {
    return std::isalnum(c) != 0 || c == '-' || c == '_' || c == ':' || c == '.';
  });
  TAUT_CHECK(fits, "[{}] expected a name of letters, digits, '-', '_', ':' and '.', got '{}'", where, name);
}

// seeds = [3, 7], or repeats = 3 for the seeds 0, 1, 2.
std::vector<std::string> take_seeds(Values& values, const std::string& prefix, const std::string& where) {
  std::vector<std::string> seeds = split(take(values, prefix + "seeds"));
  const std::string repeats = take(values, prefix + "repeats");
  if (repeats.empty()) return seeds;
  TAUT_CHECK(seeds.empty(), "[{}] expected seeds or repeats, got both", where);
  int64_t count = 0;
  const auto [stop, error] = std::from_chars(repeats.data(), repeats.data() + repeats.size(), count);
  TAUT_CHECK(error == std::errc() && stop == repeats.data() + repeats.size() && count >= 1 && count <= 10'000,
             "[{} repeats] expected a whole number from 1 to 10000, got '{}'", where, repeats);
  for (int64_t seed = 0; seed < count; ++seed) seeds.push_back(std::to_string(seed));
  return seeds;
}

// Takes what a part can say beside settings; what then remains in `table` are its settings.
Part take_part(TomlTable& table, const std::string& prefix, const std::string& where) {
  Part part;
  part.axes = take_axes(table, prefix + "sweep.", where);
  part.official = take_below(table.values, prefix + "official.");
  for (const auto& [key, value] : part.official)
    TAUT_CHECK(key != "study.mode", "[{}: {}official.study.mode] expected another setting: the mode decides which hold",
               where, prefix);
  part.seeds = take_seeds(table.values, prefix, where);
  return part;
}

void keep_settings(Part& part, TomlTable& table) {
  for (const auto& [key, list] : table.lists) check_plain(list);
  part.settings = std::move(table.values);
  for (const SweepAxis& axis : part.axes)
    TAUT_CHECK(!part.settings.contains(axis.key), "[{}] expected a setting that this table does not set, too",
               axis.where);
}

std::vector<Part> parts_of(TomlTable& table, const std::string& key, const std::string& file) {
  std::vector<Part> parts;
  const auto it = table.tables.find(key);
  if (it == table.tables.end()) return parts;
  const std::string where = file + ": [[" + key + "]]";
  for (TomlTable& t : it->second) {
    TAUT_CHECK(t.tables.empty(), "[{}] expected no list of tables within", where);
    const std::string name = take(t.values, "name");
    check_name(name, where + " name");
    Part part = take_part(t, "", where + " " + name);
    part.name = name;
    part.strategies = split(take(t.values, "strategies"));
    part.datasets = split(take(t.values, "datasets"));
    check_strategies(part.strategies, where + " strategies");
    keep_settings(part, t);
    parts.push_back(std::move(part));
  }
  return parts;
}

// [study.strategy.NAME]
void take_strategies(TomlTable& table, const std::string& file, StudyFile& study) {
  static const std::string kPrefix = "study.strategy.";
  std::map<std::string, TomlTable> tables;
  const auto divide = [&](auto& from, auto member) {
    for (auto& [rest, value] : take_below(from, kPrefix)) {
      const auto dot = std::min(rest.find('.'), rest.size());
      check_strategies({rest.substr(0, dot)}, file + ": study.strategy");
      TAUT_CHECK(dot < rest.size(), "[{}: {}{}] expected settings of the strategy", file, kPrefix, rest);
      (tables[rest.substr(0, dot)].*member)[rest.substr(dot + 1)] = value;
    }
  };
  divide(table.values, &TomlTable::values);
  divide(table.lists, &TomlTable::lists);
  for (auto& [name, own] : tables) {
    Part part = take_part(own, "", file + ": " + kPrefix + name);
    part.name = name;
    keep_settings(part, own);
    study.of_strategy[name] = std::move(part);
  }
}

}  // namespace

StudyFile read_study_file(const std::string& text, const std::string& name) {
  TomlTable table = parse_toml(text, name, TomlItems::kAny);
  StudyFile study;
  study.title = take(table.values, "study.title", std::filesystem::path(name).stem().string());
  study.strategies = split(take(table.values, "study.strategies"));
  check_strategies(study.strategies, name + ": study.strategies");
  study.whole = take_part(table, "study.", name);
  take_strategies(table, name, study);
  for (const auto& [key, tables] : table.tables)
    TAUT_CHECK(key == "study.dataset" || key == "study.setting",
               "[{}] expected [[study.dataset]] and [[study.setting]], got [[{}]]", name, key);
  study.datasets = parts_of(table, "study.dataset", name);
  study.variants = parts_of(table, "study.setting", name);
  keep_settings(study.whole, table);
  return study;
}

}  // namespace taut::study
