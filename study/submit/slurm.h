// Tasks as job arrays of Slurm.
//
// An array is named taut-<first 12 digits of the manifest's SHA-256>-<index of its first task>, so that what is still
// in the queue is found by name: no list of submissions is kept that could be wrong. The job script lies in
// FOLDER/slurm/. It hands the warning signal, with which Slurm announces the end of the time, on to the run, which
// writes a checkpoint and ends with 75, and then asks Slurm to queue the task again.
#pragma once

#include <string>
#include <vector>

#include "study/submit/tasks.h"

namespace taut::study {

struct SlurmOptions {
  std::vector<std::string> sbatch;  // further options of sbatch, "--partition=gpu"
  int64_t throttle = 0;             // tasks at the same time; 0: no limit
  int64_t requeues = 20;            // of one task, whatever the cause
};

struct Sent {
  std::string state;  // "sent", or why not: "queued", "running"
  std::string job;    // "12_3" where it was sent
};

// Sends the tasks that are neither at work nor in the queue; what became of each, in their order. Throws
// Error(kUnavailable) with what Slurm's command said where one is missing or fails; arrays that were accepted before
// stay in the queue.
std::vector<Sent> submit_to_slurm(const StudyManifest& manifest, const std::vector<Task>& tasks,
                                  const TaskOptions& worker, const SlurmOptions& options);

// The job script of an array whose task k is first + k (Task::index). `array` is what --array takes.
std::string slurm_script(const StudyManifest& manifest, int64_t first, const std::string& array,
                         const TaskOptions& worker, const SlurmOptions& options);

}  // namespace taut::study
