// Files of named tensors in the safetensors format (tensor/files/safetensors_header.h): the format of everything the
// project writes, and the only one it reads back itself. Files of other origin: tensor/weights_file.h.
#pragma once

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "tensor/tensor_file.h"

namespace taut {

class SafetensorsFile : public TensorFile {
 public:
  // Throws Error(kMissing) where there is no such file and Error(kBadData), naming file and tensor, where it breaks a
  // rule.
  static SafetensorsFile open(const std::string& path);

 private:
  using TensorFile::TensorFile;
};

// Writes a file atomically (tensor/atomic_file.h). The bytes depend on names, tensors and metadata alone, not on their
// order: tensors are stored by falling element size, then by name, and the header is padded with spaces to 8 bytes.
// `dtypes` spells the type a tensor's bits stand for where that is not its own (F16, carried as BF16).
// Throws Error(kUsage) on a name given twice or that is not UTF-8, Error(kIo) where the file cannot be written.
void write_safetensors(const std::string& path, const std::vector<std::pair<std::string, Tensor>>& tensors,
                       const std::map<std::string, std::string>& metadata = {},
                       const std::map<std::string, std::string>& dtypes = {});

// "F32", "BF16", ...: how the format spells one of our types.
const char* safetensors_type(DType dtype);

}  // namespace taut
