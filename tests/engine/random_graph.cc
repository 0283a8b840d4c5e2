// Graphs of random shape: the engine's gradient against central differences of the whole graph.
#include <doctest/doctest.h>
#include <rapidcheck.h>

#include <cmath>

#include "autograd/engine.h"
#include "autograd/ops.h"
#include "tensor/random.h"

using namespace taut;

namespace {

using Doubles = std::vector<double>;

// A recipe of steps over a growing list of (3, 3) vars; the first two are the leaves.
struct Step {
  int op;
  size_t a, b;
};

Var build(const std::vector<Step>& steps, const Var& x, const Var& y) {
  std::vector<Var> vars{x, y};
  for (const Step& s : steps) {
    const Var &a = vars[s.a % vars.size()], &b = vars[s.b % vars.size()];
    switch (s.op) {
      case 0: vars.push_back(ops::add(a, b)); break;
      case 1: vars.push_back(ops::mul(ops::tanh(a), b)); break;
      case 2: vars.push_back(ops::sub(a, ops::scale(b, 0.5))); break;
      case 3: vars.push_back(ops::matmul(ops::tanh(a), ops::sigmoid(b))); break;
      case 4: vars.push_back(ops::softmax(a)); break;
      case 5: vars.push_back(ops::mul(a, ops::sum(ops::tanh(b), 0, true))); break;  // broadcast over rows
      case 6: vars.push_back(ops::concat({ops::slice(a, 0, 1, 2), ops::slice(b, 0, 0, 1)}, 0)); break;
      default: vars.push_back(ops::permute(ops::gelu_erf(a), {1, 0})); break;
    }
    // Keeps products of products from exploding.
    vars.back() = ops::tanh(vars.back());
  }
  return ops::sum(vars.back());
}

Var leaf(const Doubles& values) { return Var(Tensor::from(values, {3, 3}), true); }

}  // namespace

TEST_CASE("random graphs have the gradients of central differences") {
  const bool ok = rc::check([] {
    const auto count = *rc::gen::inRange(1, 13);
    std::vector<Step> steps;
    for (int i = 0; i < count; ++i) {
      const auto op = *rc::gen::inRange(0, 8);
      const auto a = *rc::gen::inRange<size_t>(0, 100), b = *rc::gen::inRange<size_t>(0, 100);
      steps.push_back({op, a, b});
    }
    Random random(*rc::gen::inRange<uint64_t>(0, 1000), Purpose::kTest);
    Doubles x(9), y(9), u(9), v(9);
    for (Doubles* list : {&x, &y, &u, &v})
      for (double& value : *list) value = random.uniform(-1, 1);

    const Var xv = leaf(x), yv = leaf(y);
    const Grads g = gradients({build(steps, xv, yv)}, {Tensor()}, {xv, yv});
    double analytic = 0;
    const Doubles gx = g[0].defined() ? g[0].to_doubles() : Doubles(9, 0);
    const Doubles gy = g[1].defined() ? g[1].to_doubles() : Doubles(9, 0);
    for (size_t i = 0; i < 9; ++i) analytic += gx[i] * u[i] + gy[i] * v[i];

    const auto at = [&](double h) {
      Doubles xs = x, ys = y;
      for (size_t i = 0; i < 9; ++i) {
        xs[i] += h * u[i];
        ys[i] += h * v[i];
      }
      const NoGrad no_grad;
      return build(steps, leaf(xs), leaf(ys)).value().item();
    };
    constexpr double kStep = 1e-5;
    const double numeric = (at(kStep) - at(-kStep)) / (2 * kStep);
    RC_ASSERT(std::abs(analytic - numeric) <= 1e-7 * std::max(1.0, std::abs(numeric)));
  });
  CHECK(ok);
}
