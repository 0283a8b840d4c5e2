#include "study/plan.h"

#include <algorithm>
#include <filesystem>
#include <set>

#include "data/manifest.h"
#include "kernels/error.h"
#include "study/study_file.h"

namespace taut::study {
namespace {

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

// The parts of a file that decide about a run, the weaker before the stronger.
using Parts = std::vector<const Part*>;

Parts parts_of(const StudyFile& study, const Part& dataset, const Part& variant, const std::string& strategy) {
  const auto own = study.of_strategy.find(strategy);
  Parts parts = {&study.whole, &dataset};
  if (own != study.of_strategy.end()) parts.push_back(&own->second);
  parts.push_back(&variant);
  return parts;
}

// What a part says last holds: a setting that is given or swept there is not swept by the parts before it.
std::vector<const SweepAxis*> axes_of(const Parts& parts) {
  std::vector<const SweepAxis*> axes;
  for (const Part* part : parts) {
    std::erase_if(axes, [&](const SweepAxis* weaker) {
      return part->settings.contains(weaker->key) ||
             std::ranges::any_of(part->axes, [&](const SweepAxis& own) { return own.key == weaker->key; });
    });
    for (const SweepAxis& axis : part->axes) axes.push_back(&axis);
  }
  return axes;
}

// Environment and command line replace a sweep, as they replace a setting.
void drop_replaced(std::vector<const SweepAxis*>& axes, const std::vector<std::string>& arguments) {
  Config said;
  said.set_from_environment();
  said.set_arguments(arguments);
  std::erase_if(axes, [&](const SweepAxis* axis) { return said.source(axis->key) >= Source::kEnvironment; });
}

std::vector<std::string> seeds_of(const Parts& parts) {
  for (auto part = parts.rbegin(); part != parts.rend(); ++part)
    if (!(*part)->seeds.empty()) return (*part)->seeds;
  return {"0"};
}

std::string joined(const std::string& a, const std::string& b) { return a + (a.empty() || b.empty() ? "" : "-") + b; }

PlanRow make_row(const Parts& parts, const Combination& swept, const std::string& strategy, const std::string& seed,
                 Source source, const std::vector<std::string>& arguments) {
  PlanRow row;
  row.dataset = parts[1]->name;
  row.strategy = strategy;
  row.variant = joined(parts.back()->name, swept.name);
  if (row.variant.empty()) row.variant = "base";
  const auto settings = [&](bool official) {
    Config config;
    for (const Part* part : parts) {
      config.set_all(part->settings, source);
      if (official) config.set_all(part->official, source);
    }
    config.set_all(swept.settings, source);
    config.set("model.strategy", strategy, source);
    if (!seed.empty()) config.set("seed", seed, source);
    config.set_from_environment();
    config.set_arguments(arguments);
    return config;
  };
  row.config = settings(false);
  if (row.config.text("study.mode") == "official") row.config = settings(true);
  Config& config = row.config;
  TAUT_CHECK(config.text("model.strategy") == strategy,
             "[model.strategy] a study runs the strategies of study.strategies; hint: edit those");
  fall_back(row);
  name_list(row);
  config.set_hints();
  row.run_id = fmt::format("{}-{}-{}-s{}-{}", row.dataset, strategy, row.variant, config.integer("seed"),
                           config.hash().substr(0, 8));
  std::ranges::replace(row.run_id, ':', '_');
  return row;
}

// The runs of one data set, setting and strategy.
struct RunGroup {
  Parts parts;
  std::string strategy;
  std::vector<const SweepAxis*> axes;
  std::vector<std::string> seeds;
};

// In the plan's order; `used` becomes the axes that some run has, the replaced ones with them.
std::vector<RunGroup> groups_of(const StudyFile& study, const std::vector<std::string>& arguments,
                                std::set<const SweepAxis*>& used) {
  std::vector<RunGroup> groups;
  for (const Part& dataset : study.datasets)
    for (const Part& variant : study.variants)
      for (const std::string& strategy : study.strategies) {
        if (!applies(variant.strategies, strategy) || !applies(dataset.strategies, strategy) ||
            !applies(variant.datasets, dataset.name))
          continue;
        const Parts parts = parts_of(study, dataset, variant, strategy);
        std::vector<const SweepAxis*> axes = axes_of(parts);
        used.insert(axes.begin(), axes.end());
        drop_replaced(axes, arguments);
        groups.push_back({parts, strategy, axes, seeds_of(parts)});
      }
  return groups;
}

// A sweep that no run takes part in is a slip of the pen.
void check_axes_used(const StudyFile& study, const std::set<const SweepAxis*>& used) {
  const auto check = [&](const Part& part) {
    for (const SweepAxis& axis : part.axes)
      TAUT_CHECK(used.contains(&axis), "[{}] sweeps no run: each has {} from a table that is stronger, or none applies",
                 axis.where, axis.key);
  };
  check(study.whole);
  for (const Part& part : study.datasets) check(part);
  for (const Part& part : study.variants) check(part);
  for (const auto& [name, part] : study.of_strategy) check(part);
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
  StudyFile study = read_study_file(text, name);
  TAUT_CHECK(!study.strategies.empty(), "[{}] expected study.strategies, a list of strategies", name);
  TAUT_CHECK(!study.datasets.empty(), "[{}] expected at least one [[study.dataset]]", name);
  if (study.variants.empty()) study.variants.emplace_back();
  std::set<const SweepAxis*> used;
  const std::vector<RunGroup> groups = groups_of(study, arguments, used);
  // A run takes a fraction of a millisecond to plan: too many are counted, not made.
  size_t runs = 0;
  for (const RunGroup& group : groups) runs += count_combinations(group.axes) * group.seeds.size();
  TAUT_CHECK(runs > 0, "[{}] plans no run", name);
  TAUT_CHECK(runs <= kMostRuns, "[{}] plans {} runs, expected at most {}", name, runs, kMostRuns);
  Plan plan;
  plan.title = study.title;
  std::set<std::string> ids;
  for (const RunGroup& group : groups)
    for (const Combination& swept : combinations(group.axes))
      for (const std::string& seed : group.seeds) {
        plan.rows.push_back(make_row(group.parts, swept, group.strategy, seed, source, arguments));
        TAUT_CHECK(ids.insert(plan.rows.back().run_id).second, "[{}] two runs are the same: {}", name,
                   plan.rows.back().run_id);
      }
  check_axes_used(study, used);
  return plan;
}

PlanRow single_run(const std::string& text, const std::string& name, Source source,
                   const std::vector<std::string>& arguments) {
  const StudyFile study = read_study_file(text, name);
  // The strategy decides which other settings apply, so it is asked for first.
  Config first;
  first.set_all(study.whole.settings, source);
  first.set_from_environment();
  first.set_arguments(arguments);
  const Part none{.name = "run"}, &dataset = study.datasets.empty() ? none : study.datasets.front();
  const std::string& strategy = first.text("model.strategy");
  const Parts parts = parts_of(study, dataset, none, strategy);
  std::vector<const SweepAxis*> axes = axes_of(parts);
  drop_replaced(axes, arguments);
  TAUT_CHECK(axes.empty(), "[{}] is swept, which makes many runs; hint: taut study run, or {}=VALUE",
             axes.empty() ? "" : axes.front()->where, axes.empty() ? "" : axes.front()->key);
  return make_row(parts, {}, strategy, "", source, arguments);
}

void check_run_id(const std::string& run_id, const std::string& file) {
  constexpr size_t kLongest = 255;  // NAME_MAX
  const auto part_of_a_name = [](unsigned char c) { return c >= 0x20 && c != 0x7F && c != '/'; };
  if (run_id.empty() || run_id.size() > kLongest || run_id == "." || run_id == ".." ||
      !std::ranges::all_of(run_id, part_of_a_name))
    fail(Exit::kBadData, "[{}] expected the name of a run's folder, got '{}'", file, run_id);
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
  for (const PlanRow& row : plan.rows) check_run_id(row.run_id, file);
  return plan;
}

}  // namespace taut::study
