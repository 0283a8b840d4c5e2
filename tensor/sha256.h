// SHA-256, for identities of files and of weights.
#pragma once

#include <cstddef>
#include <memory>
#include <string>

namespace taut {

// Feeds bytes piece by piece; hex() ends it and gives 64 lower-case hexadecimal digits.
class Sha256 {
 public:
  Sha256();
  ~Sha256();
  Sha256(const Sha256&) = delete;
  Sha256& operator=(const Sha256&) = delete;
  void update(const void* data, size_t size);
  void update(const std::string& text) { update(text.data(), text.size()); }
  std::string hex();

 private:
  struct Context;
  std::unique_ptr<Context> context_;
};

std::string sha256_of(const std::string& bytes);
// Throws Error(kMissing) if the file cannot be opened, Error(kIo) if reading fails.
std::string sha256_of_file(const std::string& path);

}  // namespace taut
