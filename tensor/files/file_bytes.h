// The bytes of a file, mapped read-only into memory. Copies share the mapping.
//
// A file that another program cuts off while it is mapped cannot be read any more; the kernel ends the process then.
// Programs that replace a file by renaming (tensor/atomic_file.h) leave the mapping whole.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace taut {

class FileBytes {
 public:
  // Throws Error(kMissing) where there is no such file, Error(kBadData) if it is no regular file, Error(kIo) if it
  // cannot be read.
  static FileBytes map(const std::string& path);
  // A copy of `bytes` that errors call `name`.
  static FileBytes copy(std::string name, std::string_view bytes);

  const std::string& path() const { return path_; }
  uint64_t size() const { return size_; }
  const std::byte* data() const { return memory_.get(); }
  // `count` bytes from byte `at`. The caller has checked that they exist; a program error throws Error(kUsage).
  std::span<const std::byte> bytes(uint64_t at, uint64_t count) const;
  std::string_view text(uint64_t at, uint64_t count) const;
  bool starts_with(std::string_view magic) const {
    return text(0, size_ < magic.size() ? size_ : magic.size()) == magic;
  }

 private:
  FileBytes() = default;
  std::string path_;
  std::shared_ptr<const std::byte> memory_;
  uint64_t size_ = 0;
};

// A little-endian number at an address of any alignment.
template <class T>
T load(const std::byte* from) {
  T value;
  std::memcpy(&value, from, sizeof(T));
  return value;
}
template <class T>
T load(std::string_view text, size_t at) {
  return load<T>(reinterpret_cast<const std::byte*>(text.data()) + at);
}

// Whether a text is UTF-8 without overlong forms, surrogates and numbers past U+10FFFF.
bool is_utf8(std::string_view text);
// A text from a file as it may stand in a message: printable ASCII and valid UTF-8 as they are but control characters
// (C0, DEL, C1), other bytes as \xNN, at most `longest` bytes.
std::string printable(std::string_view text, size_t longest = 100);
// What a tensor is called whose file gives it no name: the file's name without its ending, printable.
std::string stem(const FileBytes& file);

}  // namespace taut
