#include "tensor/safetensors.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "tensor/atomic_file.h"
#include "tensor/files/safetensors_header.h"

namespace taut {
const char* safetensors_type(DType dtype) {
  switch (dtype) {
    case DType::kF32: return "F32";
    case DType::kF64: return "F64";
    case DType::kBF16: return "BF16";
    case DType::kI32: return "I32";
    case DType::kI64: return "I64";
    case DType::kU8: return "U8";
    case DType::kBool: return "BOOL";
  }
  fail(Exit::kUsage, "[safetensors] unknown dtype");
}

SafetensorsFile SafetensorsFile::open(const std::string& path) {
  return SafetensorsFile(parse_safetensors(FileBytes::map(path)));
}

void write_safetensors(const std::string& path, const std::vector<std::pair<std::string, Tensor>>& tensors,
                       const std::map<std::string, std::string>& metadata,
                       const std::map<std::string, std::string>& dtypes) {
  std::vector<std::pair<std::string, Tensor>> sorted;
  for (const auto& [name, tensor] : tensors) sorted.emplace_back(name, tensor.contiguous().to(Device{}));
  std::sort(sorted.begin(), sorted.end(), [](const auto& a, const auto& b) {
    const int64_t wide_a = size_of(a.second.dtype()), wide_b = size_of(b.second.dtype());
    return wide_a != wide_b ? wide_a > wide_b : a.first < b.first;
  });
  nlohmann::ordered_json header = nlohmann::ordered_json::object();
  if (!metadata.empty()) header["__metadata__"] = metadata;
  int64_t end = 0;
  for (const auto& [name, tensor] : sorted) {
    TAUT_CHECK(name != "__metadata__" && !header.contains(name),
               "[{}] tensor '{}' is given twice or has a reserved name", path, name);
    const auto it = dtypes.find(name);
    header[name] = {{"dtype", it == dtypes.end() ? safetensors_type(tensor.dtype()) : it->second},
                    {"shape", tensor.shape()},
                    {"data_offsets", {end, end + tensor.bytes()}}};
    end += tensor.bytes();
  }
  std::string text;
  try {
    text = header.dump();
  } catch (const nlohmann::json::exception&) {
    fail(Exit::kUsage, "[{}] expected names and metadata in UTF-8", path);
  }
  text.append((8 - text.size() % 8) % 8, ' ');
  const uint64_t length = text.size();
  std::vector<std::span<const std::byte>> parts{std::as_bytes(std::span(&length, 1)),
                                                std::as_bytes(std::span(text.data(), text.size()))};
  for (const auto& [name, tensor] : sorted) parts.emplace_back(tensor.raw(), static_cast<size_t>(tensor.bytes()));
  write_file_atomically(path, parts);
}

}  // namespace taut
