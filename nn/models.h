// Models by name, with what each was trained on: image size, channels, classes, normalisation, resizing.
//
//   vit_{tiny,small,base,large}_patch{16,32}_{224,384}, deit_tiny_patch16_224; vit_demo, the small net of the demo
//   resnet{18,34,50,101,152} (torchvision), resnet18_cifar, cifar_resnet{20,32,44,56,110}, the same with _b
//   (projections in the shortcuts), wide_resnet{28,34}_10, preact_resnet18 (nn/resnet.h)
//   vnncomp_resnet2b, vnncomp_resnet4b, trades_small_cnn (nn/small_nets.h)
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "nn/vit.h"

namespace taut::nn {

std::vector<std::string> model_names();

// Flavour "timm": epsilon 1e-6, no pooler; "hf", of ViTs only: epsilon 1e-12, pooler counted. classes = 0: the model's
// own number. Throws Error(kUsage) naming the nearest model or flavour.
std::shared_ptr<ModelConfig> model_config(const std::string& name, const std::string& flavour = "timm",
                                          int64_t classes = 0);
// The same for a name of a ViT.
VitConfig vit_config(const std::string& name, const std::string& flavour = "timm", int64_t classes = 0);

}  // namespace taut::nn
