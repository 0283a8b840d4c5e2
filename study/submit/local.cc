#include "study/submit/local.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <deque>
#include <filesystem>
#include <map>

#include "kernels/error.h"
#include "study/run/interrupt.h"
#include "study/study.h"
#include "study/submit/process.h"
#include "study/text_file.h"

namespace taut::study {
namespace fs = std::filesystem;
namespace {

constexpr useconds_t kPoll = 20'000;

std::string last_line(const std::string& file) {
  const std::vector<std::string> lines = fs::exists(file) ? lines_of(read_text_file(file)) : std::vector<std::string>{};
  return lines.empty() ? "" : lines.back();
}

class Executor {
 public:
  Executor(const std::string& folder, const std::vector<Task>& tasks, const LocalOptions& options)
      : folder_(folder),
        tasks_(tasks),
        options_(options),
        progress_(options.progress, static_cast<double>(tasks.size())),
        ends_(tasks.size(), "todo"),
        attempts_(tasks.size(), 0) {
    for (size_t i = 0; i < tasks.size(); ++i) waiting_.push_back(i);
    for (int slot = options.workers - 1; slot >= 0; --slot) free_slots_.push_back(slot);
  }

  // Workers do not outlive a failure of this process.
  ~Executor() {
    for (const auto& [pid, worker] : running_) ::kill(pid, SIGTERM);
    for (const auto& [pid, worker] : running_) ::waitpid(pid, nullptr, 0);
  }
  Executor(const Executor&) = delete;
  Executor& operator=(const Executor&) = delete;

  std::vector<std::string> run() {
    make_folder(folder_ + "/logs");
    while (!waiting_.empty() || !running_.empty()) {
      if (interrupted()) stop();
      while (!waiting_.empty() && !free_slots_.empty()) start();
      label();
      ::usleep(kPoll);
      collect();
    }
    return std::move(ends_);
  }

 private:
  struct Worker {
    size_t task;
    int slot;
  };

  std::string name_of(size_t task) const {
    const auto& [part, of] = tasks_[task].share;
    return tasks_[task].run_id + (of > 1 ? fmt::format(".{}-of-{}", part, of) : "");
  }
  std::string log_of(size_t task) const { return folder_ + "/logs/" + name_of(task) + ".log"; }

  void start() {
    const size_t task = waiting_.front();
    waiting_.pop_front();
    const int slot = free_slots_.back();
    free_slots_.pop_back();
    std::vector<std::string> environment;
    if (!options_.gpus.empty())
      environment.push_back("CUDA_VISIBLE_DEVICES=" + options_.gpus[static_cast<size_t>(slot) % options_.gpus.size()]);
    std::vector<std::string> words = tasks_[task].words;
    words.insert(words.end(), {"--progress", "none"});
    running_[start_program(words, log_of(task), environment)] = {task, slot};
    ++attempts_[task];
  }

  void collect() {
    for (auto it = running_.begin(); it != running_.end();) {
      int status = 0;
      if (::waitpid(it->first, &status, WNOHANG) != it->first) {
        ++it;
        continue;
      }
      const Worker worker = it->second;
      it = running_.erase(it);
      free_slots_.push_back(worker.slot);
      judge(worker.task, status);
    }
  }

  void judge(size_t task, int status) {
    const std::string id = name_of(task);
    const int code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    if (code == static_cast<int>(Exit::kOk)) return end(task, "done", id + ": done");
    if (interrupted()) return;  // it was asked to stop
    const bool stopped = code == static_cast<int>(Exit::kInterrupted);
    if (stopped && share_state(folder_, tasks_[task].run_id, tasks_[task].share) == "running")
      return end(task, "running", id + ": another process works on it");
    const std::string why = code < 0 ? fmt::format("killed by signal {}", WTERMSIG(status))
                                     : fmt::format("exit code {}: {}", code, last_line(log_of(task)));
    if ((code < 0 || stopped || code == static_cast<int>(Exit::kMemory)) && attempts_[task] <= options_.restarts) {
      progress_.say(fmt::format("{}: {}; started again, {} of {}", id, why, attempts_[task], options_.restarts));
      waiting_.push_back(task);
      return;
    }
    end(task, "failed", fmt::format("{}: failed: {}", id, why));
  }

  void end(size_t task, const char* state, const std::string& line) {
    ends_[task] = state;
    ++ended_;
    progress_.say(line);
    progress_.advance(1);
  }

  void label() {
    progress_.set_label(fmt::format("{} of {} done, {} at work", ended_, tasks_.size(), running_.size()));
  }

  [[noreturn]] void stop() {
    for (const auto& [pid, worker] : running_) ::kill(pid, SIGTERM);
    while (!running_.empty()) {
      ::usleep(kPoll);
      collect();
    }
    stop_if_interrupted("submit");
    fail(Exit::kInterrupted, "[submit] interrupted");
  }

  const std::string& folder_;
  const std::vector<Task>& tasks_;
  const LocalOptions& options_;
  Progress progress_;
  std::vector<std::string> ends_;
  std::vector<int> attempts_, free_slots_;
  std::deque<size_t> waiting_;
  std::map<pid_t, Worker> running_;
  size_t ended_ = 0;
};

}  // namespace

std::vector<std::string> run_locally(const std::string& folder, const std::vector<Task>& tasks,
                                     const LocalOptions& options) {
  TAUT_CHECK(options.workers >= 1, "[-j] expected at least one worker, got {}", options.workers);
  return Executor(folder, tasks, options).run();
}

std::vector<std::string> visible_gpus() {
  std::vector<std::string> gpus;
  if (const char* named = std::getenv("CUDA_VISIBLE_DEVICES"); named != nullptr) {
    std::string word;
    for (const char c : std::string(named) + ",") {
      if (c != ',') {
        word += c;
      } else if (!word.empty()) {
        gpus.push_back(std::exchange(word, ""));
      }
    }
    return gpus;
  }
  for (int i = 0; fs::exists(fmt::format("/dev/nvidia{}", i)); ++i) gpus.push_back(std::to_string(i));
  return gpus;
}

}  // namespace taut::study
