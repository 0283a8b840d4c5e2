// The folder of a run, the unit of truth: complete (it has a result) or resumable, by one process at a time.
//
//   config.resolved.toml   every setting and its source
//   metrics.jsonl          one object a line                 result.json     written last; with it the run is done
//   ckpt/step-XXXXXXXX/    study/run/checkpoint.h                evaluation.json an evaluation under way
//   samples/               per-image verdicts, some images   delta.safetensors  what was trained
//   env.json timing.jsonl log.txt   all that depends on machine and clock
//   .lock                  held by flock(2) for the process's life, so that no stale lock can exist
//
// Which result is believed: study/run/stored_result.h.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>

namespace taut::study {

using Json = nlohmann::ordered_json;

class RunDirectory {
 public:
  // Makes the folder if needed, takes the lock and removes what an interrupted write left behind. Throws
  // Error(kInterrupted) if another process holds the lock, Error(kIo) where the folder cannot be used.
  explicit RunDirectory(std::string path);
  ~RunDirectory();
  RunDirectory(const RunDirectory&) = delete;
  RunDirectory& operator=(const RunDirectory&) = delete;

  const std::string& path() const { return path_; }
  std::string file(const std::string& name) const { return path_ + "/" + name; }

  // Lines that depend on nothing but the run. Buffered by the system until sync_metrics.
  void append_metric(const Json& line);
  // Syncs the file and returns its length in bytes.
  int64_t sync_metrics();
  // Cuts the file back to a length that a checkpoint recorded. Throws Error(kBadData) if it is shorter.
  void truncate_metrics(int64_t bytes);

  // Lines that depend on the clock: timing.jsonl and log.txt (with the date).
  void append_timing(const Json& line);
  void log(const std::string& line);

  void write(const std::string& name, const std::string& text);  // atomically
  void remove(const std::string& name);
  // Keeps a damaged file under a name that is free, "result.json.damaged-1", and returns it. Throws Error(kIo).
  std::string set_aside(const std::string& name);

 private:
  void append(int& fd, const char* name, const std::string& line);

  std::string path_;
  int lock_ = -1, metrics_ = -1, timing_ = -1, log_ = -1;
};

// Removes what interrupted writes leave in a folder and the folders below: names ending in .tmp or starting with .tmp-.
void remove_orphans(const std::string& folder);

// A JSON file of ours. Throws Error(kMissing) or, naming the file, Error(kBadData).
Json read_json(const std::string& path);

}  // namespace taut::study
