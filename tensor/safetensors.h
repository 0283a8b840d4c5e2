// Files of named tensors in the safetensors format: u64 little-endian N, N bytes of a JSON header, the tensors' bytes.
//
// The reader trusts nothing: every rule of the format and ours beyond it (no duplicate names, no unknown fields, no
// other numbers than plain unsigned integers, bounded depth, no holes, exact file size) is checked when the file is
// opened.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "tensor/tensor.h"

namespace taut {

// What a file says of one tensor. `dtype` is spelled as in the file ("F32", "BF16", "F8_E4M3", ...).
struct StoredTensor {
  std::string name, dtype;
  Shape shape;
  int64_t begin = 0, bytes = 0;  // in the data section
};

// A file mapped into memory. Copies share the mapping.
class SafetensorsFile {
 public:
  // Throws Error(kMissing) where there is no such file and Error(kBadData), naming file and tensor, where it breaks a
  // rule.
  static SafetensorsFile open(const std::string& path);

  const std::string& path() const { return path_; }
  const std::vector<StoredTensor>& tensors() const { return tensors_; }  // in the header's order
  std::vector<std::string> names() const;
  const std::map<std::string, std::string>& metadata() const { return metadata_; }

  bool contains(const std::string& name) const { return index_.contains(name); }
  // Throws Error(kBadData) naming file and tensor if it is not in the file.
  const StoredTensor& info(const std::string& name) const;
  // A copy of the tensor. F32, F64, BF16, I32, I64, U8 and BOOL keep their type, F16 becomes f32; any other is an
  // Error(kBadData).
  Tensor read(const std::string& name) const;

 private:
  SafetensorsFile() = default;
  std::string path_;
  std::shared_ptr<const std::byte> memory_;
  int64_t data_begin_ = 0;
  std::vector<StoredTensor> tensors_;
  std::map<std::string, size_t> index_;
  std::map<std::string, std::string> metadata_;
};

// Writes a file atomically (tensor/atomic_file.h). The bytes depend on names, tensors and metadata alone, not on their
// order: tensors are stored by falling element size, then by name, and the header is padded with spaces to 8 bytes.
// Throws Error(kUsage) on a name given twice or that is not UTF-8, Error(kIo) where the file cannot be written.
void write_safetensors(const std::string& path, const std::vector<std::pair<std::string, Tensor>>& tensors,
                       const std::map<std::string, std::string>& metadata = {});

}  // namespace taut
