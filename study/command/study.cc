// taut study plan, run, status, report.
#include <filesystem>

#include "kernels/error.h"
#include "study/analysis.h"
#include "study/collect.h"
#include "study/command/command.h"
#include "study/report/report.h"
#include "study/run/directory.h"
#include "study/run/interrupt.h"
#include "study/study.h"
#include "study/text_file.h"
#include "tensor/atomic_file.h"

namespace taut::study {
namespace {

struct Options {
  std::string file, folder;
  bool force = false;
};

void remember_plan(const std::string& folder, const Plan& plan) {
  make_folder(folder);
  write_file_atomically(folder + "/study.json", to_json(plan).dump(1) + "\n");
}

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
  fmt::print("{}\n{}\n", report.first, report.second);
  if (std::fflush(stdout) != 0) fail(Exit::kIo, "[stdout] cannot be written");
}

std::vector<Row> rows_of(const Plan& plan) {
  std::vector<Row> rows;
  for (const PlanRow& row : plan.rows) rows.push_back(to_json(row));
  return rows;
}

}  // namespace

void add_study_commands(CLI::App& app, const ExitCode& code, const std::string& command_line) {
  CLI::App* study = app.add_subcommand("study", "many runs and their report");
  study->require_subcommand(1);
  const auto options = std::make_shared<Options>();

  CLI::App* plan = study->add_subcommand("plan", "list every run of a study");
  const CommonPtr plan_common = add_common(*plan);
  plan->add_option("file", options->file, "TOML file, or a preset's name")->required();
  add_settings(*plan, plan_common);
  plan->callback([=] {
    begin(*plan_common);
    const StudyText text = study_text(options->file);
    print_rows(rows_of(make_plan(text.text, text.name, text.source, plan_common->settings)),
               format_by_name(plan_common->format));
  });

  CLI::App* run = study->add_subcommand("run", "plan, run what is not done, report");
  const CommonPtr run_common = add_common(*run);
  run->add_option("file", options->file, "TOML file, or a preset's name")->required();
  add_settings(*run, run_common);
  run->add_option("--out", options->folder, "the study's folder")->required();
  run->add_flag("--force-resume", options->force, "go on although settings changed");
  run->callback([=] {
    const Device device = begin_on_device(*run_common);
    install_interrupt_handlers();
    const StudyText text = study_text(options->file);
    const Plan made = make_plan(text.text, text.name, text.source, run_common->settings);
    remember_plan(options->folder, made);
    const int64_t failed = run_study(made, options->folder,
                                     {.progress = progress_mode_by_name(run_common->progress),
                                      .device = device,
                                      .force_resume = options->force,
                                      .command = command_line});
    print_report(make_report(made, options->folder));
    if (failed == 0) return;
    fmt::print(stderr, "taut: {} of {} runs failed; `taut study status {}` says why\n", failed, made.rows.size(),
               options->folder);
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

  add_store_commands(*study, code);
  add_check_command(*study, code);
}

}  // namespace taut::study
