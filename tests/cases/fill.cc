#include "tests/cases/fill.h"

#include <algorithm>
#include <cmath>
#include <vector>

namespace taut::cases {
namespace {

template <class F>
Tensor generate(const std::string& name, const Shape& shape, F&& value) {
  Tensor t = Tensor::empty(shape, DType::kF64);
  const uint64_t hash = fnv1a(name);
  int64_t i = 0;
  for (double& x : t.span<double>()) x = value(fill_unit(hash, i++));
  return t;
}

std::vector<std::string> parts_of(const std::string& name) {
  std::vector<std::string> parts(1);
  for (const char c : name) {
    if (c == '.') {
      parts.emplace_back();
    } else {
      parts.back() += c;
    }
  }
  return parts;
}

bool is_norm(const std::string& name) {
  for (const std::string& p : parts_of(name)) {
    if (p.find("layernorm") != std::string::npos) return true;
    if (p == "norm" || p == "norm1" || p == "norm2" || p == "bn1" || p == "bn2" || p == "bn3") return true;
  }
  return name.find("downsample.1") != std::string::npos;
}

}  // namespace

uint64_t fnv1a(std::string_view text) {
  uint64_t h = 0xCBF29CE484222325u;
  for (const char c : text) h = (h ^ static_cast<unsigned char>(c)) * 0x100000001B3u;
  return h;
}

double fill_unit(uint64_t hash, int64_t i) {
  uint64_t z = hash + static_cast<uint64_t>(i) + 0x9E3779B97F4A7C15u;
  z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
  z = (z ^ z >> 27) * 0x94D049BB133111EBu;
  z ^= z >> 31;
  return static_cast<double>(z >> 40) / 16777216.0;
}

Tensor unit(const std::string& name, const Shape& shape) {
  return generate(name, shape, [](double u) { return u; });
}

Tensor signed_unit(const std::string& name, const Shape& shape) {
  return generate(name, shape, [](double u) { return 2 * u - 1; });
}

Tensor ints(const std::string& name, const Shape& shape, int64_t high) {
  return generate(name, shape, [&](double u) { return std::floor(u * static_cast<double>(high)); }).to(DType::kI64);
}

Tensor fill_parameter(const std::string& name, const Shape& shape, bool ia3) {
  const std::string last = parts_of(name).back();
  const bool norm = is_norm(name);
  double factor = 0.1, offset = 0;
  if (last == "running_var") {
    offset = 1;
    factor = 0.5;
  } else if (norm && last == "weight") {
    offset = 1;
  } else if (!norm && last != "bias" && last != "b" && shape.size() >= 2) {
    int64_t fan_in = 1;
    for (size_t i = 1; i < shape.size(); ++i) fan_in *= shape[i];
    factor = std::sqrt(3.0 / static_cast<double>(fan_in));
  }
  Tensor t = generate(name, shape, [&](double u) { return offset + factor * (2 * u - 1); });
  if (ia3 && name.ends_with(".loras.ia3.lora_B")) {
    double most = 0;
    for (const double w : t.span<double>()) most = std::max(most, std::abs(w));
    for (double& w : t.span<double>()) w = 1 + 0.1 * w / most;
  }
  return t;
}

}  // namespace taut::cases
