// Frozen weights cost nothing: no weight-gradient kernel runs, nothing is saved for one, and under NoGrad nothing at
// all.
#include <doctest/doctest.h>

#include "autograd/engine.h"
#include "autograd/ops.h"
#include "kernels/arena.h"

using namespace taut;

namespace {

constexpr int64_t kRows = 64, kIn = 48, kOut = 96;

Var tensor(Shape shape, bool requires_grad) { return Var(Tensor::full(std::move(shape), 0.25), requires_grad); }

// A block's worth of layers on x, with weights that want gradients or not.
Var layers(const Var& x, bool trainable) {
  const Var norm_w = tensor({kIn}, trainable), norm_b = tensor({kIn}, trainable);
  const Var w1 = tensor({kOut, kIn}, trainable), b1 = tensor({kOut}, trainable);
  const Var w2 = tensor({3 * kIn, kOut}, trainable), b2 = tensor({3 * kIn}, trainable);
  const Var h = ops::linear_gelu(ops::layer_norm(x, norm_w, norm_b, 1e-6), w1, b1);
  const Var qkv = ops::linear(h, w2, b2);
  return ops::sum(ops::attention(ops::reshape(qkv, {1, kRows, 3, 3, kIn / 3}), 0.25));
}

int64_t weight_kernels() {
  return kernel_calls("linear_backward_weight") + kernel_calls("layer_norm_backward_weight") +
         kernel_calls("sum_columns");
}

// Bytes that stay allocated after `make` has returned what it made, besides the result's own.
template <class Make>
int64_t bytes_kept(Make&& make) {
  const int64_t before = arena_stats().in_use;
  const Var y = make();
  return arena_stats().in_use - before - (y.value().bytes() + 63) / 64 * 64;
}

}  // namespace

TEST_CASE("with frozen weights only the input's gradient is computed") {
  const Var x = tensor({kRows, kIn}, true);
  reset_kernel_calls();
  gradients(layers(x, false), {x});
  CHECK(weight_kernels() == 0);
  CHECK(kernel_calls("linear_backward_input") == 2);
  CHECK(kernel_calls("layer_norm_backward_input") == 1);
}

TEST_CASE("the counter sees the weight kernels where weights are wanted") {
  const Var x = tensor({kRows, kIn}, false);
  const Var w = tensor({kOut, kIn}, true);
  reset_kernel_calls();
  gradients(ops::sum(ops::linear(x, w)), {w});
  CHECK(kernel_calls("linear_backward_weight") == 1);
  CHECK(kernel_calls("linear_backward_input") == 0);
}

TEST_CASE("a weight that wants a gradient gets none unless it is asked for") {
  const Var x = tensor({kRows, kIn}, true);
  reset_kernel_calls();
  gradients(layers(x, true), {x});
  CHECK(weight_kernels() == 0);
}

TEST_CASE("a linear layer with a frozen weight does not keep its input") {
  const Var w = tensor({kOut, kIn}, false), trainable = tensor({kOut, kIn}, true);
  const int64_t input_bytes = kRows * kIn * 4;
  const auto run = [&](const Var& weight) {
    return bytes_kept([&] { return ops::linear(tensor({kRows, kIn}, true), weight); });
  };
  CHECK(run(w) == 0);
  CHECK(run(trainable) == input_bytes);
  // Without any need nothing is recorded at all.
  CHECK(bytes_kept([&] { return ops::linear(tensor({kRows, kIn}, false), w); }) == 0);
}

TEST_CASE("ops save only what the wanted gradients read") {
  const int64_t bytes = kRows * kIn * 4;
  const Var frozen = tensor({kRows, kIn}, false);
  // Sums read nothing; a product reads the other factor, here the frozen one that is held anyway.
  CHECK(bytes_kept([&] { return ops::add(tensor({kRows, kIn}, true), frozen); }) == 0);
  CHECK(bytes_kept([&] { return ops::mul(tensor({kRows, kIn}, true), frozen); }) == 0);
  // exp reads its output alone, gelu its input.
  CHECK(bytes_kept([&] { return ops::exp(tensor({kRows, kIn}, true)); }) == 0);
  CHECK(bytes_kept([&] { return ops::gelu_erf(tensor({kRows, kIn}, true)); }) == bytes);
}

TEST_CASE("under NoGrad nothing is recorded, and recording comes back") {
  const Var x = tensor({kRows, kIn}, true);
  const auto recorded = [&] { return ops::scale(x, 2).requires_grad(); };
  CHECK(recorded());
  {
    const NoGrad outer;
    CHECK_FALSE(recorded());
    {
      const NoGrad inner;
      CHECK_FALSE(recorded());
    }
    CHECK_FALSE(recorded());
    CHECK(bytes_kept([] { return ops::gelu_erf(tensor({kRows, kIn}, true)); }) == 0);
  }
  CHECK(recorded());
  try {
    const NoGrad until_thrown;
    ops::log(Var());
  } catch (const Error&) {
  }
  CHECK(recorded());
}
