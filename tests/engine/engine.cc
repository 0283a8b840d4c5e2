// What the backward engine promises: each node once, newest first, sums, aliasing, un-broadcasting, any depth.
#include "autograd/engine.h"

#include <doctest/doctest.h>

#include "autograd/ops.h"
#include "kernels/arena.h"

using namespace taut;

namespace {

Var leaf(std::vector<double> values, Shape shape = {}) {
  if (shape.empty()) shape = {std::ssize(values)};
  return Var(Tensor::from(values, std::move(shape)), true);
}
std::vector<double> values(const Tensor& t) { return t.to_doubles(); }
using Doubles = std::vector<double>;

}  // namespace

TEST_CASE("a diamond sums both ways and runs each node once") {
  const Var x = leaf({2, 3});
  int runs = 0;
  const Var square =
      record("square", Tensor::from(Doubles{4, 9}, {2}), {x}, [&](const Grads& dy, const Needs&) -> Grads {
        ++runs;
        Doubles g = values(dy[0]);
        g[0] *= 4;
        g[1] *= 6;
        return {Tensor::from(g, {2})};
      });
  const Var y = ops::add(ops::scale(square, 10), ops::scale(square, 0.5));
  const Grads g = gradients({y}, {Tensor::from(Doubles{1, 2}, {2})}, {x});
  CHECK(runs == 1);
  CHECK(values(g[0]) == Doubles{4 * 10.5, 6 * 10.5 * 2});
}

TEST_CASE("nodes run newest first, whatever the order of the outputs") {
  const Var x = leaf({1});
  std::vector<std::string> order;
  const auto step = [&](const char* op, const Var& in) {
    return record(op, in.value().clone(), {in}, [&order, op](const Grads& dy, const Needs&) -> Grads {
      order.push_back(op);
      return {dy[0]};
    });
  };
  const Var a = step("a", x), b = step("b", x), c = step("c", a), d = step("d", b);
  gradients({a, d, c}, {Tensor(), Tensor(), Tensor()}, {x});
  CHECK(order == std::vector<std::string>{"d", "c", "b", "a"});
}

TEST_CASE("gradients that alias dy or each other are never added into") {
  const Var a = leaf({1, 2}), b = leaf({3, 4});
  const Var sum = ops::add(a, b);  // returns dy itself for both
  const Var square = ops::mul(a, a);
  const Tensor dy = Tensor::from(Doubles{1, 10}, {2});
  // The gradients of a, b and sum start as one tensor; a's gets more.
  const Grads g = gradients({sum, square}, {dy, dy}, {a, b, sum});
  CHECK(values(g[0]) == Doubles{1 + 2, 10 + 40});
  CHECK(values(g[1]) == Doubles{1, 10});
  CHECK(values(g[2]) == Doubles{1, 10});
  CHECK(values(dy) == Doubles{1, 10});

  const Var twice = ops::add(a, a);
  CHECK(values(gradients({twice}, {dy}, {a})[0]) == Doubles{2, 20});
  CHECK(values(dy) == Doubles{1, 10});
}

TEST_CASE("an output may be named twice, be an input, or not matter to an input") {
  const Var x = leaf({1, 2}), unused = leaf({5});
  const Var y = ops::scale(x, 3);
  const Tensor dy = Tensor::from(Doubles{1, 1}, {2});
  const Grads g = gradients({y, y, x}, {dy, dy, dy}, {x, unused, x, y});
  CHECK(values(g[0]) == Doubles{7, 7});
  CHECK_FALSE(g[1].defined());
  CHECK(values(g[2]) == Doubles{7, 7});
  CHECK(values(g[3]) == Doubles{2, 2});
}

TEST_CASE("gradients of an intermediate stop there") {
  const Var x = leaf({0.5, -1});
  bool below = false;
  const Var middle = record("below", x.value().clone(), {x}, [&](const Grads& dy, const Needs&) -> Grads {
    below = true;
    return {dy[0]};
  });
  const Var y = ops::mul(middle, middle);
  const Tensor dy = Tensor::from(Doubles{1, 1}, {2});
  CHECK(values(gradients({y}, {dy}, {middle})[0]) == Doubles{1, -2});
  CHECK_FALSE(below);
  CHECK(values(gradients({y}, {dy}, {x})[0]) == Doubles{1, -2});
  CHECK(below);
}

TEST_CASE("only the gradients on a path are asked of a node") {
  const Var x = leaf({1, 2}), w = leaf({3, 4});
  Needs asked;
  const Var y = record("both", x.value().clone(), {x, w, Var()}, [&](const Grads& dy, const Needs& needs) -> Grads {
    asked = needs;
    return {dy[0], dy[0], dy[0]};
  });
  const Tensor dy = Tensor::from(Doubles{1, 1}, {2});
  CHECK(gradients({y}, {dy}, {x})[0].defined());
  CHECK(asked == Needs{true, false, false});
  gradients({y}, {dy}, {x, w});
  CHECK(asked == Needs{true, true, false});
}

TEST_CASE("a node with several outputs gets one dy each, undefined where nobody used it") {
  const Var x = leaf({1});
  std::vector<bool> defined;
  const auto record_pair = [&] {
    return record("pair", std::vector<Tensor>{x.value().clone(), x.value().clone()}, {x},
                  [&](const Grads& dy, const Needs&) -> Grads {
                    defined = {dy[0].defined(), dy[1].defined()};
                    return {dy[0].defined() ? dy[0] : dy[1]};
                  });
  };
  gradients({ops::scale(record_pair()[1], 2)}, {Tensor()}, {x});
  CHECK(defined == std::vector<bool>{false, true});
  const std::vector<Var> both = record_pair();
  gradients({ops::add(both[0], both[1])}, {Tensor()}, {x});
  CHECK(defined == std::vector<bool>{true, true});
}

TEST_CASE("a gradient in a broadcast shape is summed back to the input's") {
  const std::pair<Shape, Shape> shapes[] = {{{2, 3, 4}, {4}},       {{2, 3, 4}, {3, 1}},      {{2, 3, 4}, {2, 1, 4}},
                                            {{2, 3, 4}, {1, 3, 1}}, {{2, 3, 4}, {}},          {{2, 3, 4}, {1, 1, 1}},
                                            {{2, 3, 4}, {2, 3, 4}}, {{2, 3, 4, 5}, {3, 1, 5}}};
  for (const auto& [full, small] : shapes) {
    CAPTURE(to_string(small));
    const Var x(Tensor::zeros(small, DType::kF64), true);
    const Var y = record("spread", Tensor::zeros(full, DType::kF64), {x},
                         [](const Grads& dy, const Needs&) -> Grads { return {dy[0]}; });
    Doubles dy(static_cast<size_t>(numel(full)));
    for (size_t i = 0; i < dy.size(); ++i) dy[i] = static_cast<double>(i * i % 17);
    const Tensor g = gradients({y}, {Tensor::from(dy, full)}, {x})[0];
    CHECK(g.shape() == small);
    // Element i of the full shape lies over the element of the small one with the same index, 0 where its size is 1.
    Doubles wanted(static_cast<size_t>(numel(small)), 0);
    for (size_t i = 0; i < dy.size(); ++i) {
      size_t rest = i, at = 0, step = 1;
      for (size_t d = full.size(); d-- > 0;) {
        const size_t index = rest % static_cast<size_t>(full[d]);
        rest /= static_cast<size_t>(full[d]);
        const size_t lead = full.size() - small.size();
        if (d < lead || small[d - lead] == 1) continue;
        at += index * step;
        step *= static_cast<size_t>(small[d - lead]);
      }
      wanted[at] += dy[i];
    }
    CHECK(values(g) == wanted);
  }
}

TEST_CASE("a chain of a million nodes runs and is freed without recursion") {
  constexpr int kDepth = 1'000'000;
  const int64_t before = arena_stats().in_use;
  {
    const Var x = leaf({1});
    const Tensor value = Tensor::from(Doubles{1}, {1});
    Var y = x;
    for (int i = 0; i < kDepth; ++i)
      y = record("step", value, {y}, [](const Grads& dy, const Needs&) -> Grads { return {dy[0]}; });
    CHECK(values(gradients({y}, {Tensor()}, {x})[0]) == Doubles{1});
  }
  CHECK(arena_stats().in_use == before);
}

TEST_CASE("a graph is freed with its last output, a part of it with the output that needs it") {
  const int64_t before = arena_stats().in_use;
  Var kept;
  {
    const Var x = leaf(Doubles(1000, 1.0));
    const Var y = ops::mul(x, x);
    kept = ops::scale(y, 2);
    const Var dropped = ops::mul(kept, ops::exp(kept));
  }
  const int64_t held = arena_stats().in_use - before;
  CHECK(held >= 2 * 8000);  // x for the product's gradient, kept's own value
  CHECK(held < 3 * 8000);
  kept = Var();
  CHECK(arena_stats().in_use == before);
}
