// The index of a model saved in several files, as Hugging Face writes it (model.safetensors.index.json):
//
//   {"metadata": {"total_size": 123}, "weight_map": {"NAME OF A TENSOR": "FILE BESIDE THE INDEX", ...}}
#pragma once

#include <map>
#include <string>

#include "tensor/files/file_bytes.h"

namespace taut {

struct ShardIndex {
  std::map<std::string, std::string> file_of;  // by name of tensor; plain names of files, without folders
  std::map<std::string, std::string> metadata;
};

// Throws Error(kBadData) naming file and entry: not JSON, a name twice, an entry of another kind, a file name that is
// not a plain one.
ShardIndex parse_shard_index(const FileBytes& file);

// Whether a file's first character that is not white space is a brace.
bool looks_like_shard_index(const FileBytes& file);

}  // namespace taut
