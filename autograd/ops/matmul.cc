// Matrix products: batched, and the linear layer with its fused epilogues.
#include "kernels/matmul.h"

#include "autograd/ops/op_util.h"
#include "kernels/pointwise.h"
#include "kernels/reduce.h"

namespace taut::ops {
namespace {

// One operand as kernels see it: `rows` x `cols` as stored, repeated `batch` times `stride` apart.
struct Operand {
  int64_t rows, cols, batch, stride;
};

Operand operand_of(const char* input, const Tensor& t) {
  TAUT_CHECK(t.ndim() >= 2, "[matmul] expected '{}' with at least 2 dimensions, got {}", input, to_string(t.shape()));
  const int64_t rows = t.size(-2), cols = t.size(-1);
  int64_t batch = 1;
  for (int64_t i = 0; i + 2 < t.ndim(); ++i) batch *= t.size(i);
  return {rows, cols, batch, t.ndim() > 2 ? rows * cols : 0};
}

void product(const Tensor& a, bool transpose_a, const Tensor& b, bool transpose_b, Tensor& c) {
  const Operand x = operand_of("a", a), y = operand_of("b", b), z = operand_of("c", c);
  MatmulShape s;
  s.m = transpose_a ? x.cols : x.rows;
  s.k = transpose_a ? x.rows : x.cols;
  s.n = transpose_b ? y.rows : y.cols;
  s.transpose_a = transpose_a;
  s.transpose_b = transpose_b;
  s.lda = x.cols;
  s.ldb = y.cols;
  s.ldc = s.n;
  s.batch = z.batch;
  s.stride_a = x.stride;
  s.stride_b = y.stride;
  s.stride_c = z.rows * z.cols;
  on_stored(a.dtype(), "matmul", [&]<class T>() {
    ON_DEVICE(a.device(), matmul<T>(stream_of(a), a.data<T>(), b.data<T>(), nullptr, nullptr, c.data<T>(), nullptr, s,
                                    Epilogue::kNone));
  });
}

}  // namespace

Var matmul(const Var& a, const Var& b, bool transpose_a, bool transpose_b) {
  check_defined("matmul", "a", a);
  check_matches("matmul", "b", b, a);
  Tensor x = dense(a);
  const Tensor y = dense(b);
  const Operand p = operand_of("a", x), q = operand_of("b", y);
  const int64_t m = transpose_a ? p.cols : p.rows, k = transpose_a ? p.rows : p.cols;
  const int64_t k_b = transpose_b ? q.cols : q.rows, n = transpose_b ? q.rows : q.cols;
  TAUT_CHECK(k == k_b, "[matmul] expected inner sizes that match, got {}{} and {}{}", to_string(x.shape()),
             transpose_a ? " transposed" : "", to_string(y.shape()), transpose_b ? " transposed" : "");
  const Shape lead(x.shape().begin(), x.shape().end() - 2);
  TAUT_CHECK(y.ndim() == 2 || Shape(y.shape().begin(), y.shape().end() - 2) == lead,
             "[matmul] expected equal leading dimensions, or none on 'b', got {} and {}", to_string(x.shape()),
             to_string(y.shape()));
  Shape out_shape = lead;
  out_shape.insert(out_shape.end(), {m, n});
  Tensor out = empty_as(x, out_shape);
  product(x, transpose_a, y, transpose_b, out);

  const Needs wanted = needs_of({a, b});
  if (!any(wanted)) return Var(out);
  Saved saved_a, saved_b;
  if (wanted[1]) saved_a = Saved("matmul", "a", x);
  if (wanted[0]) saved_b = Saved("matmul", "b", y);
  const Shape a_shape = x.shape(), b_shape = y.shape();
  return record("matmul", out, {a, b}, [=](const Grads& dy, const Needs& needs) -> Grads {
    const Tensor g = dy[0].contiguous();
    Tensor da, db;
    if (needs[0]) {  // c = op(a) op(b): d op(a) = dc op(b)T
      da = empty_as(g, a_shape);
      if (transpose_a)
        product(saved_b.get(), transpose_b, g, true, da);
      else
        product(g, false, saved_b.get(), !transpose_b, da);
    }
    if (needs[1]) {
      // One b for a whole batch of a: its gradient is the sum over the batch, which the engine takes.
      Shape full = b_shape;
      if (b_shape.size() == 2) full.insert(full.begin(), a_shape.begin(), a_shape.end() - 2);
      db = empty_as(g, full);
      if (transpose_b)
        product(g, true, saved_a.get(), transpose_a, db);
      else
        product(saved_a.get(), !transpose_a, g, false, db);
    }
    return {da, db};
  });
}

namespace {

struct LinearShape {
  int64_t rows, in, out;
  Shape y;
};

LinearShape linear_shape(const char* op, const Var& x, const Var& w, const Var& bias) {
  check_defined(op, "x", x);
  check_matches(op, "w", w, x);
  TAUT_CHECK(x.value().ndim() >= 1 && w.value().ndim() == 2 && x.size(-1) == w.size(1),
             "[{}] expected 'x' (..., in) and 'w' (out, in), got {} and {}", op, to_string(x.shape()),
             to_string(w.shape()));
  if (bias.defined()) {
    check_matches(op, "bias", bias, x);
    check_shape(op, "bias", bias, {w.size(0)});
  }
  LinearShape s{rows_of(x.shape()), w.size(1), w.size(0), x.shape()};
  s.y.back() = s.out;
  return s;
}

// Gradients of x, w and bias for the gradient `g` of x wT + bias.
Grads linear_backward(const char* op, const Tensor& g, const Saved& x, const Saved& w, const LinearShape& s,
                      const Shape& x_shape, const Needs& needs, Precision precision) {
  Tensor dx, dw, db;
  on_factors(g.dtype(), precision, op, [&]<class T>() {
    const T* dy = elements<T>(g);
    if (needs[0]) {
      dx = empty_as(g, x_shape);
      ON_DEVICE(g.device(),
                linear_backward_input<T>(stream_of(g), dy, elements<T>(w.get()), elements<T>(dx), s.rows, s.in, s.out));
    }
    if (needs[1]) {
      dw = empty_as(g, {s.out, s.in});
      ON_DEVICE(g.device(), linear_backward_weight<T>(stream_of(g), dy, elements<T>(x.get()), elements<T>(dw), s.rows,
                                                      s.in, s.out));
    }
  });
  if (needs[2]) {
    db = empty_as(g, {s.out});
    on_stored(g.dtype(), op, [&]<class T>() {
      ON_DEVICE(g.device(), sum_columns<T>(stream_of(g), g.data<T>(), db.data<T>(), s.rows, s.out));
    });
  }
  return {dx, dw, db};
}

}  // namespace

Var linear(const Var& x, const Var& w_given, const Var& bias_given, const Var& residual, Precision precision) {
  const Var w = rounded(w_given, x), bias = rounded(bias_given, x);
  const LinearShape s = linear_shape("linear", x, w, bias);
  const Tensor in = dense(x), weight = dense(w);
  Tensor b, r;
  if (bias.defined()) b = dense(bias);
  if (residual.defined()) {
    check_matches("linear", "residual", residual, x);
    check_shape("linear", "residual", residual, s.y);
    r = dense(residual);
  }
  const Epilogue epilogue = r.defined() ? (b.defined() ? Epilogue::kBiasResidual : Epilogue::kResidual)
                                        : (b.defined() ? Epilogue::kBias : Epilogue::kNone);
  Tensor out = empty_as(in, s.y);
  on_factors(in.dtype(), precision, "linear", [&]<class T>() {
    ON_DEVICE(in.device(),
              linear_forward<T>(stream_of(in), elements<T>(in), elements<T>(weight), optional_elements<T>(b),
                                optional_elements<T>(r), elements<T>(out), nullptr, s.rows, s.in, s.out, epilogue));
  });
  const Needs wanted = needs_of({x, w, bias, residual});
  if (!any(wanted)) return Var(out);
  Saved saved_x, saved_w;  // a frozen weight's input is not kept
  if (wanted[1]) saved_x = Saved("linear", "x", in);
  if (wanted[0]) saved_w = Saved("linear", "w", weight);
  return record("linear", out, {x, w, bias, residual},
                [=, x_shape = in.shape()](const Grads& dy, const Needs& needs) -> Grads {
                  const Tensor g = dy[0].contiguous();
                  Grads grads = linear_backward("linear", g, saved_x, saved_w, s, x_shape, needs, precision);
                  grads.push_back(needs[3] ? g : Tensor());
                  return grads;
                });
}

Var linear_gelu(const Var& x, const Var& w_given, const Var& bias_given, Precision precision) {
  check_defined("linear_gelu", "bias", bias_given);
  const Var w = rounded(w_given, x), bias = rounded(bias_given, x);
  const LinearShape s = linear_shape("linear_gelu", x, w, bias);
  const Tensor in = dense(x), weight = dense(w), b = dense(bias);
  const Needs wanted = needs_of({x, w, bias});
  Tensor out = empty_as(in, s.y), pre;
  if (any(wanted)) pre = empty_as(in, s.y);
  on_factors(in.dtype(), precision, "linear_gelu", [&]<class T>() {
    ON_DEVICE(in.device(),
              linear_forward<T>(stream_of(in), elements<T>(in), elements<T>(weight), elements<T>(b), nullptr,
                                elements<T>(out), optional_elements<T>(pre), s.rows, s.in, s.out, Epilogue::kBiasGelu));
  });
  if (!any(wanted)) return Var(out);
  Saved saved_x, saved_w;
  if (wanted[1]) saved_x = Saved("linear_gelu", "x", in);
  if (wanted[0]) saved_w = Saved("linear_gelu", "w", weight);
  const Saved saved_pre("linear_gelu", "x wT + bias", pre);
  return record(
      "linear_gelu", out, {x, w, bias}, [=, x_shape = in.shape()](const Grads& dy, const Needs& needs) -> Grads {
        const Tensor g = dy[0].contiguous();
        Tensor dpre = empty_like(g), db;
        if (needs[2]) db = empty_as(g, {s.out});
        on_stored(g.dtype(), "linear_gelu", [&]<class T>() {
          ON_DEVICE(g.device(), bias_gelu_backward<T>(stream_of(g), g.data<T>(), saved_pre.get().data<T>(), nullptr,
                                                      dpre.data<T>(), optional_data<T>(db), s.rows, s.out));
        });
        Grads grads =
            linear_backward("linear_gelu", dpre, saved_x, saved_w, s, x_shape, {needs[0], needs[1], false}, precision);
        grads[2] = db;
        return grads;
      });
}

}  // namespace taut::ops
