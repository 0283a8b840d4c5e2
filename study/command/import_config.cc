// taut study import-config: configurations of the study's released code become a study here.
#include <filesystem>

#include "kernels/error.h"
#include "study/command/command.h"
#include "study/command/plans.h"
#include "study/import/released_config.h"
#include "tensor/atomic_file.h"

namespace taut::study {
namespace {

struct Options {
  std::vector<std::string> files;
  std::map<std::string, std::vector<std::string>> released;
  std::string out;
};

Row row_of(const ImportedKey& key) {
  return {{"where", key.where},     {"key", key.key},         {"value", key.value},
          {"fate", name(key.fate)}, {"setting", key.setting}, {"note", key.note}};
}

void import_files(const Options& options, const Common& common) {
  TAUT_CHECK(!std::filesystem::exists(options.out), "[--out] {} is there already; hint: another name", options.out);
  std::vector<std::pair<std::string, std::string>> said;
  for (const auto& [option, values] : options.released)
    for (const std::string& value : values) said.emplace_back(option, value);
  const ImportedStudy study = import_released(options.files, said);
  const Plan plan = make_plan(study.toml, options.out, Source::kFile, {});
  write_file_atomically(options.out, study.toml);
  for (const ImportedKey& key : study.keys)
    if (key.fate == ImportedKey::Fate::kNotMapped)
      fmt::print(stderr, "not mapped: {}: {} = {}: {}\n", key.where, key.key, key.value, key.note);
  fmt::print(stderr, "{}: {} runs; taut study plan {} lists them\n", options.out, plan.rows.size(), options.out);
  std::vector<Row> rows;
  for (const ImportedKey& key : study.keys) rows.push_back(row_of(key));
  print_rows(rows, format_by_name(common.format));
}

}  // namespace

void add_import_config_command(CLI::App& study) {
  const auto options = std::make_shared<Options>();
  CLI::App* command = study.add_subcommand("import-config", "YAML files of the study's released code become a study");
  const CommonPtr common = add_common(*command);
  command->add_option("files", options->files, "configs/*.yml, or what was logged of a run");
  command->add_option("--out", options->out, "the TOML file to write")->required();
  for (const std::string& option : released_options())
    command->add_option("--" + option, options->released[option], "as main.py has it");
  command->callback([=] {
    begin(*common);
    import_files(*options, *common);
  });
}  // namespace taut::study

}  // namespace taut::study
