#include "tests/cases/op_case.h"

#include <fmt/ranges.h>

#include "tensor/random.h"
#include "tests/cases/fill.h"

namespace taut::cases {
namespace {

Random random_of(const OpCase& c, const std::string& what) {
  return Random(fnv1a(c.op + "/" + c.name + ":" + what), Purpose::kTest);
}

// A value that f32 holds, so that both dtypes see the same numbers.
double draw(Random& random, const Input& input, bool integers) {
  if (integers) {
    const double low = std::max(-4.0, std::ceil(input.low > 0 ? 1.0 : -4.0));
    double v = low + static_cast<double>(random.below(static_cast<uint64_t>(4 - low) + 1));
    if (v == 0 && input.away > 0) v = 1;
    return v;
  }
  double v = random.uniform(input.low, input.high);
  if (std::abs(v) < input.away) v += v < 0 ? -input.away : input.away;
  return static_cast<float>(v);
}

}  // namespace

std::vector<Tensor> make_inputs(const OpCase& c, DType dtype, Device device, bool integers) {
  std::vector<Tensor> tensors;
  for (size_t i = 0; i < c.inputs.size(); ++i) {
    const Input& input = c.inputs[i];
    Random random = random_of(c, fmt::format("in{}", i));
    const auto n = static_cast<size_t>(numel(input.shape));
    if (input.classes > 0) {
      std::vector<int64_t> labels(n);
      for (int64_t& l : labels) l = static_cast<int64_t>(random.below(static_cast<uint64_t>(input.classes)));
      tensors.push_back(Tensor::from(labels, input.shape).to(device));
      continue;
    }
    std::vector<double> values = input.values;
    if (values.empty()) {
      values.resize(n);
      for (double& v : values) v = draw(random, input, integers);
    }
    tensors.push_back(Tensor::from(values, input.shape).to(dtype).to(device));
  }
  return tensors;
}

Tensor make_upstream(const OpCase& c, size_t output, const Tensor& like, bool integers) {
  Random random = random_of(c, fmt::format("dy{}", output));
  std::vector<double> values(static_cast<size_t>(like.numel()));
  for (double& v : values) v = draw(random, {.low = -1, .high = 1}, integers);
  return Tensor::from(values, like.shape()).to(like.dtype()).to(like.device());
}

std::string shape_name(const Shape& shape) {
  return shape.empty() ? "scalar" : fmt::format("{}", fmt::join(shape, "x"));
}

}  // namespace taut::cases
