#include "tests/cases/differences.h"

#include "autograd/engine.h"
#include "tensor/random.h"
#include "tests/cases/fill.h"
#include "tests/cases/taped_gradients.h"
#include "tests/cases/tolerance.h"

namespace taut::cases {
namespace {

constexpr size_t kFullJacobian = 4096;  // elements

class Differentiator {
 public:
  Differentiator(const OpCase& c, const std::vector<Tensor>& inputs, const std::vector<bool>& mask)
      : c_(c), inputs_(inputs), mask_(mask) {}

  // J u: how the outputs, one after the other, change along `u`.
  std::vector<double> along(const Values& u) const {
    std::vector<double> high = outputs_at(u, kDifferenceStep);
    const std::vector<double> low = outputs_at(u, -kDifferenceStep);
    for (size_t i = 0; i < high.size(); ++i) high[i] = (high[i] - low[i]) / (2 * kDifferenceStep);
    return high;
  }

  // vT J by the op's backward pass, v over all outputs one after the other.
  Values back(const std::vector<double>& v) const {
    std::vector<Var> vars, wanted;
    for (size_t i = 0; i < inputs_.size(); ++i) {
      vars.emplace_back(inputs_[i], mask_[i]);
      if (mask_[i]) wanted.push_back(vars[i]);
    }
    const std::vector<Var> outputs = c_.run(vars);
    Grads dy;
    size_t begin = 0;
    for (const Var& out : outputs) {
      const auto n = static_cast<size_t>(out.value().numel());
      dy.push_back(Tensor::from(std::span(v).subspan(begin, n), out.shape()).to(out.dtype()));
      begin += n;
    }
    const Grads dx = gradients(outputs, dy, wanted);
    Values result(vars.size());
    for (size_t i = 0, k = 0; i < vars.size(); ++i)
      if (mask_[i]) result[i] = dx[k++].to_doubles();
    return result;
  }

 private:
  std::vector<double> outputs_at(const Values& u, double step) const {
    std::vector<Var> vars;
    for (size_t i = 0; i < inputs_.size(); ++i) {
      std::vector<double> values = inputs_[i].to_doubles();
      if (mask_[i])
        for (size_t j = 0; j < values.size(); ++j) values[j] += step * u[i][j];
      vars.emplace_back(mask_[i] ? Tensor::from(values, inputs_[i].shape()) : inputs_[i]);
    }
    std::vector<double> all;
    for (const Var& v : c_.run(vars)) {
      const std::vector<double> values = v.value().to_doubles();
      all.insert(all.end(), values.begin(), values.end());
    }
    return all;
  }

  const OpCase& c_;
  const std::vector<Tensor>& inputs_;
  const std::vector<bool>& mask_;
};

}  // namespace

Differences central_differences(const OpCase& c, const std::vector<Tensor>& inputs, const std::vector<bool>& mask) {
  const Differentiator d(c, inputs, mask);
  Values zero(inputs.size());
  size_t in = 0;
  for (size_t i = 0; i < inputs.size(); ++i) {
    if (mask[i]) zero[i].assign(static_cast<size_t>(inputs[i].numel()), 0);
    in += zero[i].size();
  }
  const size_t out = d.along(zero).size();
  Differences result;
  if (in == 0 || out == 0) return result;
  Random random(fnv1a(c.op + "/" + c.name), Purpose::kTest, 1);
  if (in * out <= kFullJacobian) {
    Values columns;
    for (size_t i = 0; i < zero.size(); ++i) {
      for (size_t j = 0; j < zero[i].size(); ++j) {
        Values direction = zero;
        direction[i][j] = 1;
        columns.push_back(d.along(direction));
      }
    }
    for (size_t o = 0; o < out; ++o) {
      std::vector<double> v(out, 0);
      v[o] = random.uniform(0.5, 1);
      for (const auto& column : columns) result.numeric.push_back(v[o] * column[o]);
      for (const auto& g : d.back(v)) result.analytic.insert(result.analytic.end(), g.begin(), g.end());
    }
    return result;
  }
  for (int k = 0; k < 4; ++k) {
    Values u = zero;
    std::vector<double> v(out);
    for (auto& part : u)
      for (double& x : part) x = random.uniform(-1, 1);
    for (double& x : v) x = random.uniform(-1, 1);
    double numeric = 0, analytic = 0;
    const std::vector<double> ju = d.along(u);
    for (size_t o = 0; o < out; ++o) numeric += v[o] * ju[o];
    const Values g = d.back(v);
    for (size_t i = 0; i < u.size(); ++i)
      for (size_t j = 0; j < u[i].size(); ++j) analytic += g[i][j] * u[i][j];
    result.numeric.push_back(numeric);
    result.analytic.push_back(analytic);
  }
  return result;
}

}  // namespace taut::cases
