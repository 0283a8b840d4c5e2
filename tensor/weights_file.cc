#include "tensor/weights_file.h"

#include "tensor/files/safetensors_header.h"
#include "tensor/files/torch_file.h"
#include "tensor/files/zip_archive.h"

namespace taut {
namespace {

FileContents parse(FileBytes file, const WeightsOptions& options) {
  static_cast<void>(options);
  if (looks_like_zip(file)) return parse_torch_zip(std::move(file));
  if (looks_like_torch_legacy(file)) return parse_torch_legacy(std::move(file));
  if (looks_like_safetensors(file)) return parse_safetensors(std::move(file));
  fail(Exit::kBadData, "[{}] expected weights as safetensors, got a file of {} bytes that starts with \"{}\"",
       file.path(), file.size(), printable(file.text(0, std::min<uint64_t>(file.size(), 16))));
}

}  // namespace

WeightsFile WeightsFile::open(const std::string& path, const WeightsOptions& options) {
  return WeightsFile(parse(FileBytes::map(path), options));
}

}  // namespace taut
