#include "study/text_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "kernels/error.h"
#include "tensor/retried.h"

namespace taut::study {

std::string read_text_file(const std::string& path) {
  std::error_code error;
  if (!std::filesystem::exists(path, error)) fail(Exit::kMissing, "[{}] there is no such file", path);
  if (std::filesystem::is_directory(path, error)) fail(Exit::kMissing, "[{}] is a folder, expected a file", path);
  std::ifstream in(path, std::ios::binary);
  std::ostringstream text;
  text << in.rdbuf();
  if (!in) fail(Exit::kIo, "[{}] cannot be read: {}", path, std::strerror(errno));
  return std::move(text).str();
}

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  size_t begin = 0;
  while (begin < text.size()) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    lines.push_back(text.substr(begin, end - begin));
    begin = end + 1;
  }
  return lines;
}

void make_folder(const std::string& path) {
  namespace fs = std::filesystem;
  std::error_code error, ignored;
  // Folders that get a new entry: without a sync of each, power that goes could take the folder with all that is in it.
  std::vector<fs::path> changed;
  for (fs::path at = fs::path(path).lexically_normal(); !at.empty() && !fs::exists(at, ignored);) {
    const fs::path above = at.parent_path();
    if (at.has_filename()) changed.push_back(above.empty() ? "." : above);
    if (above == at) break;
    at = above;
  }
  fs::create_directories(path, error);
  if (error || !fs::is_directory(path, ignored))
    fail(Exit::kIo, "[{}] the folder cannot be made: {}", path,
         error ? error.message() : "something else has its name");
  for (const fs::path& folder : changed) sync_folder(folder.string());
}

void sync_folder(const std::string& path) {
  const int fd = retried([&] { return ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC); });
  if (fd < 0) fail(Exit::kIo, "[{}] cannot be opened: {}", path, std::strerror(errno));
  const int result = retried([&] { return ::fsync(fd); });
  const int reason = errno;
  ::close(fd);
  if (result != 0) fail(Exit::kIo, "[{}] cannot be synced: {}", path, std::strerror(reason));
}

}  // namespace taut::study
