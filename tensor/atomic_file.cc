#include "tensor/atomic_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>

#include "kernels/error.h"
#include "tensor/descriptor.h"
#include "tensor/retried.h"

namespace taut {
namespace {

int open_file(const std::string& path, int flags) {
  return retried([&] { return ::open(path.c_str(), flags | O_CLOEXEC, 0666); });
}

bool write_all(int fd, std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const size_t most = std::min(bytes.size(), size_t{1} << 30);  // Linux writes at most 2 GiB at a time
    const ssize_t n = retried([&] { return ::write(fd, bytes.data(), most); });
    if (n <= 0) return false;
    bytes = bytes.subspan(static_cast<size_t>(n));
  }
  return true;
}

}  // namespace

void write_file_atomically(const std::string& path, const std::vector<std::span<const std::byte>>& parts) {
  const std::string temporary = path + ".tmp";
  const auto give_up = [&](const char* what) {
    const bool full = errno == ENOSPC || errno == EDQUOT || errno == EFBIG;
    const std::string reason = std::strerror(errno);
    std::remove(temporary.c_str());
    fail(Exit::kIo, "[{}] cannot {}: {}{}", path, what, reason,
         full ? "; hint: make room on the disk and give the same command again" : "");
  };
  Descriptor file(open_file(temporary, O_WRONLY | O_CREAT | O_TRUNC));
  if (file.get() < 0) give_up("create its temporary file");
  for (const auto& part : parts)
    if (!write_all(file.get(), part)) give_up("write");
  if (retried([&] { return ::fsync(file.get()); }) != 0) give_up("sync");
  if (!file.close()) give_up("close");
  if (std::rename(temporary.c_str(), path.c_str()) != 0) give_up("rename into place");
  const size_t slash = path.rfind('/');
  const std::string folder = slash == std::string::npos ? "." : path.substr(0, std::max(slash, size_t{1}));
  const Descriptor directory(open_file(folder, O_RDONLY | O_DIRECTORY));
  if (directory.get() < 0 || retried([&] { return ::fsync(directory.get()); }) != 0) give_up("sync its folder");
}

}  // namespace taut
