// The readers that build and fill models: adapters of other libraries and conversion of weights. One input stands for
// the files they take (folder.h).
#pragma once

#include "nn/vit.h"
#include "tensor/files/file_bytes.h"

namespace taut::fuzz {

// The plain ViT that adapters are loaded into.
nn::VitConfig adapted_config();

// A folder with an adapter: finetune::load_foreign_delta. A refused one must leave the model as it was.
void read_adapter(const FileBytes& file);

// The first file alone, by nn::convert_weights into what its name says: the target's names ("timm", "google",
// ...), "google.npz", or "NAMES.shards" for many small files. What is written must open again with as many bytes of
// tensors.
void read_convert(const FileBytes& file);

}  // namespace taut::fuzz
