#include "tensor/sha256.h"

#include <openssl/evp.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <new>
#include <vector>

#include "kernels/error.h"

namespace taut {

struct Sha256::Context {
  EVP_MD_CTX* md = EVP_MD_CTX_new();
  ~Context() { EVP_MD_CTX_free(md); }
};

Sha256::Sha256() : context_(std::make_unique<Context>()) {
  if (context_->md == nullptr) throw std::bad_alloc();
  if (EVP_DigestInit_ex(context_->md, EVP_sha256(), nullptr) != 1)
    fail(Exit::kUnavailable, "[sha256] OpenSSL offers no SHA-256 here");
}

Sha256::~Sha256() = default;

void Sha256::update(const void* data, size_t size) { EVP_DigestUpdate(context_->md, data, size); }

std::string Sha256::hex() {
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned int size = 0;
  EVP_DigestFinal_ex(context_->md, digest.data(), &size);
  std::string text;
  for (unsigned int i = 0; i < size; ++i) text += fmt::format("{:02x}", digest[i]);
  return text;
}

std::string sha256_of(const std::string& bytes) {
  Sha256 hash;
  hash.update(bytes);
  return hash.hex();
}

std::string sha256_of_file(const std::string& path) {
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen(path.c_str(), "rb"), &std::fclose);
  if (!file)
    fail(errno == ENOMEM   ? Exit::kMemory
         : errno == ENOENT ? Exit::kMissing
                           : Exit::kIo,
         "[{}] cannot be opened: {}", path, std::strerror(errno));
  Sha256 hash;
  std::vector<char> buffer(size_t{1} << 20);
  while (const size_t n = std::fread(buffer.data(), 1, buffer.size(), file.get())) hash.update(buffer.data(), n);
  if (std::ferror(file.get()) != 0) fail(Exit::kIo, "[{}] cannot be read", path);
  return hash.hex();
}

}  // namespace taut
