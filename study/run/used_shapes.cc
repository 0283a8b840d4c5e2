#include "study/run/used_shapes.h"

#include <fmt/format.h>

#include <algorithm>

namespace taut::study {
namespace {

struct Axis {
  int64_t stride, padding;
};

// How a kernel of `kernel` elements makes `out` of `in`.
std::optional<Axis> axis_of(int64_t in, int64_t out, int64_t kernel) {
  std::vector<int64_t> paddings{kernel % 2 == 0 ? 0 : kernel / 2};
  for (int64_t p = 0; p < kernel; ++p) paddings.push_back(p);
  for (const int64_t padding : paddings)
    for (int64_t stride = 1; stride <= in; ++stride)
      if (in + 2 * padding >= kernel && (in + 2 * padding - kernel) / stride + 1 == out) return Axis{stride, padding};
  return {};
}

std::optional<std::string> conv_text(const Shape& x, const Shape& w, const Shape& y) {
  const std::optional<Axis> rows = axis_of(x[1], y[1], w[2]), columns = axis_of(x[2], y[2], w[3]);
  if (!rows || !columns) return {};
  return fmt::format("{}x{}x{}x{}x{}x{}x{}:s{}x{}:p{}x{}:g{}", x[0], x[1], x[2], x[3], w[0], w[2], w[3], rows->stride,
                     columns->stride, rows->padding, columns->padding, x[3] / w[1]);
}

}  // namespace

std::optional<std::pair<std::string, std::string>> lab_shape(const std::string& op, const std::vector<Var>& outputs,
                                                             const std::vector<Var>& inputs) {
  if (inputs.empty() || !inputs[0].defined()) return {};
  const Shape &x = inputs[0].shape(), &y = outputs[0].shape();
  if (numel(x) == 0 || x.empty()) return {};
  const int64_t rows = numel(x) / x.back();
  // Of LoRA's layers the product with the frozen weight.
  if (op == "linear" || op == "linear_gelu" || op == "low_rank")
    return {{"matmul", fmt::format("{}x{}x{}", rows, y.back(), x.back())}};
  if (op == "layer_norm" || op == "residual_layer_norm") return {{"layer_norm", fmt::format("{}x{}", rows, x.back())}};
  if (op == "attention" && y[1] == x[1]) return {{"attention", fmt::format("{}x{}x{}x{}", x[0], x[1], x[3], x[4])}};
  if (op == "conv2d")
    if (const auto text = conv_text(x, inputs[1].shape(), y)) return {{"conv2d", *text}};
  return {};
}

UsedShapes::UsedShapes(Precision precision)
    : watch_([this, precision](const char* op, const std::vector<Var>& outputs, const std::vector<Var>& inputs) {
        const auto used = lab_shape(op, outputs, inputs);
        if (!used) return;
        const bool multiplies = used->first == "matmul" || used->first == "conv2d";
        const bool tf32 = precision == Precision::kTF32 && multiplies;
        Row row = {
            {"op", used->first}, {"shape", used->second}, {"dtype", tf32 ? "tf32" : taut::name(inputs[0].dtype())}};
        const auto same = [&](const Row& r) {
          return r.at("op") == row.at("op") && r.at("shape") == row.at("shape") && r.at("dtype") == row.at("dtype");
        };
        const auto known = std::find_if(rows_.begin(), rows_.end(), same);
        if (known != rows_.end()) {
          (*known)["calls"] = known->at("calls").get<int64_t>() + 1;
          return;
        }
        row["calls"] = 1;
        rows_.push_back(std::move(row));
      }) {}

}  // namespace taut::study
