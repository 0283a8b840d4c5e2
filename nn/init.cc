#include "nn/init.h"

#include <cmath>

#include "nn/vit.h"
#include "tensor/random.h"

namespace taut::nn {
namespace {

// FNV-1a of a path: the sample number under which its values are drawn.
uint64_t hash_of(const std::string& path) {
  uint64_t h = 0xCBF29CE484222325u;
  for (const char c : path) h = (h ^ static_cast<unsigned char>(c)) * 0x100000001B3u;
  return h;
}

template <class Draw>
void fill_with(Tensor& t, uint64_t seed, const std::string& path, Draw&& draw) {
  Random random(seed, Purpose::kInit, 0, hash_of(path));
  on_float(t.dtype(), "init", [&]<class T>() {
    for (T& x : t.span<T>()) x = static_cast<T>(draw(random));
  });
  t.bump_version();
}

double truncated_normal(Random& random, double std) {
  for (;;) {
    const double z = random.normal();
    if (std::abs(z) <= 2) return std * z;
  }
}

void init_vit(Vit& vit, uint64_t seed) {
  const double patch_bound =
      1 / std::sqrt(static_cast<double>(vit.config().patch * vit.config().patch * vit.config().channels));
  for (const NamedParameter& p : vit.parameters()) {
    Tensor t = p.var.value();
    const bool is_norm = p.path.find("norm") != std::string::npos;
    if (p.path == "patch_embed.proj.weight")
      fill_uniform(t, patch_bound, seed, p.path);
    else if (p.path == "cls_token")
      fill_normal(t, 1e-6, seed, p.path);
    else if (!is_norm && !p.path.ends_with("bias"))
      fill_with(t, seed, p.path, [](Random& r) { return truncated_normal(r, 0.02); });
  }
}

}  // namespace

void fill_normal(Tensor& t, double std, uint64_t seed, const std::string& path) {
  fill_with(t, seed, path, [std](Random& r) { return std * r.normal(); });
}

void fill_uniform(Tensor& t, double bound, uint64_t seed, const std::string& path) {
  fill_with(t, seed, path, [bound](Random& r) { return r.uniform(-bound, bound); });
}

void init_model(Model& model, uint64_t seed) {
  if (auto* vit = dynamic_cast<Vit*>(&model)) return init_vit(*vit, seed);
  for (const NamedParameter& p : model.parameters()) {
    Tensor t = p.var.value();
    if (t.ndim() == 4)
      fill_normal(t, std::sqrt(2 / static_cast<double>(t.size(0) * t.size(2) * t.size(3))), seed, p.path);
    else if (t.ndim() == 2)
      fill_uniform(t, 1 / std::sqrt(static_cast<double>(t.size(1))), seed, p.path);
  }
}

}  // namespace taut::nn
