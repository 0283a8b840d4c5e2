// Files of weights from one library's names into another's: tensors are renamed, split, joined and permuted, never
// computed with, so their bytes and dtypes stay.
#pragma once

#include <string>
#include <vector>

#include "nn/weights.h"
#include "tensor/shard_writer.h"

namespace taut::nn {

struct ConvertOptions {
  std::vector<std::string> drop;      // regular expressions over the input's names: each leaves a tensor out
  std::string prefix = {};            // put before every name: one that readers strip ("module.")
  int64_t shard_bytes = kShardBytes;  // more than that become several .safetensors files and an index
  bool v2_is_bf16 = false;            // of NumPy's files (tensor/files/any_weights.h)
};
struct ConvertReport {
  std::string recognised;            // what the input is: "timm names, ViT-Ti/16 at 224, 1000 classes"
  int64_t tensors = 0;               // of the output
  std::string written;               // `out`, or the index of several files (tensor/shard_writer.h)
  std::vector<std::string> dropped;  // with the reason where `drop` did not ask for it
};

// The names that can be written: of ViTs timm, hf, hf_model, hf_v5, hf_model_v5, adapterhub, google, big_vision; of
// convolutional nets torchvision or timm (a net's own), akamaster, kuangliu.
std::vector<std::string> convertible_names();

// Reads any format (tensor/weights_file.h) and writes `out`, atomically, in the format of its ending: .safetensors, or
// .npz for Google's names. What a net's file has beside its parameters (counters of batch norms, layers that are never
// run) goes along. Throws Error(kBadData) naming tensors that are missing, mis-shaped or unknown to the target's names
// and not dropped, or a layer before the head that Hugging Face's names cannot keep; Error(kUsage) for an ending, names
// or a prefix that cannot be written, or a pattern of `drop` that leaves nothing out: it matches nothing, or only what
// the net has a place for or what belongs to another ViT's function (part_of_other_vits).
ConvertReport convert_weights(const std::string& in, const std::string& out, const std::string& names,
                              const ConvertOptions& options = {});

}  // namespace taut::nn
