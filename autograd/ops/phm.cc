// phm_linear: x (..., in) -> (..., out), y = x sum_i kron(rule[i], left[i] right[i]) + bias; formulas in kernels/phm.h.
#include "kernels/phm.h"

#include "autograd/ops.h"
#include "kernels/error.h"
#include "kernels/reduce.h"

namespace taut::ops {
namespace {

constexpr const char* kOp = "phm_linear";

PhmShape check(const Tensor& x, const Tensor& rule, const Tensor& left, const Tensor& right, const Tensor& bias) {
  TAUT_CHECK(x.ndim() >= 1, "[phm_linear] expected x of shape (..., in), got a scalar");
  TAUT_CHECK(rule.ndim() == 3 && rule.size(0) >= 1 && rule.size(1) == rule.size(0) && rule.size(2) == rule.size(0),
             "[phm_linear] expected rule of shape (n, n, n), got {}", to_string(rule.shape()));
  const int64_t n = rule.size(0), in = x.size(-1);
  TAUT_CHECK(left.ndim() == 3 && left.size(0) == n && left.size(1) * n == in && left.size(2) >= 1,
             "[phm_linear] expected left of shape (n, in/n, rank) with n {} and in {}, got {}; hint: n must divide in",
             n, in, to_string(left.shape()));
  const int64_t rank = left.size(2);
  TAUT_CHECK(right.ndim() == 3 && right.size(0) == n && right.size(1) == rank,
             "[phm_linear] expected right of shape (n, rank, out/n) with n {} and rank {}, got {}", n, rank,
             to_string(right.shape()));
  const int64_t out = n * right.size(2);
  TAUT_CHECK(!bias.defined() || bias.shape() == Shape{out}, "[phm_linear] expected bias of shape ({}), got {}", out,
             to_string(bias.shape()));
  for (const Tensor* w : {&rule, &left, &right, &bias}) {
    if (!w->defined()) continue;
    TAUT_CHECK(w->dtype() == x.dtype(), "[phm_linear] expected weights in {} as x, got {}", name(x.dtype()),
               name(w->dtype()));
    TAUT_CHECK(w->device() == x.device(), "[phm_linear] expected weights on x's device");
  }
  int64_t rows = 1;
  for (int64_t i = 0; i + 1 < x.ndim(); ++i) rows *= x.size(i);
  return {.rows = rows, .in = in, .out = out, .n = n, .rank = rank};
}

Tensor like(bool wanted, const Tensor& t) {
  return wanted ? Tensor::empty(t.shape(), t.dtype(), t.device()) : Tensor();
}

template <class T>
T* data_or_null(Tensor& t) {
  return t.defined() ? t.data<T>() : nullptr;
}

template <class T>
const T* data_or_null(const Tensor& t) {
  return t.defined() ? t.data<T>() : nullptr;
}

}  // namespace

Var phm_linear(const Var& x, const Var& rule, const Var& left, const Var& right, const Var& bias) {
  const Tensor xs = x.value().contiguous(), rules = rule.value().contiguous(), lefts = left.value().contiguous(),
               rights = right.value().contiguous(), biases = bias.defined() ? bias.value().contiguous() : Tensor();
  const PhmShape shape = check(xs, rules, lefts, rights, biases);
  Shape out_shape = xs.shape();
  out_shape.back() = shape.out;
  Tensor y = Tensor::empty(out_shape, xs.dtype(), xs.device());
  on_float(xs.dtype(), kOp, [&]<class T>() {
    ON_DEVICE(xs.device(), phm_forward<T>(current_stream(xs.device()), xs.data<T>(), rules.data<T>(), lefts.data<T>(),
                                          rights.data<T>(), data_or_null<T>(biases), y.data<T>(), shape));
  });

  // x is read for the gradients of the factors only, the factors for any gradient but the bias's.
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
      const Stream stream = current_stream(dy.device());
      if (wanted[0] || wanted[1] || wanted[2] || wanted[3]) {
        const Tensor xv = wanted[1] || wanted[2] || wanted[3] ? saved_x.get() : Tensor();
        const Tensor &r = saved_rule.get(), &l = saved_left.get(), &t = saved_right.get();
        if (wanted[0]) grads[0] = Tensor::empty(x_shape, dy.dtype(), dy.device());
        grads[1] = like(wanted[1], r);
        grads[2] = like(wanted[2], l);
        grads[3] = like(wanted[3], t);
        ON_DEVICE(dy.device(), phm_backward<T>(stream, dy.data<T>(), data_or_null<T>(xv), r.data<T>(), l.data<T>(),
                                               t.data<T>(), data_or_null<T>(grads[0]), data_or_null<T>(grads[1]),
                                               data_or_null<T>(grads[2]), data_or_null<T>(grads[3]), shape));
      }
      if (wanted[4]) {
        grads[4] = Tensor::empty({shape.out}, dy.dtype(), dy.device());
        ON_DEVICE(dy.device(), sum_columns<T>(stream, dy.data<T>(), grads[4].data<T>(), shape.rows, shape.out));
      }
    });
    return grads;
  });
}

}  // namespace taut::ops
