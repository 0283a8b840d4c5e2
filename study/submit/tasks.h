// What is left to do of a manifest, as commands that any number of processes may run in any order.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "study/run/share.h"
#include "study/submit/manifest.h"

namespace taut::study {

struct Task {
  int64_t index = 0;  // of the row, or, where processes share a run: row * parts + part - 1
  std::string run_id, state;
  Share share;
  std::vector<std::string> words;  // of its command
};

struct TaskOptions {
  std::string device = "cpu";
  int threads = 0;    // 0: the worker decides
  int64_t parts = 1;  // processes that share a run
};

// `state` as share_state in study/study.h has it; what is done has no task.
std::vector<Task> open_tasks(const StudyManifest& manifest, const TaskOptions& options);

// The command of one task but for which task it is: the program, the manifest, device and threads.
std::vector<std::string> worker_words(const StudyManifest& manifest, const TaskOptions& options);

// "3,7-20": what sbatch's --array takes. The numbers ascend.
std::string array_list(const std::vector<int64_t>& numbers);

}  // namespace taut::study
