#include "nn/models.h"

#include "tensor/nearest.h"

namespace taut::nn {
namespace {

struct Size {
  const char* name;
  int64_t dim, depth, heads;
};
constexpr Size kSizes[] = {{"tiny", 192, 12, 3}, {"small", 384, 12, 6}, {"base", 768, 12, 12}, {"large", 1024, 24, 16}};

std::string vit_name(const Size& size, int64_t patch, int64_t image) {
  return std::string("vit_") + size.name + "_patch" + std::to_string(patch) + "_" + std::to_string(image);
}

VitConfig vit_config(const Size& size, int64_t patch, int64_t image) {
  VitConfig c;
  c.image_size = image;
  c.patch = patch;
  c.dim = size.dim;
  c.depth = size.depth;
  c.heads = size.heads;
  c.mlp = 4 * size.dim;
  return c;
}

// ImageNet's statistics, which DeiT (Touvron et al., 2021) was trained with.
VitConfig deit_tiny() {
  VitConfig c = vit_config(kSizes[0], 16, 224);
  c.mean = {0.485, 0.456, 0.406};
  c.std = {0.229, 0.224, 0.225};
  return c;
}

// The demo's net: grey 24 x 24 images, 104,064 parameters without the head.
VitConfig demo() {
  VitConfig c;
  c.image_size = 24;
  c.patch = 4;
  c.channels = 1;
  c.dim = 64;
  c.depth = 3;
  c.heads = 4;
  c.mlp = 128;
  c.classes = 100;
  c.mean = {0.5};
  c.std = {0.5};
  return c;
}

struct Model {
  std::string name;
  VitConfig config;
};

const std::vector<Model>& models() {
  static const std::vector<Model> all = [] {
    std::vector<Model> list;
    for (const Size& size : kSizes)
      for (const int64_t patch : {16, 32})
        for (const int64_t image : {224, 384})
          list.push_back({vit_name(size, patch, image), vit_config(size, patch, image)});
    list.push_back({"deit_tiny_patch16_224", deit_tiny()});
    list.push_back({"vit_demo", demo()});
    return list;
  }();
  return all;
}

}  // namespace

std::vector<std::string> model_names() {
  std::vector<std::string> names;
  for (const Model& m : models()) names.push_back(m.name);
  return names;
}

VitConfig model_config(const std::string& name, const std::string& flavour, int64_t classes) {
  TAUT_CHECK(flavour == "timm" || flavour == "hf", "[model.flavour] expected timm or hf, got '{}'", flavour);
  TAUT_CHECK(classes >= 0, "[model.classes] expected a number of classes >= 1, got {}", classes);
  for (const Model& m : models()) {
    if (m.name != name) continue;
    VitConfig c = m.config;
    if (flavour == "hf") {
      c.eps = 1e-12;
      c.pooler = true;
    }
    if (classes > 0) c.classes = classes;
    return c;
  }
  fail(Exit::kUsage, "[model.name] there is no model '{}'; hint: {}", name, did_you_mean(name, model_names()));
}

}  // namespace taut::nn
