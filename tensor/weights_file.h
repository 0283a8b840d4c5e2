// Weights of any origin: one way to open every format, recognised from a file's content, never from its name (which
// only says, of a file too damaged to be recognised, whose rules it breaks).
//
//   safetensors         tensor/files/safetensors_header.h
//   an index            {"weight_map": {name: file}}, the index of a model in several files; shard_index.h
//   torch zip, legacy   what torch.save writes; torch_file.h; no code of the file is ever run
//   npy, npz            arrays of NumPy; npy.h
//
// A torch file's state dict is found inside the wrappers people save it in; prefixes of names ("module.") stay. A file
// that holds one unnamed array gives it the file's name without folder and ending.
#pragma once

#include <string>

#include "tensor/files/any_weights.h"
#include "tensor/tensor_file.h"

namespace taut {

class WeightsFile : public TensorFile {
 public:
  // Checks everything but the values. Throws Error(kMissing) where there is no such file; Error(kBadData) with the
  // file, the tensor, record or opcode and the offset where it is none of the formats or breaks one of its rules.
  static WeightsFile open(const std::string& path, const WeightsOptions& options = {});

 private:
  using TensorFile::TensorFile;
};

}  // namespace taut
