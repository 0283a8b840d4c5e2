// What a file of weights belongs to, from its tensors' names and shapes alone.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "nn/file_names.h"

namespace taut::nn {

struct Recognised {
  NameStyle style;
  // A ViT of these sizes. classes 0: the file has no head; heads as Google's files say, else as the listed model of
  // that size has, else the width / 64, or 1 where heads_known is false.
  std::optional<VitConfig> vit;
  bool heads_known = false;
  // Or a listed convolutional net, with the file's number of classes, 0 of a file without a head.
  std::shared_ptr<ModelConfig> net;
  std::string text;  // "timm names, ViT-Ti/16 at 224, 1000 classes", "cifar_resnet20, 10 classes"
};

const char* name(NameStyle style);  // "timm", "hf", "google", "torchvision"

// Where a file's tensors stand in what was recognised: those that it has, and the names of those that it lacks, but a
// pooler and, of a file without a head, the head.
struct Places {
  std::vector<FoundEntry> found;
  std::vector<std::string> missing;
};
Places places(const FileNames& names, const Recognised& known);
// "NAME (1, 2) instead of (3, 4)" of each tensor that has another shape than its place.
std::vector<std::string> misshaped(const std::vector<FoundEntry>& found);
// Whether a tensor of a recognised net computes nothing: a batch norm's counter, a layer that is never run.
bool computes_nothing(const FileNames& names, const Recognised& known, const std::string& stored);

// What keeps a recognised file from being converted and loaded, to be said after `text`: ", which the file does not
// fit; 2 of LayerScale, ...". Empty: nothing.
std::string what_does_not_fit(const TensorFile& file, const Recognised& known);

// Empty where the tensors are neither a ViT's nor a listed net's.
std::optional<Recognised> recognise(const TensorFile& file);

}  // namespace taut::nn
