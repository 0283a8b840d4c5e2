#include "study/run/directory.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <ctime>
#include <filesystem>

#include "kernels/error.h"
#include "study/text_file.h"
#include "study/untrusted.h"
#include "tensor/atomic_file.h"
#include "tensor/retried.h"

namespace taut::study {
namespace fs = std::filesystem;
namespace {

int open_or_fail(const std::string& path, int flags) {
  const int fd = retried([&] { return ::open(path.c_str(), flags | O_CLOEXEC, 0644); });
  if (fd < 0) fail(Exit::kIo, "[{}] cannot be opened: {}", path, std::strerror(errno));
  return fd;
}

void write_all(int fd, const std::string& path, const std::string& text) {
  size_t done = 0;
  while (done < text.size()) {
    const ssize_t n = retried([&] { return ::write(fd, text.data() + done, text.size() - done); });
    if (n <= 0)
      fail(Exit::kIo, "[{}] cannot be written: {}; hint: the same command goes on from the last checkpoint", path,
           std::strerror(errno));
    done += static_cast<size_t>(n);
  }
}

}  // namespace

void remove_orphans(const std::string& folder) {
  std::error_code error;
  std::vector<fs::path> orphans;
  for (auto it = fs::recursive_directory_iterator(folder, error); !error && it != fs::end(it); it.increment(error)) {
    const std::string name = it->path().filename().string();
    if (!name.ends_with(".tmp") && !name.starts_with(".tmp-")) continue;
    orphans.push_back(it->path());
    if (it->is_directory()) it.disable_recursion_pending();
  }
  for (const fs::path& orphan : orphans) fs::remove_all(orphan, error);
}

Json read_json(const std::string& path) {
  Json json = parse_json(read_text_file(path));
  if (json.is_discarded()) fail(Exit::kBadData, "[{}] expected JSON", path);
  return json;
}

RunDirectory::RunDirectory(std::string path) : path_(std::move(path)) {
  make_folder(path_);
  lock_ = open_or_fail(file(".lock"), O_RDWR | O_CREAT);
  // A status command holds the lock for a moment only; a run holds it for good.
  int tries = 0;
  while (retried([&] { return ::flock(lock_, LOCK_EX | LOCK_NB); }) != 0) {
    if (++tries < 20) {
      ::usleep(10'000);
      continue;
    }
    ::close(lock_);
    fail(Exit::kInterrupted, "[{}] another process works on this run; hint: wait for it, or choose another --out",
         path_);
  }
  remove_orphans(path_);
}

RunDirectory::~RunDirectory() {
  for (const int fd : {metrics_, timing_, log_, lock_})
    if (fd >= 0) ::close(fd);
}

void RunDirectory::append(int& fd, const char* name, const std::string& line) {
  if (fd < 0) {
    const bool is_new = !fs::exists(file(name));
    fd = open_or_fail(file(name), O_WRONLY | O_CREAT | O_APPEND);
    if (is_new) sync_folder(path_);  // a checkpoint counts on the lines before it
  }
  write_all(fd, file(name), line);
}

void RunDirectory::append_metric(const Json& line) { append(metrics_, "metrics.jsonl", line.dump() + "\n"); }

int64_t RunDirectory::sync_metrics() {
  append(metrics_, "metrics.jsonl", "");
  struct stat status {};
  if (retried([&] { return ::fsync(metrics_); }) != 0 || ::fstat(metrics_, &status) != 0)
    fail(Exit::kIo, "[{}] cannot be synced: {}", file("metrics.jsonl"), std::strerror(errno));
  return status.st_size;
}

void RunDirectory::truncate_metrics(int64_t bytes) {
  append(metrics_, "metrics.jsonl", "");
  struct stat status {};
  if (::fstat(metrics_, &status) != 0) fail(Exit::kIo, "[{}] {}", file("metrics.jsonl"), std::strerror(errno));
  if (status.st_size < bytes)
    fail(Exit::kBadData,
         "[{}] expected at least the {} bytes that the checkpoint recorded, got {}; hint: remove {} to start anew",
         file("metrics.jsonl"), bytes, status.st_size, path_);
  if (::ftruncate(metrics_, bytes) != 0)
    fail(Exit::kIo, "[{}] cannot be cut: {}", file("metrics.jsonl"), std::strerror(errno));
}

void RunDirectory::append_timing(const Json& line) { append(timing_, "timing.jsonl", line.dump() + "\n"); }

void RunDirectory::log(const std::string& line) {
  char date[32];
  const std::time_t now = std::time(nullptr);
  std::tm utc{};
  std::strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%SZ ", gmtime_r(&now, &utc));
  append(log_, "log.txt", date + line + "\n");
}

void RunDirectory::write(const std::string& name, const std::string& text) { write_file_atomically(file(name), text); }

void RunDirectory::remove(const std::string& name) {
  std::error_code error;
  fs::remove(file(name), error);
}

std::string RunDirectory::set_aside(const std::string& name) {
  int number = 1;
  const auto kept = [&] { return fmt::format("{}.damaged-{}", name, number); };
  while (fs::exists(file(kept()))) ++number;
  std::error_code error;
  fs::rename(file(name), file(kept()), error);
  if (error) fail(Exit::kIo, "[{}] cannot be renamed to {}: {}", file(name), kept(), error.message());
  return kept();
}

}  // namespace taut::study
