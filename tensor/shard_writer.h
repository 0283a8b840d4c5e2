// A model in one safetensors file, or in several and an index of them, as Hugging Face's libraries cut and name them.
#pragma once

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "tensor/tensor.h"

namespace taut {

constexpr int64_t kShardBytes = 5'000'000'000;  // Hugging Face's default

// Writes `path` ("model.safetensors") where the tensors take at most `shard_bytes`. Else fills files with tensors in
// their order, so that none but one of a single tensor is larger: model-00001-of-0000N.safetensors beside `path`, and
// model.safetensors.index.json. All or nothing is seen: the files are written elsewhere first, the index comes last,
// and what an earlier call left under these names (the one file, or an index and the files it names) is removed.
// `dtypes` and errors as of write_safetensors. Returns what model readers open: `path` or the index.
std::string write_safetensors_shards(const std::string& path,
                                     const std::vector<std::pair<std::string, Tensor>>& tensors,
                                     const std::map<std::string, std::string>& metadata,
                                     const std::map<std::string, std::string>& dtypes, int64_t shard_bytes);

// "500MB", "5GB", "2GiB", "4096": bytes; Error(kUsage) naming `setting` for anything else or less than 1.
int64_t bytes_by_name(const std::string& text, const char* setting);

}  // namespace taut
