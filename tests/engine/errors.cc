// What the engine refuses, and how it says so.
#include <doctest/doctest.h>

#include "autograd/engine.h"
#include "autograd/ops.h"

using namespace taut;

namespace {

using Doubles = std::vector<double>;
Var leaf(const Doubles& values) { return Var(Tensor::from(values, {std::ssize(values)}), true); }

// The message of the Error(kUsage) that `call` must throw.
template <class F>
std::string message(F&& call) {
  try {
    call();
  } catch (const Error& e) {
    CHECK(e.code() == Exit::kUsage);
    return e.what();
  }
  FAIL("expected an error");
  return "";
}
bool contains(const std::string& text, const char* part) { return text.find(part) != std::string::npos; }

}  // namespace

TEST_CASE("a freed graph says so, a kept one runs again with the same bytes") {
  const Var x = leaf({1, 2});
  const Var loss = ops::sum(ops::mul(x, x));
  const Tensor first = gradients({loss}, {Tensor()}, {x})[0];
  CHECK(same_bytes(gradients({loss}, {Tensor()}, {x})[0], first));
  gradients(loss, {x});  // frees
  const std::string said = message([&] { gradients(loss, {x}); });
  CHECK(contains(said, "[sum]"));
  CHECK(contains(said, "freed"));
  CHECK(contains(said, "hint"));
}

TEST_CASE("an input changed in place since the forward pass is named, with its op") {
  const Var a = leaf({1, 2}), b = leaf({3, 4});
  const Var y = ops::mul(a, b);
  Tensor shared = b.value();
  shared.fill(7);
  const std::string said = message([&] { gradients({y}, {Tensor::from(Doubles{1, 1}, {2})}, {a}); });
  CHECK(contains(said, "[mul]"));
  CHECK(contains(said, "'b'"));
  CHECK(contains(said, "version"));
  // The other gradient reads a alone.
  CHECK(gradients({y}, {Tensor::from(Doubles{1, 1}, {2})}, {b})[0].to_doubles() == Doubles{1, 2});
}

TEST_CASE("a view that is written counts as a change of what it shows") {
  const Var x = leaf({1, 2, 3});
  const Var y = ops::mul(x, x);
  x.value().slice(0, 1, 1).copy_from(Tensor::from(Doubles{9}, {1}));
  CHECK(contains(message([&] { gradients({y}, {Tensor::zeros({3}, DType::kF64)}, {x}); }), "[mul]"));
}

TEST_CASE("wrong calls are refused") {
  const Var x = leaf({1, 2}), frozen(Tensor::from(Doubles{1, 2}, {2}));
  const Var y = ops::scale(x, 2);
  const Tensor dy = Tensor::from(Doubles{1, 1}, {2});
  CHECK(contains(message([&] { gradients({y}, {dy}, {frozen}); }), "does not require a gradient"));
  CHECK(contains(message([&] { gradients({frozen}, {dy}, {x}); }), "was not recorded"));
  CHECK(contains(message([&] { gradients({y}, {}, {x}); }), "for each of 1 outputs"));
  CHECK(contains(message([&] { gradients({y}, {Tensor()}, {x}); }), "dy is needed"));
  CHECK(contains(message([&] { gradients({y}, {dy.reshape({2, 1})}, {x}); }), "(2, 1)"));
  CHECK(contains(message([&] { gradients({y}, {dy.to(DType::kF32)}, {x}); }), "f32"));
}

TEST_CASE("a backward function that returns something else is named by its op") {
  const Var x = leaf({1, 2});
  const auto returning = [&](Grads g) {
    return record("crooked", x.value().clone(), {x}, [g](const Grads&, const Needs&) { return g; });
  };
  const auto said = [&](const Grads& g) {
    return message([&] { gradients({returning(g)}, {Tensor::from(Doubles{1, 1}, {2})}, {x}); });
  };
  CHECK(contains(said({}), "[crooked]"));
  CHECK(contains(said({Tensor::zeros({3}, DType::kF64)}), "[crooked]"));
  CHECK(contains(said({Tensor::zeros({2}, DType::kF32)}), "[crooked]"));
}

TEST_CASE("vars guard what a graph rests on") {
  const Var x = leaf({1, 2});
  Var y = ops::scale(x, 2);
  CHECK(contains(message([&] { y.set_requires_grad(false); }), "leaves only"));
  CHECK(contains(message([&] { y.set_value(Tensor::zeros({2}, DType::kF64)); }), "leaves only"));
  Var leaf_var = x;
  CHECK(contains(message([&] { leaf_var.set_value(Tensor::zeros({3}, DType::kF64)); }), "(2)"));
  CHECK(contains(message([] { Var(Tensor::zeros({2}, DType::kI64), true); }), "floating"));
  CHECK(contains(message([] { Var().value(); }), "defined"));
}
