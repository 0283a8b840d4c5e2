// taut study submit, and the part of taut study run that works on one row of a manifest.
#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <thread>

#include "kernels/error.h"
#include "study/command/submit.h"
#include "study/run/interrupt.h"
#include "study/run/run.h"
#include "study/study.h"
#include "study/submit/local.h"
#include "study/submit/process.h"
#include "study/submit/slurm.h"
#include "study/submit/tasks.h"

namespace taut::study {
namespace {

constexpr int kProcessorsAWorker = 4;

struct Options {
  std::string source, folder, executor = "print";
  int workers = 0;
  int64_t parts = 1;
  std::vector<std::string> gpus;
  int restarts = LocalOptions{}.restarts;
  SlurmOptions slurm;
};

// The manifest of a study's folder, or of a file whose plan goes into one.
StudyManifest manifest_of(const Options& options, const Common& common, const std::string& command_line) {
  const bool is_folder = std::filesystem::is_directory(options.source);
  if (is_folder) {
    TAUT_CHECK(options.folder.empty() || std::filesystem::equivalent(options.folder, options.source),
               "[--out] {} is a folder with a plan of its own; hint: leave --out away", options.source);
    TAUT_CHECK(common.settings.empty(), "[{}] the plan of {} is settled; hint: settings go with the study's file",
               common.settings.front(), options.source);
    return open_manifest(options.source);
  }
  const Plan plan = plan_of(options.source, common);
  TAUT_CHECK(!options.folder.empty(), "[--out] expected the study's folder, for the plan of {}", options.source);
  write_plan(plan, options.folder);
  remember_command(options.folder, command_line);
  return open_manifest(options.folder);
}

Row listed(const Task& task, const std::string& state) {
  Row row = {{"run_id", task.run_id}, {"state", state}};
  if (task.share.of > 1) row["part"] = fmt::format("{}/{}", task.share.part, task.share.of);
  row["command"] = shell_line(task.words);
  return row;
}

// "2/3".
Share share_by_name(const std::string& text) {
  Share share;
  char more = 0;
  const int read = std::sscanf(text.c_str(), "%ld/%ld%c", &share.part, &share.of, &more);
  TAUT_CHECK(text.empty() || (read == 2 && share.of >= 1 && share.part >= 1 && share.part <= share.of),
             "[--part] expected I/N with 1 <= I <= N, got '{}'", text);
  return share;
}

std::vector<Row> show(const std::vector<Task>& tasks) {
  std::vector<Row> rows;
  for (const Task& task : tasks) rows.push_back(listed(task, task.state));
  return rows;
}

// A GPU a worker, or as many processors each as there are for all.
LocalOptions local_options(const Options& options, const Common& common, Device device, TaskOptions& worker) {
  LocalOptions local{.workers = options.workers,
                     .gpus = {},
                     .restarts = options.restarts,
                     .progress = progress_mode_by_name(common.progress)};
  const int processors = std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
  if (device.kind == DeviceKind::kCuda) {
    local.gpus = options.gpus.empty() ? visible_gpus() : options.gpus;
    if (local.gpus.empty())
      fail(Exit::kUnavailable, "[--device] {}: this machine shows no GPU; hint: --gpus 0,1 names them", common.device);
    if (local.workers == 0) local.workers = static_cast<int>(local.gpus.size());
    worker.device = "cuda";
  } else {
    TAUT_CHECK(options.gpus.empty(), "[--gpus] expected --device cuda with it");
    if (local.workers == 0) local.workers = std::max(1, processors / std::max(worker.threads, kProcessorsAWorker));
  }
  if (worker.threads == 0) worker.threads = std::max(1, processors / local.workers);
  return local;
}

std::vector<Row> run_here(const StudyManifest& manifest, const Options& options, const Common& common, Device device,
                          TaskOptions worker, const ExitCode& code) {
  install_interrupt_handlers();
  const LocalOptions local = local_options(options, common, device, worker);
  const std::vector<Task> tasks = open_tasks(manifest, worker);
  const std::vector<std::string> states = run_locally(manifest.folder, tasks, local);
  std::vector<Row> rows;
  for (size_t i = 0; i < tasks.size(); ++i) {
    rows.push_back(listed(tasks[i], states[i]));
    if (states[i] != "done") *code = static_cast<int>(Exit::kCheckFailed);
  }
  return rows;
}

std::vector<Row> send(const StudyManifest& manifest, const Options& options, const TaskOptions& worker) {
  const std::vector<Task> tasks = open_tasks(manifest, worker);
  const std::vector<Sent> sent = submit_to_slurm(manifest, tasks, worker, options.slurm);
  std::vector<Row> rows;
  for (size_t i = 0; i < tasks.size(); ++i) {
    rows.push_back(listed(tasks[i], sent[i].state));
    rows.back()["job"] = sent[i].job;
  }
  return rows;
}

}  // namespace

RowChoicePtr add_row_choice(CLI::App& run) {
  auto choice = std::make_shared<RowChoice>();
  run.add_option("--manifest", choice->folder, "a study's folder: one run of its plan, as `taut study submit` says");
  run.add_option("--index", choice->index, "which one, from 0");
  run.add_option("--run-id", choice->run_id, "which one, by name");
  run.add_option("--part", choice->part, "I/N: one of N processes that share the run, each judging 1/N of the images");
  return choice;
}

void run_chosen_row(const RowChoice& choice, const Common& common, Device device) {
  TAUT_CHECK(choice.index.has_value() != !choice.run_id.empty(), "[--manifest] expected --index or --run-id with it");
  TAUT_CHECK(common.settings.empty(), "[{}] the manifest has the settings; hint: leave them away",
             common.settings.front());
  const Share share = share_by_name(choice.part);
  const StudyManifest manifest = open_manifest(choice.folder);
  const PlanRow& row = manifest.row(choice.index ? *choice.index : manifest.index_of(choice.run_id));
  const bool done = run_state(manifest.folder, row.run_id) == "done";
  Progress progress(progress_mode_by_name(common.progress), done ? 0 : run_cost(row));
  const Json result = run_row(row, manifest.folder, {.share = share, .device = device, .progress = &progress});
  const Row waiting = {
      {"run_id", row.run_id}, {"part", share.part}, {"of", share.of}, {"state", "others are not done"}};
  print_rows({result.is_null() ? waiting : last_point(row.config, result)}, format_by_name(common.format));
}

void add_submit_command(CLI::App& study, const ExitCode& code, const std::string& command_line) {
  const auto options = std::make_shared<Options>();
  CLI::App* submit = study.add_subcommand("submit", "hand the runs that are not done to many processes");
  const CommonPtr common = add_common(*submit);
  submit->add_option("source", options->source, "the study's folder, or TOML file or preset with --out")->required();
  add_settings(*submit, common);
  submit->add_option("--out", options->folder, "the study's folder");
  submit->add_option("--executor", options->executor, "print: a command a run; local: workers here; slurm: job arrays")
      ->check(CLI::IsMember({"print", "local", "slurm"}));
  submit
      ->add_option("--parts", options->parts,
                   "processes that share a run: one trains, each judges its part of the images")
      ->check(CLI::Range(1, 1000));
  submit
      ->add_option("-j,--workers", options->workers, "local: workers at the same time; a GPU each, or four processors")
      ->check(CLI::Range(1, 1024));
  submit->add_option("--gpus", options->gpus, "local: GPUs by number, of all that are visible")->delimiter(',');
  submit->add_option("--restarts", options->restarts, "local: of a run whose worker died")->check(CLI::Range(0, 1000));
  submit->add_option("--throttle", options->slurm.throttle, "slurm: tasks of an array at the same time")
      ->check(CLI::Range(1, 1000000));
  submit->add_option("--requeues", options->slurm.requeues, "slurm: of a run that was interrupted")
      ->check(CLI::Range(0, 1000000));
  submit->add_option("--sbatch", options->slurm.sbatch, "slurm: an option of sbatch's, as --sbatch=--time=4:00:00")
      ->allow_extra_args(false);
  submit->callback([=] {
    const Device device = begin_on_any_device(*common);  // there or not: runs may go elsewhere
    const StudyManifest manifest = manifest_of(*options, *common, command_line);
    const TaskOptions worker{.device = common->device, .threads = common->threads, .parts = options->parts};
    std::vector<Row> rows;
    if (options->executor == "local") {
      rows = run_here(manifest, *options, *common, device, worker, code);
    } else if (options->executor == "slurm") {
      rows = send(manifest, *options, worker);
    } else {
      rows = show(open_tasks(manifest, worker));
    }
    print_rows(rows, format_by_name(common->format));
  });
}

}  // namespace taut::study
