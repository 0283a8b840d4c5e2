// Batch normalisation, with the sum and the ReLU that follow it in a residual net.
#include "kernels/batch_norm.h"

#include "autograd/ops/op_util.h"

namespace taut::ops {
namespace {

constexpr const char* kOp = "batch_norm";

void check(const Var& x, const Var& weight, const Var& bias, const Tensor& running_mean, const Tensor& running_var,
           bool training, const Var& residual) {
  check_defined(kOp, "x", x);
  TAUT_CHECK(x.value().ndim() >= 2 && x.size(-1) >= 1, "[batch_norm] expected 'x' (..., c) with c >= 1, got {}",
             to_string(x.shape()));
  const Shape channels = {x.size(-1)};
  for (const auto& [name, v] : {std::pair{"weight", weight}, std::pair{"bias", bias}}) {
    check_matches(kOp, name, v, x);
    check_shape(kOp, name, v, channels);
  }
  for (const auto& [name, t] : {std::pair{"running_mean", running_mean}, std::pair{"running_var", running_var}}) {
    TAUT_CHECK(t.defined() && t.shape() == channels && t.dtype() == x.dtype() && t.is_contiguous(),
               "[batch_norm] expected '{}' {} {}, dense, got {}", name, taut::name(x.dtype()), to_string(channels),
               t.defined() ? to_string(t, 0) : "none");
  }
  TAUT_CHECK(!training || rows_of(x.shape()) >= 2,
             "[batch_norm] expected at least two values a channel in training, got 'x' {}; hint: a larger batch",
             to_string(x.shape()));
  if (!residual.defined()) return;
  check_matches(kOp, "residual", residual, x);
  check_shape(kOp, "residual", residual, x.shape());
}

// What the gradients read.
struct SavedBatchNorm {
  Saved x, y, weight, mean, rstd;
  bool training;
  int64_t rows, cols;

  static const Tensor& of(const Saved& s) {
    static const Tensor none;
    return s.defined() ? s.get() : none;
  }

  // {dx, dweight, dbias, dresidual}
  Grads backward(const Tensor& dy, const Needs& needs) const {
    Tensor dx, dw, db, dr;
    const Tensor &in = of(x), &out = of(y), &w = of(weight), &m = of(mean), &r = rstd.get();
    // Without a ReLU the residual's gradient is dy itself.
    if (needs[3] && !out.defined()) dr = dy;
    const bool write_residual = needs[3] && out.defined(), sums = training && needs[0];
    if (needs[1] || sums) dw = empty_as(dy, {cols});
    if (needs[2] || sums) db = empty_as(dy, {cols});
    if (needs[0]) dx = empty_like(dy);
    if (write_residual) dr = empty_like(dy);
    on_float(dy.dtype(), kOp, [&]<class T>() {
      const T* g = dy.data<T>();
      if (dw.defined() || db.defined())
        ON_DEVICE(dy.device(), batch_norm_backward_weight<T>(stream_of(dy), g, optional_data<T>(out),
                                                             optional_data<T>(in), optional_data<T>(m), r.data<T>(),
                                                             optional_data<T>(dw), optional_data<T>(db), rows, cols));
      if (needs[0] || write_residual) {
        const T *sum_gx = sums ? dw.data<T>() : nullptr, *sum_g = sums ? db.data<T>() : nullptr;
        ON_DEVICE(dy.device(), batch_norm_backward_input<T>(stream_of(dy), g, optional_data<T>(out),
                                                            optional_data<T>(in), optional_data<T>(m), r.data<T>(),
                                                            w.data<T>(), sum_gx, sum_g, optional_data<T>(dx),
                                                            write_residual ? dr.data<T>() : nullptr, rows, cols));
      }
    });
    return {dx, needs[1] ? dw : Tensor(), needs[2] ? db : Tensor(), dr};
  }
};

}  // namespace

Var batch_norm(const Var& x, const Var& weight, const Var& bias, Tensor running_mean, Tensor running_var, bool training,
               double momentum, double eps, const Var& residual, bool relu) {
  if (is_bf16(x))
    return cast(batch_norm(widened(x), widened(weight), widened(bias), running_mean, running_var, training, momentum,
                           eps, widened(residual), relu),
                DType::kBF16);
  check(x, weight, bias, running_mean, running_var, training, residual);
  const Tensor in = dense(x), w = dense(weight), b = dense(bias), r = residual.defined() ? dense(residual) : Tensor();
  const int64_t rows = rows_of(in.shape()), cols = in.size(-1);
  Tensor out = empty_like(in), mean = running_mean, rstd = empty_as(in, {cols});
  on_float(in.dtype(), kOp, [&]<class T>() {
    const Stream stream = stream_of(in);
    if (training) {
      mean = empty_as(in, {cols});
      T *moving_mean = running_mean.data<T>(), *moving_var = running_var.data<T>();
      ON_DEVICE(in.device(), batch_norm_statistics<T>(stream, in.data<T>(), moving_mean, moving_var, mean.data<T>(),
                                                      rstd.data<T>(), moving_mean, moving_var, rows, cols,
                                                      static_cast<T>(eps), static_cast<T>(momentum)));
      running_mean.bump_version();
      running_var.bump_version();
    } else {
      ON_DEVICE(in.device(),
                batch_norm_rstd<T>(stream, running_var.data<T>(), rstd.data<T>(), cols, static_cast<T>(eps)));
    }
    ON_DEVICE(in.device(), batch_norm_forward<T>(stream, in.data<T>(), mean.data<T>(), rstd.data<T>(), w.data<T>(),
                                                 b.data<T>(), optional_data<T>(r), relu, out.data<T>(), rows, cols));
  });
  const Needs wanted = needs_of({x, weight, bias, residual});
  if (!any(wanted)) return Var(out);
  SavedBatchNorm saved{{}, {}, {}, {}, Saved(kOp, "rstd", rstd), training, rows, cols};
  if (wanted[1] || (training && wanted[0])) {
    saved.x = Saved(kOp, "x", in);
    saved.mean = Saved(kOp, "mean", mean);
  }
  if (relu) saved.y = Saved(kOp, "y", out);
  saved.weight = Saved(kOp, "weight", w);
  return record(kOp, out, {x, weight, bias, residual}, [saved](const Grads& dy, const Needs& needs) -> Grads {
    return saved.backward(dy[0].contiguous(), needs);
  });
}

}  // namespace taut::ops
