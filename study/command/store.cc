// taut study merge, export.
#include "study/store/store.h"
#include "kernels/error.h"
#include "kernels/tell.h"
#include "study/command/command.h"
#include "study/export/export.h"

namespace taut::study {
namespace {

struct Options {
  std::vector<std::string> sources;
  std::string path, format;
};

// What is not done, on standard error; a list of thousands is in the store, too.
void say_problems(const Merged& merged, const std::string& where) {
  constexpr size_t kMost = 100;
  for (size_t i = 0; i < std::min(kMost, merged.problems.size()); ++i) tell("{}\n", merged.problems[i]);
  if (merged.problems.size() > kMost) tell("and {} more{}\n", merged.problems.size() - kMost, where);
}

}  // namespace

void add_store_commands(CLI::App& study, const ExitCode& code) {
  const auto options = std::make_shared<Options>();

  CLI::App* merge = study.add_subcommand("merge", "runs into one SQLite file, the same bytes in any order");
  const CommonPtr merge_common = add_common(*merge);
  merge->add_option("sources", options->sources, "folders of studies or runs, other stores")->required();
  merge->add_option("--db", options->path, "the store; what it holds stays")->required();
  merge->callback([=] {
    begin(*merge_common);
    const Merged merged = merge_into(options->sources, options->path);
    say_problems(merged, ": SELECT * FROM run WHERE state <> 'done'");
    print_rows({{{"runs", merged.runs},
                 {"done", merged.done},
                 {"missing", merged.missing},
                 {"failed", merged.failed},
                 {"conflicts", merged.conflicts},
                 {"duplicates", merged.duplicates},
                 {"db", options->path}}},
               format_by_name(merge_common->format));
    if (merged.done != merged.runs) *code = static_cast<int>(Exit::kCheckFailed);
  });

  CLI::App* exports = study.add_subcommand("export", "finished runs in the format of another tool");
  const CommonPtr export_common = add_common(*exports);
  exports->add_option("sources", options->sources, "folders of studies or runs, stores")->required();
  exports->add_option("--format", options->format, export_format_names())->required();
  exports->add_option("--out", options->path, "a file (timm-csv) or a folder")->required();
  exports->callback([=] {
    begin(*export_common);
    const ExportFormat format = export_format_by_name(options->format);
    Merged merged;
    Database store = store_of(options->sources, &merged);
    say_problems(merged, "");
    std::vector<Row> rows;
    for (const std::string& file : write_export(store, format, options->path)) rows.push_back({{"file", file}});
    print_rows(rows, format_by_name(export_common->format));
  });
}

}  // namespace taut::study
