// taut ls: what there is to choose from.
#include "attacks/attack.h"
#include "data/dataset.h"
#include "finetune/strategy.h"
#include "study/command/command.h"
#include "study/presets.h"
#include "study/toml.h"

namespace taut::study {
namespace {

std::vector<Row> strategies() {
  std::vector<Row> rows;
  for (const std::string& name : finetune::strategy_names())
    rows.push_back({{"strategy", name}, {"description", finetune::strategy(name).description()}});
  return rows;
}

std::vector<Row> attacks_list() {
  std::vector<Row> rows;
  for (const attacks::Attack& a : attacks::attack_list())
    rows.push_back({{"attack", a.name}, {"description", a.description}});
  return rows;
}

std::vector<Row> datasets() {
  std::vector<Row> rows;
  for (const DatasetFormat& f : dataset_formats())
    rows.push_back({{"data.path", f.path}, {"description", f.description}});
  return rows;
}

std::vector<Row> preset_rows() {
  std::vector<Row> rows;
  for (const Preset& p : presets()) {
    const TomlTable table = parse_toml(p.text, p.name);
    const auto title = table.values.find("study.title");
    rows.push_back({{"preset", p.name}, {"title", title == table.values.end() ? "" : title->second}});
  }
  return rows;
}

std::vector<Row> settings() {
  std::vector<Row> rows;
  for (const Key& key : all_keys())
    rows.push_back({{"setting", key.name}, {"value", key.built_in}, {"meaning", key.doc}});
  return rows;
}

}  // namespace

void add_list_commands(CLI::App& app, const ExitCode&) {
  CLI::App* ls = app.add_subcommand("ls", "strategies, attacks, datasets, presets, models, settings");
  ls->require_subcommand(1);
  const std::vector<std::pair<const char*, std::vector<Row> (*)()>> lists = {
      {"strategies", strategies}, {"attacks", attacks_list}, {"datasets", datasets},
      {"presets", preset_rows},   {"models", model_rows},    {"settings", settings}};
  for (const auto& [name, rows] : lists) {
    CLI::App* one = ls->add_subcommand(name, std::string("all ") + name);
    const CommonPtr common = add_common(*one);
    one->callback([common, rows = rows] {
      begin(*common);
      print_rows(rows(), format_by_name(common->format));
    });
  }
}

}  // namespace taut::study
