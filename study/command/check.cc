// taut study check.
#include "study/check/check.h"
#include "kernels/error.h"
#include "study/collect.h"
#include "study/command/command.h"
#include "study/run/directory.h"

namespace taut::study {
namespace {

struct Options {
  std::string folder, table = "claims";
};

}  // namespace

void add_check_command(CLI::App& study, const ExitCode& code) {
  const auto options = std::make_shared<Options>();
  CLI::App* check = study.add_subcommand("check", "hold a study against the paper: areas, their order, four claims");
  const CommonPtr common = add_common(*check);
  check->add_option("folder", options->folder, "the study's folder")->required();
  CLI::Option* table =
      check->add_option("--table", options->table, "claims, areas or ranks; as md all of them unless given")
          ->check(CLI::IsMember({"claims", "areas", "ranks"}));
  check->callback([=] {
    begin(*common);
    const std::string file = options->folder + "/study.json";
    const Plan plan = plan_from_json(read_json(file), file);
    const StudyCheck checked = check_study(plan, collect(plan, options->folder));
    const Format format = format_by_name(common->format);
    if (format == Format::kMarkdown && table->count() == 0) {
      print_text(check_markdown(checked));
    } else {
      print_rows(options->table == "areas"   ? area_rows(checked)
                 : options->table == "ranks" ? rank_rows(checked)
                                             : claim_rows(checked),
                 format);
    }
    if (checked.refuted()) *code = static_cast<int>(Exit::kCheckFailed);
  });
}

}  // namespace taut::study
