#include "tensor/weights_file.h"

#include <filesystem>

#include "kernels/error.h"

namespace taut {
namespace {

// Hugging Face's libraries take the folder of a model, as whose weights one of these files counts.
void refuse_folder(const std::string& path) {
  std::error_code error;
  if (!std::filesystem::is_directory(path, error)) return;
  std::string hint;
  for (const char* name :
       {"model.safetensors.index.json", "model.safetensors", "pytorch_model.bin.index.json", "pytorch_model.bin"})
    if (const auto file = std::filesystem::path(path) / name; hint.empty() && std::filesystem::exists(file, error))
      hint = "; hint: " + file.string();
  fail(Exit::kBadData, "[{}] expected a regular file, got a folder{}", path, hint);
}

}  // namespace

WeightsFile WeightsFile::open(const std::string& path, const WeightsOptions& options) {
  refuse_folder(path);
  return WeightsFile(parse_weights(FileBytes::map(path), options, FileBytes::map));
}

}  // namespace taut
