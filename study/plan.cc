#include "study/plan.h"

#include <algorithm>
#include <filesystem>
#include <set>

#include "data/manifest.h"
#include "finetune/strategy.h"
#include "kernels/error.h"
#include "study/toml.h"
#include "tensor/nearest.h"

namespace taut::study {
namespace {

using Values = std::map<std::string, std::string>;

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

struct Part {
  std::string name;
  Values settings;
  std::vector<std::string> strategies, datasets, seeds;  // empty: all
};

struct StudyFile {
  std::string title;
  Values settings;
  std::vector<std::string> strategies, seeds;
  std::vector<Part> datasets, variants;
  std::map<std::string, Values> of_strategy;
};

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

std::vector<Part> parts_of(const TomlTable& table, const std::string& key, const std::string& file) {
  std::vector<Part> parts;
  const auto it = table.tables.find(key);
  if (it == table.tables.end()) return parts;
  const std::string where = file + ": [[" + key + "]]";
  for (const TomlTable& t : it->second) {
    TAUT_CHECK(t.tables.empty(), "[{}] expected no list of tables within", where);
    Part part;
    part.settings = t.values;
    part.name = take(part.settings, "name");
    part.strategies = split(take(part.settings, "strategies"));
    part.datasets = split(take(part.settings, "datasets"));
    part.seeds = split(take(part.settings, "seeds"));
    check_name(part.name, where + " name");
    check_strategies(part.strategies, where + " strategies");
    parts.push_back(std::move(part));
  }
  return parts;
}

StudyFile read_study(const std::string& text, const std::string& name) {
  const TomlTable table = parse_toml(text, name);
  StudyFile study;
  study.settings = table.values;
  study.title = take(study.settings, "study.title", std::filesystem::path(name).stem().string());
  study.strategies = split(take(study.settings, "study.strategies"));
  study.seeds = split(take(study.settings, "study.seeds", "0"));
  check_strategies(study.strategies, name + ": study.strategies");
  static const std::string kOfStrategy = "study.strategy.";
  for (auto it = study.settings.begin(); it != study.settings.end();) {
    if (!it->first.starts_with(kOfStrategy)) {
      ++it;
      continue;
    }
    const std::string rest = it->first.substr(kOfStrategy.size());
    const auto dot = std::min(rest.find('.'), rest.size());
    check_strategies({rest.substr(0, dot)}, name + ": study.strategy");
    TAUT_CHECK(dot < rest.size(), "[{}: {}] expected settings of the strategy", name, it->first);
    study.of_strategy[rest.substr(0, dot)][rest.substr(dot + 1)] = it->second;
    it = study.settings.erase(it);
  }
  for (const auto& [key, tables] : table.tables)
    TAUT_CHECK(key == "study.dataset" || key == "study.setting",
               "[{}] expected [[study.dataset]] and [[study.setting]], got [[{}]]", name, key);
  study.datasets = parts_of(table, "study.dataset", name);
  study.variants = parts_of(table, "study.setting", name);
  return study;
}

bool applies(const std::vector<std::string>& only, const std::string& name) {
  return only.empty() || std::ranges::count(only, name) > 0;
}

// A data set that is not here and has a stand-in gives way to it.
void fall_back(PlanRow& row) {
  const std::string fallback = row.config.text("data.fallback");
  if (fallback.empty() || row.config.source("data.path") == Source::kCommandLine) return;
  const std::string path = located(row.config, "data.path");
  if (path.starts_with("procedural:") || std::filesystem::exists(path)) return;
  row.notes.push_back(fmt::format("{} is not on this machine; {} takes its place", path, fallback));
  row.config.set("data.path", fallback, Source::kCommandLine);
  row.config.set("data.classes", "", Source::kCommandLine);
}

// An imported data set's list of images becomes one of the settings: another list is another run.
void name_list(PlanRow& row) {
  if (!row.config.text("data.sha256").empty() || row.config.text("data.path").empty()) return;
  const std::string sha256 = imported_list_sha256(located(row.config, "data.path"));
  if (!sha256.empty()) row.config.set("data.sha256", sha256, row.config.source("data.path"));
}

PlanRow make_row(const StudyFile& study, const Part& dataset, const Part& variant, const std::string& strategy,
                 const std::string& seed, Source source, const std::vector<std::string>& arguments) {
  PlanRow row;
  row.dataset = dataset.name;
  row.strategy = strategy;
  row.variant = variant.name;
  Config& config = row.config;
  config.set_all(study.settings, source);
  config.set_all(dataset.settings, source);
  const auto own = study.of_strategy.find(strategy);
  if (own != study.of_strategy.end()) config.set_all(own->second, source);
  config.set_all(variant.settings, source);
  config.set("model.strategy", strategy, source);
  if (!seed.empty()) config.set("seed", seed, source);
  config.set_from_environment();
  config.set_arguments(arguments);
  TAUT_CHECK(config.text("model.strategy") == strategy,
             "[model.strategy] a study runs the strategies of study.strategies; hint: edit those");
  fall_back(row);
  name_list(row);
  config.set_hints();
  row.run_id = fmt::format("{}-{}-{}-s{}-{}", dataset.name, strategy, variant.name, config.integer("seed"),
                           config.hash().substr(0, 8));
  std::ranges::replace(row.run_id, ':', '_');
  return row;
}

}  // namespace

std::string located(const Config& config, const std::string& key) {
  const std::string &path = config.text(key), &root = config.text("data.root");
  if (path.empty() || root.empty() || path.starts_with("procedural") || std::filesystem::path(path).is_absolute())
    return path;
  return (std::filesystem::path(root) / path).string();
}

Plan make_plan(const std::string& text, const std::string& name, Source source,
               const std::vector<std::string>& arguments) {
  const StudyFile study = read_study(text, name);
  TAUT_CHECK(!study.strategies.empty(), "[{}] expected study.strategies, a list of strategies", name);
  TAUT_CHECK(!study.datasets.empty(), "[{}] expected at least one [[study.dataset]]", name);
  std::vector<Part> variants = study.variants;
  if (variants.empty())
    variants.push_back({.name = "base", .settings = {}, .strategies = {}, .datasets = {}, .seeds = {}});
  Plan plan;
  plan.title = study.title;
  std::set<std::string> ids;
  for (const Part& dataset : study.datasets)
    for (const Part& variant : variants)
      for (const std::string& strategy : study.strategies) {
        if (!applies(variant.strategies, strategy) || !applies(dataset.strategies, strategy) ||
            !applies(variant.datasets, dataset.name))
          continue;
        for (const std::string& seed : variant.seeds.empty() ? study.seeds : variant.seeds) {
          plan.rows.push_back(make_row(study, dataset, variant, strategy, seed, source, arguments));
          TAUT_CHECK(ids.insert(plan.rows.back().run_id).second, "[{}] two runs are the same: {}", name,
                     plan.rows.back().run_id);
        }
      }
  TAUT_CHECK(!plan.rows.empty(), "[{}] plans no run", name);
  return plan;
}

PlanRow single_run(const std::string& text, const std::string& name, Source source,
                   const std::vector<std::string>& arguments) {
  const StudyFile study = read_study(text, name);
  // The strategy decides which other settings apply, so it is asked for first.
  Config first;
  first.set_all(study.settings, source);
  first.set_from_environment();
  first.set_arguments(arguments);
  const Part none{.name = "run", .settings = {}, .strategies = {}, .datasets = {}, .seeds = {}};
  return make_row(study, study.datasets.empty() ? none : study.datasets.front(), none, first.text("model.strategy"), "",
                  source, arguments);
}

nlohmann::ordered_json to_json(const PlanRow& row) {
  const Config& c = row.config;
  return {{"run_id", row.run_id},
          {"dataset", row.dataset},
          {"strategy", row.strategy},
          {"variant", row.variant},
          {"seed", c.integer("seed")},
          {"model", c.text("model.name")},
          {"data", c.text("data.path")},
          {"steps", c.integer("train.steps")},
          {"epochs", c.integer("train.steps") > 0 ? 0 : c.integer("train.epochs")},
          {"batch", c.integer("train.batch")},
          {"lr", c.number("train.lr")},
          {"attack", c.text("attack.name")},
          {"eps", c.number("attack.eps")},
          {"config_sha256", c.hash()}};
}

nlohmann::ordered_json to_json(const Plan& plan) {
  nlohmann::ordered_json rows = nlohmann::ordered_json::array();
  for (const PlanRow& row : plan.rows) {
    nlohmann::ordered_json settings;
    for (const Key& key : all_keys())
      settings[key.name] = {row.config.value_text(key.name), name(row.config.source(key.name))};
    rows.push_back({{"run_id", row.run_id},
                    {"dataset", row.dataset},
                    {"strategy", row.strategy},
                    {"variant", row.variant},
                    {"notes", row.notes},
                    {"settings", settings}});
  }
  return {{"title", plan.title}, {"rows", rows}};
}

Plan plan_from_json(const nlohmann::ordered_json& json, const std::string& file) {
  Plan plan;
  try {
    plan.title = json.at("title");
    for (const auto& r : json.at("rows")) {
      PlanRow row;
      row.run_id = r.at("run_id");
      row.dataset = r.at("dataset");
      row.strategy = r.at("strategy");
      row.variant = r.at("variant");
      row.notes = r.at("notes").get<std::vector<std::string>>();
      for (const auto& [key, value] : r.at("settings").items())
        row.config.set(key, value.at(0), source_by_name(value.at(1)));
      plan.rows.push_back(std::move(row));
    }
  } catch (const nlohmann::json::exception& error) {
    fail(Exit::kBadData, "[{}] is no plan of a study: {}", file, error.what());
  } catch (const Error& error) {
    fail(Exit::kBadData, "[{}] is no plan of a study: {}", file, error.what());
  }
  if (plan.rows.empty()) fail(Exit::kBadData, "[{}] plans no run", file);
  return plan;
}

}  // namespace taut::study
