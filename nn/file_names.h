// What the tensors of a file are called, and which parameters of a model they are.
//
//   timm     fused qkv, or split as attn.q or attn.q_proj
//   hf       with or without `vit.`; a classifier as `classifier` or AdapterHub's `heads.default.1`; modules as in
//            `transformers` until version 4 (encoder.layer.0.attention.attention.query) and from version 5 on
//            (layers.0.attention.q_proj)
//   google   index variants of the ViT paper (MultiHeadDotProductAttention_1, LayerNorm_2, MlpBlock_3) and of
//   big_vision
//            (_0, _1, _0), blocks apart or stacked as `encoderblock`; prefixes params/, params/img/, opt/target/,
//            target/
//   torchvision   and all convolutional nets: their own names (nn/resnet.h, nn/small_nets.h); `linear` for `fc` and
//            `shortcut` for `downsample` where nets are known by both (kuangliu)
//
// Prefixes that wrappers leave (`module.`, `model.`, `state_dict.`) are stripped.
#pragma once

#include <map>
#include <regex>
#include <set>
#include <string>
#include <vector>

#include "nn/weights.h"
#include "tensor/tensor_file.h"

namespace taut::nn {

// An entry of a name map and the tensor of the file that it is.
struct FoundEntry {
  NameEntry entry;  // spelled as the file does, without prefixes
  std::string stored;
  int64_t layer = -1;  // of a tensor that stacks all blocks in its first dimension
  Shape shape;         // the file's, of the layer
};

// How a library or repository spells the names of a style.
struct Spelling {
  const char* name;  // "hf_model", as `taut weights convert --names` takes it
  NameStyle style;
  std::vector<std::pair<const char*, const char*>> changes;  // what is replaced, once; "^a" stands at the beginning
};
const std::vector<Spelling>& all_spellings();
const Spelling& spelling_by_name(const std::string& names);  // Error(kUsage) for one that there is not
std::string spelled(const std::string& name, const Spelling& spelling);
// A name and every other way in which a file of its style may spell it.
std::vector<std::string> spellings(const std::string& name, NameStyle style);

class FileNames {
 public:
  // Throws Error(kBadData) where two tensors are the same parameter.
  explicit FileNames(const TensorFile& file);

  NameStyle style() const { return style_; }
  bool contains(const std::string& name) const { return stored_.contains(name); }
  const std::map<std::string, std::string>& stored() const { return stored_; }
  std::string without_prefix(const std::string& stored) const;

  // The entries of `map` that the file has, in the map's order; the others are appended to `missing`. A fused qkv of
  // width `dim` becomes three entries where the file splits it.
  std::vector<FoundEntry> find(const std::vector<NameEntry>& map, int64_t dim, std::vector<NameEntry>& missing) const;
  // Names, as stored, that are not among `found`.
  std::vector<std::string> others(const std::vector<FoundEntry>& found) const;

 private:
  bool find_one(const NameEntry& e, FoundEntry& found) const;

  const TensorFile& file_;
  std::map<std::string, std::string> stored_;  // name without prefixes -> the file's
  NameStyle style_;
};

// What wrappers put before the names of a style, as often as they like, and is stripped.
const std::vector<const char*>& prefixes(NameStyle style);
std::string without_prefixes(std::string name, NameStyle style);

// A parameter of a layer that the code of the file's origin builds and never runs, which is no part of the function:
// TRADES' WideResNets have a second copy of their first stage, `sub_block1`.
bool is_never_run(const ModelConfig& config, const std::string& name);

// A layer between the class token and the head that many files have and this project's ViTs do not compute.
bool is_between_backbone_and_head(const std::string& name);

// What a tensor belongs to of other ViTs that is part of their function and that this project's do not compute:
// "LayerScale", "qk-norm", ...; without it the weights are another function's. Empty: nothing of that kind.
std::string part_of_other_vits(const std::string& name);

// "; 3 missing: a, b, c", at most eight of them; empty for none.
std::string listed(const std::string& what, const std::vector<std::string>& names);
// The same of tensors for which a ViT has no place, those of other ViTs' functions apart.
std::string listed_strangers(const char* what, const std::vector<std::string>& names);

// Regular expressions that are searched in names.
class NamePatterns {
 public:
  // Throws Error(kUsage) naming `setting` for one that is no regular expression.
  NamePatterns(const std::vector<std::string>& patterns, const char* setting);

  // Whether any of them matches; each that does is used from now on.
  bool match(const std::string& name);
  struct Pattern {
    std::string text;
    std::regex regex;
    bool used = false;
  };
  const std::vector<Pattern>& all() const { return patterns_; }

 private:
  std::vector<Pattern> patterns_;
};

}  // namespace taut::nn
