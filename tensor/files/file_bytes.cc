#include "tensor/files/file_bytes.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>

#include "kernels/error.h"
#include "tensor/retried.h"

namespace taut {

FileBytes FileBytes::map(const std::string& path) {
  // Not blocking: a pipe of that name is refused below instead of waited for.
  const int fd = retried([&] { return ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK); });
  if (fd < 0) {
    const Exit code = errno == ENOENT || errno == ENOTDIR ? Exit::kMissing : Exit::kIo;
    fail(code, "[{}] cannot open: {}", path, std::strerror(errno));
  }
  struct stat status {};
  const bool regular = ::fstat(fd, &status) == 0 && S_ISREG(status.st_mode);
  FileBytes file;
  file.path_ = path;
  const uint64_t size = regular ? static_cast<uint64_t>(status.st_size) : 0;
  file.size_ = size;
  void* memory = size > 0 ? ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, fd, 0) : nullptr;
  const int error = errno;
  ::close(fd);
  if (!regular) fail(Exit::kBadData, "[{}] expected a regular file", path);
  if (memory == MAP_FAILED)
    fail(error == ENOMEM ? Exit::kMemory : Exit::kIo, "[{}] cannot map: {}", path, std::strerror(error));
  if (size > 0)
    file.memory_ = {static_cast<const std::byte*>(memory),
                    [size](const std::byte* p) { ::munmap(const_cast<std::byte*>(p), size); }};
  return file;
}

FileBytes FileBytes::copy(std::string name, std::string_view bytes) {
  FileBytes file;
  file.path_ = std::move(name);
  file.size_ = bytes.size();
  if (!bytes.empty()) {
    // Exactly as long as the bytes, so that the address sanitizer sees a read past their end.
    std::byte* memory = new std::byte[bytes.size()];
    std::memcpy(memory, bytes.data(), bytes.size());
    file.memory_ = std::shared_ptr<const std::byte>(memory, [](const std::byte* p) { delete[] p; });
  }
  return file;
}

std::span<const std::byte> FileBytes::bytes(uint64_t at, uint64_t count) const {
  TAUT_CHECK(at <= size_ && count <= size_ - at, "[{}] expected {} bytes at {}, the file has {}", path_, count, at,
             size_);
  return {memory_.get() + at, static_cast<size_t>(count)};
}

std::string_view FileBytes::text(uint64_t at, uint64_t count) const {
  const std::span<const std::byte> b = bytes(at, count);
  return {reinterpret_cast<const char*>(b.data()), b.size()};
}

namespace {
// Length of the valid UTF-8 sequence that `text` (not empty) starts with, 0 if it is none.
size_t sequence(std::string_view text) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned first = byte(0);
  if (first < 0x80) return 1;
  const size_t length = first >= 0xF0 ? 4 : first >= 0xE0 ? 3 : 2;
  if (first < 0xC2 || first > 0xF4 || text.size() < length) return 0;
  for (size_t i = 1; i < length; ++i)
    if ((byte(i) & 0xC0) != 0x80) return 0;
  const unsigned second = byte(1);
  const bool overlong = (first == 0xE0 && second < 0xA0) || (first == 0xF0 && second < 0x90);
  const bool surrogate = first == 0xED && second >= 0xA0;
  const bool too_large = first == 0xF4 && second >= 0x90;
  return overlong || surrogate || too_large ? 0 : length;
}
}  // namespace

bool is_utf8(std::string_view text) {
  while (!text.empty()) {
    const size_t n = sequence(text);
    if (n == 0) return false;
    text.remove_prefix(n);
  }
  return true;
}

std::string printable(std::string_view text, size_t longest) {
  std::string out;
  while (!text.empty()) {
    const size_t n = sequence(text);
    const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
    const bool shown =
        (n == 1 && byte(0) >= 0x20 && byte(0) != 0x7F) || (n == 2 && (byte(0) != 0xC2 || byte(1) >= 0xA0)) || n > 2;
    const std::string next = shown ? std::string(text.substr(0, n)) : fmt::format("\\x{:02x}", byte(0));
    if (out.size() + next.size() > longest) return out + "...";
    out += next;
    text.remove_prefix(shown ? n : 1);
  }
  return out;
}

std::string stem(const FileBytes& file) {
  return printable(std::filesystem::path(file.path()).stem().string(), std::string::npos);
}

}  // namespace taut
