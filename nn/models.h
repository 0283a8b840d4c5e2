// Models by name: vit_{tiny,small,base,large}_patch{16,32}_{224,384}, deit_tiny_patch16_224, and `vit_demo`, the small
// net of the demo.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "nn/vit.h"

namespace taut::nn {

std::vector<std::string> model_names();

// Flavour "timm": epsilon 1e-6, no pooler; "hf": epsilon 1e-12, pooler counted. classes = 0: the model's own number.
// Throws Error(kUsage) naming the nearest model or flavour.
VitConfig model_config(const std::string& name, const std::string& flavour = "timm", int64_t classes = 0);

}  // namespace taut::nn
