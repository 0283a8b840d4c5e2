// taut ls: what there is to choose from.
#include "finetune/strategy.h"
#include "study/command.h"
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
  return {{{"attack", "pgd"}, {"description", "projected gradient descent from a random start (Madry et al., 2018)"}},
          {{"attack", "bim"}, {"description", "the same from the image itself (Kurakin et al., 2017)"}},
          {{"attack", "fgsm"}, {"description", "one step of the whole budget (Goodfellow et al., 2015)"}}};
}

std::vector<Row> datasets() {
  const auto row = [](const char* path, const char* description) {
    return Row{{"data.path", path}, {"description", description}};
  };
  return {row("FOLDER with data_batch_*.bin, test_batch.bin", "CIFAR-10, any subset of the batches"),
          row("FOLDER with train.bin, test.bin", "CIFAR-100, fine labels"),
          row("FOLDER with *-images-idx3-ubyte[.gz]", "IDX: MNIST, Fashion-MNIST"),
          row("FOLDER with labels.csv, or data.labels=FILE", "images listed as file,class_index"),
          row("FOLDER with {train,test}/CLASS/* or CLASS/*", "class folders of JPEG or PNG"),
          row("FOLDER with DOMAIN/CLASS/* and data.domain=DOMAIN", "one domain of several"),
          row("procedural:easy", "made from a seed: five classes unlike each other"),
          row("procedural:fine", "made from a seed: five variations of one figure"),
          row("procedural:upstream", "made from a seed: the 100 classes of pre-training")};
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
