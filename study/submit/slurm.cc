#include "study/submit/slurm.h"

#include <algorithm>
#include <filesystem>
#include <map>
#include <set>
#include <sstream>

#include "kernels/error.h"
#include "study/submit/process.h"
#include "study/text_file.h"
#include "tensor/atomic_file.h"

namespace taut::study {
namespace fs = std::filesystem;
namespace {

constexpr int64_t kMostTasks = 1001;  // Slurm's MaxArraySize where nobody set it

std::string name_of(const StudyManifest& manifest, const TaskOptions& worker) {
  const std::string parts = worker.parts > 1 ? fmt::format("p{}-", worker.parts) : "";
  return "taut-" + manifest.sha256.substr(0, 12) + "-" + parts;
}

std::string ask_slurm(const std::vector<std::string>& words) {
  const Output output = run_program(words);
  if (output.code == 127)
    fail(Exit::kUnavailable, "[{}] is not on this machine; hint: submit where Slurm is, or --executor local", words[0]);
  if (output.code != 0)
    fail(Exit::kUnavailable, "[{}] exit code {}: {}", words[0], output.code,
         output.err.empty() ? output.out : output.err);
  return output.out;
}

// Tasks that lie between a multiple of the result and the next one make one array.
int64_t tasks_an_array() {
  std::istringstream settings(ask_slurm({"scontrol", "show", "config"}));
  for (std::string line; std::getline(settings, line);) {
    if (!line.starts_with("MaxArraySize")) continue;
    const int64_t most = std::atoll(line.substr(line.find('=') + 1).c_str());
    if (most < 2)
      fail(Exit::kUnavailable, "[slurm] MaxArraySize is {}: the cluster takes no job arrays; hint: --executor print",
           most);
    return std::min(most, kMostTasks);
  }
  return kMostTasks;
}

// Indices of tasks that are in the queue or at work.
std::set<int64_t> queued_tasks(const StudyManifest& manifest, const TaskOptions& worker) {
  const std::string prefix = name_of(manifest, worker);
  std::set<int64_t> indices;
  std::istringstream lines(ask_slurm({"squeue", "--noheader", "--array", "--me", "--format=%K %j"}));
  for (std::string line; std::getline(lines, line);) {
    // A name may hold blanks, so it comes last; the number of what is no array is N/A.
    const size_t blank = line.find(' ');
    if (blank == std::string::npos) continue;
    const std::string task = line.substr(0, blank), name = line.substr(blank + 1);
    if (!name.starts_with(prefix) || name.find_first_not_of("0123456789", prefix.size()) != std::string::npos) continue;
    indices.insert(std::atoll(name.substr(prefix.size()).c_str()) + std::atoll(task.c_str()));
  }
  return indices;
}

// A path in a comment line of sbatch's, where % begins a pattern.
std::string pattern_of(const std::string& path) {
  std::string text;
  for (const char c : path) text += c == '%' ? std::string("%%") : std::string(1, c);
  return text;
}

// Whether an option of sbatch's says how many GPUs: not one that has the word in a partition's or an account's name.
bool asks_for_gpus(const std::string& option) {
  if (option.starts_with("-G") || option.starts_with("--gpus")) return true;
  return (option.starts_with("--gres") || option.starts_with("--tres")) && option.find("gpu") != std::string::npos;
}

}  // namespace

std::string slurm_script(const StudyManifest& manifest, int64_t first, const std::string& array,
                         const TaskOptions& worker, const SlurmOptions& options) {
  std::vector<std::string> sbatch = {
      "--job-name=" + name_of(manifest, worker) + std::to_string(first),
      "--array=" + array + (options.throttle > 0 ? fmt::format("%{}", options.throttle) : ""),
      "--chdir=" + fs::current_path().string(),
      "--output=" + pattern_of(manifest.folder) + "/slurm/%A_%a.log",
      "--open-mode=append",
      "--requeue",
      "--signal=B:USR1@120"};
  if (worker.threads > 0) sbatch.push_back(fmt::format("--cpus-per-task={}", worker.threads));
  if (worker.device.starts_with("cuda") && std::ranges::none_of(options.sbatch, asks_for_gpus))
    sbatch.emplace_back("--gres=gpu:1");
  sbatch.insert(sbatch.end(), options.sbatch.begin(), options.sbatch.end());
  std::string head;
  for (const std::string& option : sbatch) {
    TAUT_CHECK(option.starts_with("-") && option.find('\n') == std::string::npos,
               "[--sbatch] expected an option of sbatch's, '--partition=gpu', got '{}'", option);
    head += "#SBATCH " + shell_line({option}) + "\n";
  }
  const std::string which = worker.parts == 1
                                ? R"(--index "$task")"
                                : fmt::format(R"sh(--index "$((task / {}))" --part "$((task % {} + 1))/{}")sh",
                                              worker.parts, worker.parts, worker.parts);
  TaskOptions words = worker;
  words.threads = 0;
  return fmt::format(
      R"sh(#!/bin/bash
{head}
# Written by `taut study submit --executor slurm`, from which this task has its place in the manifest. What is done is
# asked of the runs' folders, so that the same command, given again, sends what is left and nothing twice.
set -u
task=$(({first} + SLURM_ARRAY_TASK_ID))
threads=${{SLURM_CPUS_PER_TASK:-${{SLURM_CPUS_ON_NODE:-1}}}}

# The run gets the warning signal through this shell, writes a checkpoint and ends with 75.
worker= signalled=0 code=
trap 'signalled=1; [ -z "$worker" ] || kill -USR1 "$worker" 2>/dev/null' USR1 TERM
{command} {which} --threads "$threads" --progress none &
worker=$!
[ "$signalled" = 0 ] || kill -USR1 "$worker"
while :; do
  signalled=0
  wait "$worker"
  status=$?
  # A signal ends a wait early; a second one says 127 where the run had ended by itself.
  if [ -z "$code" ] || [ "$status" != 127 ]; then code=$status; fi
  [ "$signalled" = 1 ] || break
done

# Slurm itself queues a job again whose node died or that was preempted, and a cancelled one must stay so: only a job
# that still counts as running asks for it.
job=${{SLURM_ARRAY_JOB_ID}}_$SLURM_ARRAY_TASK_ID
if [ "$code" = 75 ] && [ "${{SLURM_RESTART_COUNT:-0}}" -lt {requeues} ] &&
  scontrol show job "$job" | grep -q JobState=RUNNING; then
  scontrol requeue "$job"
fi
exit "$code"
)sh",
      fmt::arg("head", head), fmt::arg("first", first), fmt::arg("command", shell_line(worker_words(manifest, words))),
      fmt::arg("which", which), fmt::arg("requeues", options.requeues));
}

std::vector<Sent> submit_to_slurm(const StudyManifest& manifest, const std::vector<Task>& tasks,
                                  const TaskOptions& worker, const SlurmOptions& options) {
  const int64_t most = tasks_an_array();
  const std::set<int64_t> queued = queued_tasks(manifest, worker);
  std::vector<Sent> sent(tasks.size());
  std::map<int64_t, std::vector<size_t>> arrays;  // by their first row
  for (size_t i = 0; i < tasks.size(); ++i) {
    if (queued.contains(tasks[i].index)) {
      sent[i].state = "queued";
    } else if (tasks[i].state == "running") {
      sent[i].state = "running";
    } else {
      sent[i].state = "sent";
      arrays[tasks[i].index / most * most].push_back(i);
    }
  }
  make_folder(manifest.folder + "/slurm");
  for (const auto& [first, members] : arrays) {
    std::vector<int64_t> numbers;
    for (const size_t i : members) numbers.push_back(tasks[i].index - first);
    const std::string script = fmt::format("{}/slurm/array-{}.sbatch", manifest.folder, first);
    write_file_atomically(script, slurm_script(manifest, first, array_list(numbers), worker, options));
    const std::string answer = ask_slurm({"sbatch", "--parsable", script});  // "12" or "12;cluster"
    const std::string job = answer.substr(0, answer.find_first_of(";\n"));
    for (const size_t i : members) sent[i].job = fmt::format("{}_{}", job, tasks[i].index - first);
  }
  return sent;
}

}  // namespace taut::study
