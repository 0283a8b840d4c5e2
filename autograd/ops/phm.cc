// phm_linear: x (..., in) -> (..., out), y = x sum_i kron(rule[i], left[i] right[i]) + bias; formulas in kernels/phm.h.
#include "kernels/phm.h"

#include "autograd/ops/op_util.h"
#include "kernels/reduce.h"

namespace taut::ops {
namespace {

constexpr const char* kOp = "phm_linear";

PhmShape check(const Var& x, const Var& rule, const Var& left, const Var& right, const Var& bias) {
  check_defined(kOp, "x", x);
  check_matches(kOp, "rule", rule, x);
  check_matches(kOp, "left", left, x);
  check_matches(kOp, "right", right, x);
  TAUT_CHECK(!x.shape().empty(), "[phm_linear] expected 'x' of shape (..., in), got ()");
  const Shape &a = rule.shape(), &s = left.shape(), &t = right.shape();
  TAUT_CHECK(a.size() == 3 && a[0] >= 1 && a[1] == a[0] && a[2] == a[0],
             "[phm_linear] expected 'rule' of shape (n, n, n), got {}", to_string(a));
  const int64_t n = a[0], in = x.shape().back();
  TAUT_CHECK(s.size() == 3 && s[0] == n && s[1] * n == in && s[2] >= 1,
             "[phm_linear] expected 'left' of shape (n, in / n, rank) with n {} and in {}, got {}; hint: n divides in",
             n, in, to_string(s));
  TAUT_CHECK(t.size() == 3 && t[0] == n && t[1] == s[2],
             "[phm_linear] expected 'right' of shape (n, rank, out / n) with n {} and rank {}, got {}", n, s[2],
             to_string(t));
  const PhmShape shape{.rows = rows_of(x.shape()), .in = in, .out = n * t[2], .n = n, .rank = s[2]};
  if (bias.defined()) {
    check_matches(kOp, "bias", bias, x);
    check_shape(kOp, "bias", bias, {shape.out});
  }
  return shape;
}

Tensor wanted_like(bool wanted, const Tensor& t) { return wanted ? empty_like(t) : Tensor(); }

}  // namespace

Var phm_linear(const Var& x, const Var& rule, const Var& left, const Var& right, const Var& bias) {
  if (is_bf16(x))
    return cast(phm_linear(widened(x), widened(rule), widened(left), widened(right), widened(bias)), DType::kBF16);
  const PhmShape shape = check(x, rule, left, right, bias);
  const Tensor xs = dense(x), rules = dense(rule), lefts = dense(left), rights = dense(right),
               biases = bias.defined() ? dense(bias) : Tensor();
  Shape out_shape = xs.shape();
  out_shape.back() = shape.out;
  Tensor y = empty_as(xs, out_shape);
  on_float(xs.dtype(), kOp, [&]<class T>() {
    ON_DEVICE(xs.device(), phm_forward<T>(stream_of(xs), xs.data<T>(), rules.data<T>(), lefts.data<T>(),
                                          rights.data<T>(), optional_data<T>(biases), y.data<T>(), shape));
  });

  const Needs needs = needs_of({x, rule, left, right, bias});
  const bool weights = needs[1] || needs[2] || needs[3], factors = needs[0] || weights;
  const Saved saved_x = weights ? Saved(kOp, "x", xs) : Saved();
  const Saved saved_rule = factors ? Saved(kOp, "rule", rules) : Saved();
  const Saved saved_left = factors ? Saved(kOp, "left", lefts) : Saved();
  const Saved saved_right = factors ? Saved(kOp, "right", rights) : Saved();
  const Shape x_shape = xs.shape();
  return record(kOp, std::move(y), {x, rule, left, right, bias}, [=](const Grads& dys, const Needs& wanted) -> Grads {
    const Tensor dy = dys[0].contiguous();
    Grads grads(5);
    on_float(dy.dtype(), kOp, [&]<class T>() {
      if (wanted[0] || wanted[1] || wanted[2] || wanted[3]) {
        const Tensor in = wanted[1] || wanted[2] || wanted[3] ? saved_x.get() : Tensor();
        const Tensor &a = saved_rule.get(), &s = saved_left.get(), &t = saved_right.get();
        if (wanted[0]) grads[0] = empty_as(dy, x_shape);
        grads[1] = wanted_like(wanted[1], a);
        grads[2] = wanted_like(wanted[2], s);
        grads[3] = wanted_like(wanted[3], t);
        ON_DEVICE(dy.device(),
                  phm_backward<T>(stream_of(dy), dy.data<T>(), optional_data<T>(in), a.data<T>(), s.data<T>(),
                                  t.data<T>(), optional_data<T>(grads[0]), optional_data<T>(grads[1]),
                                  optional_data<T>(grads[2]), optional_data<T>(grads[3]), shape));
      }
      if (wanted[4]) {
        grads[4] = empty_as(dy, {shape.out});
        ON_DEVICE(dy.device(), sum_columns<T>(stream_of(dy), dy.data<T>(), grads[4].data<T>(), shape.rows, shape.out));
      }
    });
    return grads;
  });
}

}  // namespace taut::ops
