// Deltas that other libraries wrote, and deltas of ours written for them: directories in the layouts of Hugging Face's
// `peft` (adapter_config.json, adapter_model.safetensors or .bin) and of AdapterHub's `adapters` (adapter_config.json,
// adapter.safetensors or pytorch_adapter.bin; a head beside it or in a directory of its own: head_config.json,
// model_head.safetensors or pytorch_model_head.bin).
//
//   read   peft, of ViTs and convolutional nets: LoRA (any linear layers and convolutions, rank and alpha patterns,
//          rsLoRA, DoRA, biases), (IA)^3 with or without feed-forward modules, LN-tuning, whole modules (a head, batch
//          norms, embeddings);
//          AdapterHub: LoRA, (IA)^3, bottleneck adapters and Compacter in series or parallel with gelu, relu or silu,
//          on all or some layers. What a configuration asks beyond that is refused by the name of its key.
//   write  peft: lora, ia3, ln (ViTs). AdapterHub: lora, ia3, adapter, compacter, lp (a head alone).
//
// LoRA and (IA)^3 are folded into the weights: W + s B A, diag(l) W, W diag(l). A batch norm's running statistics
// move with training: its delta is written with every norm a module to save.
#pragma once

#include <string>

#include "finetune/strategy.h"

namespace taut::finetune {

// kPeftV5: peft's, with a ViT's modules as `transformers` calls them from version 5 on. peft finds tensors by the names
// of the model's modules and knows one spelling at a time.
enum class Layout { kPeft, kPeftV5, kAdapterHub };

struct ForeignDelta {
  std::string description;  // "LoRA of 10 modules in peft's layout"
  std::string method;       // lora, ia3, ln, adapter, compacter, or lp for a head alone
  bool has_head = false;
  // What the model is now a model of: `full` (plain) where all was folded, else `adapter` or `compacter`.
  const Strategy* strategy = nullptr;
  StrategyOptions options;
};

// Whether a path is a delta of another library: a directory.
bool is_foreign_delta(const std::string& path);
// Whether a path is a delta that a run wrote (finetune/delta.h).
bool is_own_delta(const std::string& path);

// Loads one into a plain model. Throws Error(kMissing) where a file is not there, Error(kBadData) naming file, tensor
// or key of the configuration, and for AdapterHub's layout where the model is no ViT; the model is unchanged then.
ForeignDelta load_foreign_delta(const std::string& folder, nn::Model& model);

// Writes a delta of ours (finetune/delta.h) as a directory, files atomically, the configuration last. Throws
// Error(kUsage) where the layout cannot express the strategy, saying why; Error(kIo).
void write_foreign_delta(const std::string& delta, const std::string& folder, Layout layout);

}  // namespace taut::finetune
