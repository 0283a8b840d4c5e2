// Softmax and its logarithm along one dimension.
#include "kernels/softmax.h"

#include "autograd/ops/op_util.h"

namespace taut::ops {
namespace {

enum class Kind { kSoftmax, kLogSoftmax };

Var along(Kind kind, const Var& x, int64_t dim) {
  const char* op = kind == Kind::kSoftmax ? "softmax" : "log_softmax";
  check_defined(op, "x", x);
  const Tensor in = dense(x);
  const int64_t d = dim < 0 ? dim + in.ndim() : dim;
  TAUT_CHECK(d >= 0 && d < in.ndim(), "[{}] expected a dimension of {}, got {}", op, to_string(in.shape()), dim);
  int64_t outer = 1, inner = 1;
  const int64_t n = in.size(d);
  for (int64_t i = 0; i < d; ++i) outer *= in.size(i);
  for (int64_t i = d + 1; i < in.ndim(); ++i) inner *= in.size(i);
  Tensor out = empty_like(in);
  on_stored(in.dtype(), op, [&]<class T>() {
    if (kind == Kind::kSoftmax)
      ON_DEVICE(in.device(), softmax_forward<T>(stream_of(in), in.data<T>(), out.data<T>(), outer, n, inner));
    else
      ON_DEVICE(in.device(), log_softmax_forward<T>(stream_of(in), in.data<T>(), out.data<T>(), outer, n, inner));
  });
  if (!any(needs_of({x}))) return Var(out);
  const Saved saved(op, "y", out);
  return record(op, out, {x}, [=](const Grads& dy, const Needs&) -> Grads {
    const Tensor g = dy[0].contiguous();
    Tensor dx = empty_like(g);
    on_stored(g.dtype(), op, [&]<class T>() {
      const T* y = saved.get().data<T>();
      if (kind == Kind::kSoftmax)
        ON_DEVICE(g.device(), softmax_backward<T>(stream_of(g), g.data<T>(), y, dx.data<T>(), outer, n, inner));
      else
        ON_DEVICE(g.device(), log_softmax_backward<T>(stream_of(g), g.data<T>(), y, dx.data<T>(), outer, n, inner));
    });
    return {dx};
  });
}

}  // namespace

Var softmax(const Var& x, int64_t dim) { return along(Kind::kSoftmax, x, dim); }
Var log_softmax(const Var& x, int64_t dim) { return along(Kind::kLogSoftmax, x, dim); }

}  // namespace taut::ops
