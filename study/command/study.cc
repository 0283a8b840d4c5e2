// taut study run, status, report.
#include <filesystem>

#include "kernels/error.h"
#include "kernels/tell.h"
#include "study/analysis.h"
#include "study/collect.h"
#include "study/command/command.h"
#include "study/command/plans.h"
#include "study/command/submit.h"
#include "study/report/report.h"
#include "study/run/directory.h"
#include "study/run/interrupt.h"
#include "study/study.h"
#include "study/text_file.h"

namespace taut::study {
namespace {

struct Options {
  std::string file, folder;
  bool force = false;
};

Plan remembered_plan(const std::string& folder) {
  const std::string file = folder + "/study.json";
  return plan_from_json(read_json(file), file);
}

// Returns table.md and the path of the page.
std::pair<std::string, std::string> make_report(const Plan& plan, const std::string& folder) {
  const StudyResults results = collect(plan, folder);
  const std::string page = write_report(results, analyse(results), folder + "/report");
  return {read_text_file(folder + "/report/table.md"), std::filesystem::absolute(page).lexically_normal().string()};
}

void print_report(const std::pair<std::string, std::string>& report) {
  print_text(report.first + "\n" + report.second + "\n");
}

}  // namespace

void add_study_commands(CLI::App& app, const ExitCode& code, const std::string& command_line) {
  CLI::App* study = app.add_subcommand("study", "many runs and their report");
  study->require_subcommand(1);
  const auto options = std::make_shared<Options>();

  add_plan_command(*study);

  CLI::App* run = study->add_subcommand("run", "plan, run what is not done, report");
  const CommonPtr run_common = add_common(*run);
  run->add_option("file", options->file, "TOML file, or a preset's name");
  add_settings(*run, run_common);
  run->add_option("--out", options->folder, "the study's folder");
  const RowChoicePtr row = add_row_choice(*run);
  run->add_flag("--force-resume", options->force, "go on although settings changed");
  run->callback([=] {
    const Device device = begin_on_device(*run_common);
    install_interrupt_handlers();
    if (!row->folder.empty()) {
      TAUT_CHECK(options->file.empty() && options->folder.empty() && !options->force,
                 "[--manifest] its folder says what is run and where; hint: no file, --out or --force-resume");
      run_chosen_row(*row, *run_common, device);
      return;
    }
    TAUT_CHECK(!options->file.empty() && !options->folder.empty(),
               "[run] expected a study's file or a preset's name and --out FOLDER, or --manifest FOLDER with --index");
    TAUT_CHECK(!row->index.has_value() && row->run_id.empty(), "[--index] goes with --manifest, as --run-id does");
    const Plan made = plan_of(options->file, *run_common);
    const int64_t failed = run_study(made, options->folder,
                                     {.progress = progress_mode_by_name(run_common->progress),
                                      .device = device,
                                      .force_resume = options->force,
                                      .command = command_line});
    print_report(make_report(made, options->folder));
    if (failed == 0) return;
    tell("taut: {} of {} runs failed; `taut study status {}` says why\n", failed, made.rows.size(), options->folder);
    *code = static_cast<int>(Exit::kCheckFailed);
  });

  CLI::App* status = study->add_subcommand("status", "a row a run: how far it is");
  const CommonPtr status_common = add_common(*status);
  status->add_option("folder", options->folder, "the study's folder")->required();
  status->callback([=] {
    begin(*status_common);
    print_rows(study_status(options->folder), format_by_name(status_common->format));
  });

  CLI::App* report = study->add_subcommand("report", "write the report of what is done so far");
  const CommonPtr report_common = add_common(*report);
  report->add_option("folder", options->folder, "the study's folder")->required();
  report->callback([=] {
    begin(*report_common);
    print_report(make_report(remembered_plan(options->folder), options->folder));
  });

  add_import_config_command(*study);
  add_store_commands(*study, code);
  add_check_command(*study, code);
  add_submit_command(*study, code, command_line);
}

}  // namespace taut::study
