#include "tests/cases/shape_case.h"

#include <charconv>
#include <cmath>
#include <vector>

#include "autograd/ops.h"
#include "kernels/lab/conv2d_bench.h"

namespace taut::cases {
namespace {

// Sizes with an x between them.
std::vector<int64_t> sizes_of(const std::string& op, const std::string& shape, const char* names, size_t count) {
  constexpr int64_t kLargest = 10'000'000;
  std::vector<int64_t> sizes;
  const char *at = shape.data(), *end = at + shape.size();
  bool good = true;
  while (good) {
    int64_t size = 0;
    const auto [next, error] = std::from_chars(at, end, size);
    good = error == std::errc() && size >= 1 && size <= kLargest;
    sizes.push_back(size);
    at = next;
    if (!good || at == end || *at != 'x') break;
    ++at;
  }
  TAUT_CHECK(good && at == end && sizes.size() == count,
             "[kernel bench {}] expected a shape {} of sizes from 1 to {}, got '{}'", op, names, kLargest, shape);
  return sizes;
}

double product_of(const std::vector<int64_t>& sizes) {
  double product = 1;
  for (const int64_t size : sizes) product *= static_cast<double>(size);
  return product;
}

OpCase matmul_case(const std::string& shape, Precision precision) {
  const std::vector<int64_t> s = sizes_of("matmul", shape, "MxNxK", 3);
  return {
      .inputs = {{.shape = {s[0], s[2]}}, {.shape = {s[1], s[2]}}},
      .run = [=](const std::vector<Var>& in) { return std::vector<Var>{ops::linear(in[0], in[1], {}, {}, precision)}; },
      .flops = 2 * product_of(s)};
}

OpCase conv2d_case(const std::string& shape, Precision precision) {
  const ConvShape s = conv_shape_of(shape);
  const ops::Conv2d how{s.stride, s.padding, s.dilation, s.groups, s.extra, precision};
  return {.inputs = {{.shape = {s.n, s.h, s.w, s.c_in}}, {.shape = {s.c_out, s.group_in(), s.kh, s.kw}}},
          .run = [=](const std::vector<Var>& in) { return std::vector<Var>{ops::conv2d(in[0], in[1], {}, how)}; },
          .flops = 2.0 * static_cast<double>(s.rows_out()) * static_cast<double>(s.weights())};
}

OpCase attention_case(const std::string& shape) {
  const std::vector<int64_t> s = sizes_of("attention", shape, "BxTxHxD", 4);
  const double scale = 1 / std::sqrt(static_cast<double>(s[3]));
  return {.inputs = {{.shape = {s[0], s[1], 3, s[2], s[3]}}},
          .run = [=](const std::vector<Var>& in) { return std::vector<Var>{ops::attention(in[0], scale)}; },
          .flops = 4 * product_of(s) * static_cast<double>(s[1])};
}

OpCase layer_norm_case(const std::string& shape) {
  const std::vector<int64_t> s = sizes_of("layer_norm", shape, "ROWSxCOLS", 2);
  return {
      .inputs = {{.shape = s}, {.shape = {s[1]}}, {.shape = {s[1]}}},
      .run = [](const std::vector<Var>& in) { return std::vector<Var>{ops::layer_norm(in[0], in[1], in[2], 1e-6)}; },
      .flops = 8 * product_of(s)};
}

OpCase softmax_case(const std::string& shape) {
  const std::vector<int64_t> s = sizes_of("softmax", shape, "ROWSxCOLS", 2);
  return {.inputs = {{.shape = s}},
          .run = [](const std::vector<Var>& in) { return std::vector<Var>{ops::softmax(in[0])}; },
          .flops = 5 * product_of(s)};
}

}  // namespace

OpCase shape_case(const std::string& op, const std::string& shape, RunAs mode) {
  const bool multiplies = op == "matmul" || op == "conv2d";
  TAUT_CHECK(
      multiplies || op == "attention" || op == "layer_norm" || op == "softmax",
      "[--shape] matmul, conv2d, attention, layer_norm and softmax take free shapes, got '{}'; hint: other ops are "
      "timed by their cases",
      op);
  TAUT_CHECK(multiplies || mode != RunAs::kTf32, "[--dtype] {} does not run in tf32; hint: --dtype f32,bf16", op);
  const Precision precision = mode == RunAs::kTf32 ? Precision::kTF32 : Precision::kF32;
  OpCase c = op == "matmul"       ? matmul_case(shape, precision)
             : op == "conv2d"     ? conv2d_case(shape, precision)
             : op == "attention"  ? attention_case(shape)
             : op == "layer_norm" ? layer_norm_case(shape)
                                  : softmax_case(shape);
  c.op = op;
  c.name = shape;
  return c;
}

}  // namespace taut::cases
