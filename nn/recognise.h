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

// Empty where the tensors are neither a ViT's nor a listed net's.
std::optional<Recognised> recognise(const TensorFile& file);

}  // namespace taut::nn
