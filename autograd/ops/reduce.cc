// Sums and means.
#include "kernels/reduce.h"

#include "autograd/ops/op_util.h"
#include "kernels/pointwise.h"

namespace taut::ops {
namespace {

struct Split {
  int64_t outer = 1, n = 1, inner = 1;
};

Split split_at(const Shape& shape, int64_t dim) {
  Split s;
  for (int64_t i = 0; i < static_cast<int64_t>(shape.size()); ++i)
    (i < dim ? s.outer : i == dim ? s.n : s.inner) *= shape[static_cast<size_t>(i)];
  return s;
}

// The gradient of a sum: dy repeated along the summed dimension, times `factor`.
Tensor spread(const char* op, const Tensor& dy, double factor, const Shape& shape, const Split& s) {
  const Tensor g = dy.contiguous();
  Tensor dx = empty_as(g, shape);
  on_float(g.dtype(), op, [&]<class T>() {
    ON_DEVICE(g.device(),
              expand_dim<T>(stream_of(g), static_cast<T>(factor), g.data<T>(), dx.data<T>(), s.outer, s.n, s.inner));
  });
  return dx;
}

Var whole(const char* op, const Var& x, bool divide) {
  if (is_bf16(x)) return cast(whole(op, widened(x), divide), DType::kBF16);
  check_defined(op, "x", x);
  const Tensor in = dense(x);
  Tensor out = empty_as(in, {});
  const double factor = divide ? 1.0 / static_cast<double>(in.numel()) : 1.0;
  on_float(in.dtype(), op, [&]<class T>() {
    ON_DEVICE(in.device(), sum_all<T>(stream_of(in), in.data<T>(), out.data<T>(), in.numel()));
    if (divide)
      ON_DEVICE(in.device(), scale<T>(stream_of(in), static_cast<T>(factor), out.data<T>(), out.data<T>(), 1));
  });
  return record(op, out, {x}, [=, shape = in.shape(), n = in.numel()](const Grads& dy, const Needs&) -> Grads {
    return {spread(op, dy[0], factor, shape, {1, n, 1})};
  });
}

}  // namespace

Var sum(const Var& x) { return whole("sum", x, false); }
Var mean(const Var& x) {
  check_defined("mean", "x", x);
  TAUT_CHECK(x.value().numel() > 0, "[mean] expected at least one element, got {}", to_string(x.shape()));
  return whole("mean", x, true);
}

Var sum(const Var& x, int64_t dim, bool keep_dim) {
  if (is_bf16(x)) return cast(sum(widened(x), dim, keep_dim), DType::kBF16);
  check_defined("sum", "x", x);
  const Tensor in = dense(x);
  const int64_t d = dim < 0 ? dim + in.ndim() : dim;
  TAUT_CHECK(d >= 0 && d < in.ndim(), "[sum] expected a dimension of {}, got {}", to_string(in.shape()), dim);
  const Split s = split_at(in.shape(), d);
  Shape shape = in.shape();
  if (keep_dim)
    shape[static_cast<size_t>(d)] = 1;
  else
    shape.erase(shape.begin() + d);
  Tensor out = empty_as(in, shape);
  on_float(in.dtype(), "sum", [&]<class T>() {
    ON_DEVICE(in.device(), sum_dim<T>(stream_of(in), in.data<T>(), out.data<T>(), s.outer, s.n, s.inner));
  });
  return record("sum", out, {x}, [s, from = in.shape()](const Grads& dy, const Needs&) -> Grads {
    return {spread("sum", dy[0], 1, from, s)};
  });
}

}  // namespace taut::ops
