#include "data/decode_isolated.h"

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <memory>
#include <vector>

#include "data/decode.h"
#include "data/decode_worker.h"
#include "kernels/error.h"
#include "kernels/tell.h"

namespace taut {

Image decode_isolated(std::span<const uint8_t> bytes, std::string_view name) {
  // Never destroyed: threads may still decode when the program ends, and workers end with it.
  static auto* workers =
      new DecodeWorkers(decode_image, WorkerLimits{}, [](const std::string& line) { tell("{}\n", line); });
  check_file_bytes(static_cast<int64_t>(bytes.size()), name);
  return workers->decode(bytes, name);
}

Image decode_file(const std::string& path) {
  std::error_code error;
  const auto status = std::filesystem::status(path, error);
  if (!std::filesystem::exists(status)) fail(Exit::kMissing, "[{}] expected an image file, got none", path);
  if (!std::filesystem::is_regular_file(status))
    fail(Exit::kBadData, "[{}] expected an image, got no regular file", path);
  const auto size = std::filesystem::file_size(path, error);
  if (error) fail(Exit::kIo, "[{}] expected a readable file, got: {}", path, error.message());
  check_file_bytes(static_cast<int64_t>(size), path);
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen(path.c_str(), "rb"), std::fclose);
  if (!file) fail(Exit::kIo, "[{}] expected a readable file, got: {}", path, std::strerror(errno));
  std::vector<uint8_t> bytes(size);
  if (std::fread(bytes.data(), 1, bytes.size(), file.get()) != bytes.size()) {
    fail(Exit::kIo, "[{}] expected {} bytes, got fewer", path, bytes.size());
  }
  return decode_isolated(bytes, path);
}

}  // namespace taut
