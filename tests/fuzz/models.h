// The readers that build and fill models: adapters of other libraries, deltas of ours and conversion of weights. One
// input stands for the files they take (folder.h).
#pragma once

#include "finetune/strategy.h"
#include "nn/resnet.h"
#include "nn/vit.h"
#include "tensor/files/file_bytes.h"

namespace taut::fuzz {

// The plain nets that adapters and deltas are loaded into, and the sizes of what strategies add to them.
nn::VitConfig adapted_config();
nn::ResNetConfig adapted_resnet();
finetune::StrategyOptions small_options();

// A folder with an adapter: finetune::load_foreign_delta, into the ViT, or into the ResNet where a file is called
// "resnet". A refused one must leave the model as it was.
void read_adapter(const FileBytes& file);

// The first file, a delta of ours. Its name says what becomes of it: "peft", "peft_v5" or "adapterhub" are layouts to
// write it in (finetune::write_foreign_delta), "vit.lora" and the like nets to load it into (finetune::load_delta),
// whose base is called "base". A refused one must leave the model as it was.
void read_delta(const FileBytes& file);
// The text of a delta that finetune::save_delta writes of a net with a strategy.
std::string delta_text(const nn::ModelConfig& config, const std::string& strategy);

// The first file alone, by nn::convert_weights into what its name says: the target's names ("timm", "google",
// ...), "google.npz", or "NAMES.shards" for many small files. What is written must open again with as many bytes of
// tensors.
void read_convert(const FileBytes& file);

}  // namespace taut::fuzz
