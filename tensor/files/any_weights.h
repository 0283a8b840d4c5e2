// Weights of any format, recognised by their content; by the ending of the name only where the content is damaged so
// far that it says nothing.
#pragma once

#include <functional>

#include "tensor/files/stored_tensor.h"

namespace taut {

struct WeightsOptions {
  // NumPy knows no bfloat16 and writes such arrays as two bytes without a meaning ('|V2'); true reads them as BF16.
  bool v2_is_bf16 = false;
};

// One file, or an index and the files it names, which `open` gives (FileBytes::map for those on disk). Throws
// Error(kBadData) with the file and what its format's reader found: tensor, record or opcode and offset. Of an index it
// demands that it and its files agree tensor by tensor, that files numbered K-of-N are all N of them, and that
// total_size is the tensors' bytes.
FileContents parse_weights(FileBytes file, const WeightsOptions& options,
                           const std::function<FileBytes(const std::string& path)>& open);

}  // namespace taut
