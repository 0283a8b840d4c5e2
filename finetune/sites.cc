#include "finetune/sites.h"

#include <algorithm>
#include <cctype>

#include "autograd/ops.h"

namespace taut::finetune {
namespace {

template <class L>
std::shared_ptr<L> plain_at(const nn::LayerSlot& slot) {
  auto layer = std::dynamic_pointer_cast<L>(slot.layer);
  TAUT_CHECK(layer != nullptr, "[finetune] expected a plain layer at {}; a strategy was applied to this model already",
             slot.path);
  return layer;
}

// "bn" and digits.
bool is_batch_norm_name(const std::string& part) {
  return part.size() > 2 && part.starts_with("bn") &&
         std::all_of(part.begin() + 2, part.end(), [](unsigned char c) { return std::isdigit(c) != 0; });
}

}  // namespace

std::shared_ptr<nn::Linear> linear_at(const nn::LayerSlot& slot) { return plain_at<nn::Linear>(slot); }
std::shared_ptr<nn::Conv> conv_at(const nn::LayerSlot& slot) { return plain_at<nn::Conv>(slot); }

std::string hf_layer(int64_t block) { return "vit.encoder.layer." + std::to_string(block) + "."; }

Var whole(const Var& weight) { return weight.dtype() == DType::kBF16 ? ops::cast(weight, DType::kF32) : weight; }

void freeze_backbone(nn::Model& model) {
  model.set_requires_grad(false);
  model.head->set_requires_grad(true);
}

bool is_norm_parameter(const std::string& path) {
  if (path.find("norm") != std::string::npos || path.find("downsample.1.") != std::string::npos ||
      path.find("shortcut.1.") != std::string::npos)
    return true;
  for (size_t begin = 0; begin < path.size();) {
    const size_t end = std::min(path.find('.', begin), path.size());
    if (is_batch_norm_name(path.substr(begin, end - begin))) return true;
    begin = end + 1;
  }
  return false;
}

bool has_batch_norm(const nn::Model& model) { return !model.buffers().empty(); }

}  // namespace taut::finetune
