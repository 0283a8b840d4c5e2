#include "study/study.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>

#include "kernels/error.h"
#include "kernels/tell.h"
#include "study/run/checkpoint.h"
#include "study/run/pretrain.h"
#include "study/run/probe.h"
#include "study/run/run.h"
#include "study/run/stored_result.h"
#include "study/submit/manifest.h"
#include "study/text_file.h"
#include "study/untrusted.h"
#include "tensor/atomic_file.h"

namespace taut::study {
namespace fs = std::filesystem;
namespace {

std::string run_folder(const std::string& folder, const std::string& run_id) { return folder + "/runs/" + run_id; }

std::string shared_folder(const std::string& folder, const std::string& run_id) { return folder + "/shares/" + run_id; }

// Whether a process holds the run's lock.
bool is_running(const std::string& run) {
  const int fd = ::open((run + "/.lock").c_str(), O_RDWR | O_CLOEXEC);
  if (fd < 0) return false;
  const bool free = ::flock(fd, LOCK_SH | LOCK_NB) == 0;
  ::close(fd);
  return !free;
}

int64_t last_step(const std::string& run) {
  int64_t last = 0;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(run + "/ckpt", error)) {
    const std::string name = entry.path().filename().string();
    if (name.starts_with("step-")) last = std::max<int64_t>(last, std::atoll(name.c_str() + 5));
  }
  return last;
}

void record_failure(const std::string& run, const std::exception& error) {
  make_folder(run);
  const auto* own = dynamic_cast<const Error*>(&error);
  const Exit code = own != nullptr                                           ? own->code()
                    : dynamic_cast<const std::bad_alloc*>(&error) != nullptr ? Exit::kMemory
                                                                             : Exit::kIo;
  const Json json = {{"error", error.what()}, {"code", static_cast<int>(code)}};
  write_file_atomically(run + "/failed.json", json.dump(2) + "\n");
}

// Whether a run that is not done says why: in failed.json, or in what a result looks like that is none.
bool has_failed(const std::string& run, const StoredResult& stored) {
  return !stored.wrong.empty() || fs::exists(run + "/failed.json");
}

// How far a run is: its state as run_state names it, the last step, why it failed.
struct Standing {
  std::string state;
  int64_t step = 0;
  std::string error = {};
};

Standing standing_of(const std::string& folder, const std::string& run_id) {
  const std::string run = run_folder(folder, run_id);
  const StoredResult stored = stored_result(run, run_id);
  if (stored.done()) return {"done", stored.json.at("steps")};
  const int64_t step = last_step(run);
  if (is_running(run)) return {"running", step};
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(shared_folder(folder, run_id), error))
    if (is_running(entry.path().string())) return {"running", step};
  if (!has_failed(run, stored)) return {"todo", step};
  return {"failed", step, stored.wrong.empty() ? recorded_failure(run) : named_within(stored.wrong, run)};
}

}  // namespace

std::string run_state(const std::string& folder, const std::string& run_id) {
  return standing_of(folder, run_id).state;
}

std::string share_state(const std::string& folder, const std::string& run_id, Share share) {
  const std::string run = run_folder(folder, run_id), shared = shared_folder(folder, run_id);
  if (share.of == 1) return run_state(folder, run_id);
  const StoredResult stored = stored_result(run, run_id);
  if (stored.done()) return "done";
  if (is_running(share_folder(shared, share))) return "running";
  if (share_is_done(shared, share)) {
    bool all = share.part == 1;
    for (Share other{1, share.of}; all && other.part <= other.of; ++other.part) all = share_is_done(shared, other);
    if (!all) return "done";
  }
  return has_failed(run, stored) ? "failed" : "todo";
}

void remember_command(const std::string& folder, const std::string& command) {
  const std::string path = folder + "/commands.txt";
  std::string commands = fs::exists(path) ? read_text_file(path) : "";
  const std::vector<std::string> known = lines_of(commands);
  if (!command.empty() && std::find(known.begin(), known.end(), command) == known.end())
    write_file_atomically(path, commands + command + "\n");
}

Json run_row(const PlanRow& row, const std::string& folder, const RowOptions& options) {
  const std::string run_path = run_folder(folder, row.run_id);
  try {
    const RunOptions run_options{.cache = folder + "/pretrained",
                                 .decoded = folder + "/decoded",
                                 .device = options.device,
                                 .points = "",
                                 .force_resume = options.force_resume,
                                 .progress = options.progress};
    if (options.share.of == 1) return run(row, run_path, run_options);
    return run_share(row, run_path, shared_folder(folder, row.run_id), options.share, run_options);
  } catch (const std::exception& error) {
    const auto* own = dynamic_cast<const Error*>(&error);
    if (own == nullptr || own->code() != Exit::kInterrupted) record_failure(run_path, error);
    throw;
  }
}

int64_t run_study(const Plan& plan, const std::string& folder, const StudyOptions& options) {
  write_plan(plan, folder);
  remember_command(folder, options.command);
  const std::string cache = folder + "/pretrained";
  std::vector<const PlanRow*> todo;
  for (const PlanRow& row : plan.rows)
    if (!stored_result(run_folder(folder, row.run_id), row.run_id).done()) todo.push_back(&row);
  tell("{}: {} runs, {} of them done\n", plan.title, plan.rows.size(), plan.rows.size() - todo.size());

  double cost = todo.empty() ? 0 : pretraining_cost(todo.front()->config, cache);
  for (const PlanRow* row : todo) {
    try {
      cost += run_cost(*row);
    } catch (const Error&) {  // the run will say it
    }
  }
  Progress progress(options.progress, cost);
  int64_t failed = 0;
  for (const PlanRow* row : todo) {
    try {
      const auto begin = std::chrono::steady_clock::now();
      const Json result =
          run_row(*row, folder,
                  {.share = {}, .device = options.device, .force_resume = options.force_resume, .progress = &progress});
      const Json& last = result.at("evaluations").back();
      const auto share = [&](const char* correct) {
        return fmt::format("{:.3f}", last.at(correct).get<double>() / std::max(1.0, last.at("n").get<double>()));
      };
      progress.say(fmt::format("{}: clean {}, {} of {}, {}", row->run_id, share("clean_correct"),
                               is_attacked(row->config) ? "robust " + share("robust_last_correct") : "not attacked",
                               last.at("n").dump(), duration(seconds_since(begin))));
    } catch (const std::exception& error) {
      const auto* own = dynamic_cast<const Error*>(&error);
      if (own != nullptr && own->code() == Exit::kInterrupted) throw;
      ++failed;
      progress.say(fmt::format("{}: failed: {}", row->run_id, error.what()));
    }
  }
  measure_probes(plan, folder, &progress);
  return failed;
}

std::vector<Row> study_status(const std::string& folder) {
  std::vector<Row> rows;
  for (const std::string& line : lines_of(read_text_file(folder + "/plan.jsonl"))) {
    const Json planned = parse_json(line);
    if (!planned.is_object() || !planned.contains("run_id") || !planned["run_id"].is_string())
      fail(Exit::kBadData, "[{}/plan.jsonl] expected one object a line", folder);
    check_run_id(planned["run_id"], folder + "/plan.jsonl");
    const Standing standing = standing_of(folder, planned["run_id"]);
    rows.push_back({{"run_id", planned["run_id"]},
                    {"dataset", planned.value("dataset", "")},
                    {"strategy", planned.value("strategy", "")},
                    {"state", standing.state},
                    {"step", standing.step},
                    {"error", standing.error}});
  }
  return rows;
}

}  // namespace taut::study
