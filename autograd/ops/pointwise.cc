// Element by element: unary functions, binary operators with broadcasting, scaling, bias + GELU.
#include "kernels/pointwise.h"

#include "autograd/ops/op_util.h"

namespace taut::ops {
namespace {

Var unary(Unary op, const Var& x) {
  check_defined(name(op), "x", x);
  const Tensor in = dense(x);
  Tensor out = empty_like(in);
  on_stored(in.dtype(), name(op), [&]<class T>() {
    ON_DEVICE(in.device(), unary_forward<T>(stream_of(in), op, in.data<T>(), out.data<T>(), in.numel()));
  });
  if (!any(needs_of({x}))) return Var(out);
  const bool reads_output = gradient_reads(op) == Reads::kOutput;
  const Saved saved(name(op), reads_output ? "y" : "x", reads_output ? out : in);
  return record(name(op), out, {x}, [op, saved, reads_output](const Grads& dy, const Needs&) -> Grads {
    const Tensor g = dy[0].contiguous();
    Tensor dx = empty_like(g);
    on_stored(g.dtype(), name(op), [&]<class T>() {
      const T* kept = saved.get().data<T>();
      ON_DEVICE(g.device(), unary_backward<T>(stream_of(g), op, g.data<T>(), reads_output ? nullptr : kept,
                                              reads_output ? kept : nullptr, dx.data<T>(), g.numel()));
    });
    return {dx};
  });
}

BroadcastShape broadcast_of(const char* op, const Tensor& a, const Tensor& b, const Shape& out) {
  TAUT_CHECK(out.size() <= BroadcastShape::kMaxDims, "[{}] expected at most {} dimensions, got {}", op,
             static_cast<int>(BroadcastShape::kMaxDims), to_string(out));
  const Shape stride_a = a.expand(out).strides(), stride_b = b.expand(out).strides();
  BroadcastShape shape;
  shape.dims = static_cast<int>(out.size());
  for (size_t i = 0; i < out.size(); ++i) {
    shape.size[i] = out[i];
    shape.stride_a[i] = stride_a[i];
    shape.stride_b[i] = stride_b[i];
  }
  return shape;
}

Var binary(Binary op, const Var& a_given, const Var& b_given) {
  const Var a = rounded(a_given, b_given), b = rounded(b_given, a_given);
  check_defined(name(op), "a", a);
  check_matches(name(op), "b", b, a);
  const Tensor x = dense(a), y = dense(b);
  const Shape out_shape = broadcast_shapes(name(op), x.shape(), y.shape());
  const BroadcastShape shape = broadcast_of(name(op), x, y, out_shape);
  Tensor out = empty_as(x, out_shape);
  on_stored(x.dtype(), name(op), [&]<class T>() {
    ON_DEVICE(x.device(), binary_forward<T>(stream_of(x), op, x.data<T>(), y.data<T>(), out.data<T>(), shape));
  });
  const Needs wanted = needs_of({a, b});
  if (!any(wanted)) return Var(out);
  // da reads b; db reads a, and for a quotient b too.
  const auto reads_b = [op](bool need_a, bool need_b) { return need_a || (need_b && op == Binary::kDiv); };
  Saved saved_a, saved_b;
  if (gradient_reads(op) == Reads::kInputs) {
    if (wanted[1]) saved_a = Saved(name(op), "a", x);
    if (reads_b(wanted[0], wanted[1])) saved_b = Saved(name(op), "b", y);
  }
  return record(name(op), out, {a, b}, [=](const Grads& dy, const Needs& needs) -> Grads {
    const Tensor g = dy[0].contiguous();
    Tensor da, db;
    if (needs[0]) da = empty_like(g);
    if (needs[1]) db = empty_like(g);
    on_stored(g.dtype(), name(op), [&]<class T>() {
      const T* pa = needs[1] && saved_a.defined() ? saved_a.get().data<T>() : nullptr;
      const T* pb = reads_b(needs[0], needs[1]) && saved_b.defined() ? saved_b.get().data<T>() : nullptr;
      ON_DEVICE(g.device(), binary_backward<T>(stream_of(g), op, g.data<T>(), pa, pb, optional_data<T>(da),
                                               optional_data<T>(db), shape));
    });
    return {da, db};  // the engine sums what was broadcast
  });
}

}  // namespace

Var add(const Var& a, const Var& b) { return binary(Binary::kAdd, a, b); }
Var sub(const Var& a, const Var& b) { return binary(Binary::kSub, a, b); }
Var mul(const Var& a, const Var& b) { return binary(Binary::kMul, a, b); }
Var div(const Var& a, const Var& b) { return binary(Binary::kDiv, a, b); }
Var exp(const Var& x) { return unary(Unary::kExp, x); }
Var log(const Var& x) { return unary(Unary::kLog, x); }
Var sqrt(const Var& x) { return unary(Unary::kSqrt, x); }
Var square(const Var& x) { return unary(Unary::kSquare, x); }
Var tanh(const Var& x) { return unary(Unary::kTanh, x); }
Var sigmoid(const Var& x) { return unary(Unary::kSigmoid, x); }
Var relu(const Var& x) { return unary(Unary::kRelu, x); }
Var gelu_erf(const Var& x) { return unary(Unary::kGeluErf, x); }
Var gelu_tanh(const Var& x) { return unary(Unary::kGeluTanh, x); }
Var silu(const Var& x) { return unary(Unary::kSilu, x); }

Var scale(const Var& x, double factor) {
  check_defined("scale", "x", x);
  const auto scaled = [factor](const Tensor& in) {
    Tensor out = empty_like(in);
    on_stored(in.dtype(), "scale", [&]<class T>() {
      ON_DEVICE(in.device(),
                scale<T>(stream_of(in), static_cast<Real<T>>(factor), in.data<T>(), out.data<T>(), in.numel()));
    });
    return out;
  };
  return record("scale", scaled(dense(x)), {x},
                [scaled](const Grads& dy, const Needs&) -> Grads { return {scaled(dy[0].contiguous())}; });
}

Var bias_gelu(const Var& x, const Var& bias_given) {
  check_defined("bias_gelu", "x", x);
  const Var bias = rounded(bias_given, x);
  check_matches("bias_gelu", "bias", bias, x);
  TAUT_CHECK(x.value().ndim() >= 1, "[bias_gelu] expected 'x' (..., n), got {}", to_string(x.shape()));
  check_shape("bias_gelu", "bias", bias, {x.size(-1)});
  const Tensor in = dense(x), b = dense(bias);
  const int64_t rows = rows_of(in.shape()), cols = in.size(-1);
  Tensor out = empty_like(in);
  on_stored(in.dtype(), "bias_gelu", [&]<class T>() {
    ON_DEVICE(in.device(),
              bias_gelu_forward<T>(stream_of(in), in.data<T>(), b.data<T>(), out.data<T>(), nullptr, rows, cols));
  });
  if (!any(needs_of({x, bias}))) return Var(out);
  const Saved saved_x("bias_gelu", "x", in), saved_b("bias_gelu", "bias", b);
  return record("bias_gelu", out, {x, bias}, [=](const Grads& dy, const Needs& needs) -> Grads {
    const Tensor g = dy[0].contiguous();
    Tensor dx = empty_like(g), db;
    if (needs[1]) db = empty_as(g, {cols});
    on_stored(g.dtype(), "bias_gelu", [&]<class T>() {
      ON_DEVICE(g.device(),
                bias_gelu_backward<T>(stream_of(g), g.data<T>(), saved_x.get().data<T>(), saved_b.get().data<T>(),
                                      dx.data<T>(), optional_data<T>(db), rows, cols));
    });
    return {needs[0] ? dx : Tensor(), db};
  });
}

}  // namespace taut::ops
