#include "tensor/atomic_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <utility>

#include "kernels/error.h"

namespace taut {
namespace {

class Descriptor {
 public:
  Descriptor(const std::string& path, int flags) : fd_(::open(path.c_str(), flags | O_CLOEXEC, 0666)) {}
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return fd_; }
  // Some file systems report a failed write only here.
  bool close() { return ::close(std::exchange(fd_, -1)) == 0; }

 private:
  int fd_;
};

bool write_all(int fd, std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const size_t most = std::min(bytes.size(), size_t{1} << 30);  // Linux writes at most 2 GiB at a time
    const ssize_t n = ::write(fd, bytes.data(), most);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return false;
    bytes = bytes.subspan(static_cast<size_t>(n));
  }
  return true;
}

}  // namespace

void write_file_atomically(const std::string& path, const std::vector<std::span<const std::byte>>& parts) {
  const std::string temporary = path + ".tmp";
  const auto give_up = [&](const char* what) {
    const std::string reason = std::strerror(errno);
    std::remove(temporary.c_str());
    fail(Exit::kIo, "[{}] cannot {}: {}", path, what, reason);
  };
  Descriptor file(temporary, O_WRONLY | O_CREAT | O_TRUNC);
  if (file.get() < 0) give_up("create its temporary file");
  for (const auto& part : parts)
    if (!write_all(file.get(), part)) give_up("write");
  if (::fsync(file.get()) != 0) give_up("sync");
  if (!file.close()) give_up("close");
  if (std::rename(temporary.c_str(), path.c_str()) != 0) give_up("rename into place");
  const size_t slash = path.rfind('/');
  const std::string folder = slash == std::string::npos ? "." : path.substr(0, std::max(slash, size_t{1}));
  const Descriptor directory(folder, O_RDONLY | O_DIRECTORY);
  if (directory.get() < 0 || ::fsync(directory.get()) != 0) give_up("sync its folder");
}

}  // namespace taut
