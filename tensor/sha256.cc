#include "tensor/sha256.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <new>
#include <vector>

#include "kernels/error.h"

namespace taut {
namespace {

// In a library context of its own: OpenSSL 3.0's default one, where memory runs out while it is made, stays half made,
// and its next use ends the process.
const EVP_MD* sha256() {
  static const EVP_MD* const md = [] {
    OSSL_LIB_CTX* const library = OSSL_LIB_CTX_new();
    EVP_MD* const fetched = library == nullptr ? nullptr : EVP_MD_fetch(library, "SHA256", nullptr);
    if (fetched != nullptr) return fetched;
    OSSL_LIB_CTX_free(library);
    throw std::bad_alloc();
  }();
  return md;
}

}  // namespace

struct Sha256::Context {
  EVP_MD_CTX* md = EVP_MD_CTX_new();
  ~Context() { EVP_MD_CTX_free(md); }
};

Sha256::Sha256() : context_(std::make_unique<Context>()) {
  if (context_->md == nullptr || EVP_DigestInit_ex2(context_->md, sha256(), nullptr) != 1) throw std::bad_alloc();
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
