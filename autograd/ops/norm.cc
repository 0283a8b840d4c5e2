// Layer normalisation, alone and fused with the residual sum before it.
#include "kernels/norm.h"

#include <memory>

#include "autograd/ops/op_util.h"
#include "kernels/pointwise.h"

namespace taut::ops {
namespace {

void check(const char* op, const Var& x, const Var& weight, const Var& bias) {
  check_defined(op, "x", x);
  TAUT_CHECK(x.value().ndim() >= 1 && x.size(-1) >= 1, "[{}] expected 'x' (..., n) with n >= 1, got {}", op,
             to_string(x.shape()));
  check_matches(op, "weight", weight, x);
  check_matches(op, "bias", bias, x);
  check_shape(op, "weight", weight, {x.size(-1)});
  check_shape(op, "bias", bias, {x.size(-1)});
}

// What the gradients of a normalisation of `x` read, and what gives its output again.
struct SavedNorm {
  const char* op;
  Saved x, weight, bias, mean, rstd;
  int64_t rows, cols;
  double eps;

  Tensor output() const {
    const Tensor &in = x.get(), &w = weight.get(), &b = bias.get();
    Tensor y = empty_like(in);
    on_stored(in.dtype(), op, [&]<class T>() {
      ON_DEVICE(in.device(), layer_norm_forward<T>(stream_of(in), in.data<T>(), w.data<T>(), b.data<T>(), y.data<T>(),
                                                   nullptr, nullptr, rows, cols, static_cast<Real<T>>(eps)));
    });
    return y;
  }

  // {dx, dw, db}; dh, if defined, is the gradient of x by other ways and is added to dx.
  Grads backward(const Tensor& dy, const Tensor& dh, bool need_x, bool need_w, bool need_b) const {
    Tensor dx, dw, db;
    on_stored(dy.dtype(), op, [&]<class T>() {
      const T* g = dy.data<T>();
      const T* in = x.defined() ? x.get().data<T>() : nullptr;
      const Real<T>* m = mean.defined() ? mean.get().data<Real<T>>() : nullptr;
      const Real<T>* r = rstd.defined() ? rstd.get().data<Real<T>>() : nullptr;
      if (need_x) {
        dx = empty_like(dy);
        ON_DEVICE(dy.device(), layer_norm_backward_input<T>(stream_of(dy), g, in, weight.get().data<T>(), m, r,
                                                            optional_data<T>(dh), dx.data<T>(), rows, cols));
      }
      if (need_w || need_b) {
        if (need_w) dw = empty_as(dy, {cols});
        if (need_b) db = empty_as(dy, {cols});
        ON_DEVICE(dy.device(), layer_norm_backward_weight<T>(stream_of(dy), g, in, m, r, optional_data<T>(dw),
                                                             optional_data<T>(db), rows, cols));
      }
    });
    return {dx, dw, db};
  }
};

std::shared_ptr<const SavedNorm> save(const char* op, const Tensor& x, const Tensor& weight, const Tensor& bias,
                                      const Tensor& mean, const Tensor& rstd, double eps, bool need_x, bool need_w) {
  auto s = std::make_shared<SavedNorm>(SavedNorm{op, {}, {}, {}, {}, {}, rows_of(x.shape()), x.size(-1), eps});
  if (need_x || need_w) {
    s->x = Saved(op, "x", x);
    s->mean = Saved(op, "mean", mean);
    s->rstd = Saved(op, "rstd", rstd);
  }
  if (need_x) {
    s->weight = Saved(op, "weight", weight);
    s->bias = Saved(op, "bias", bias);
  }
  return s;
}

// Lets readers of the output keep nothing: x is kept here in any case. Weak, so that the graph's edges do not hold x.
void offer_output(const Var& y, const std::shared_ptr<const SavedNorm>& saved) {
  if (!saved->bias.defined()) return;
  y.info()->recompute = [weak = std::weak_ptr<const SavedNorm>(saved)] {
    const std::shared_ptr<const SavedNorm> s = weak.lock();
    TAUT_CHECK(s != nullptr,
               "[layer_norm] the graph was freed by an earlier backward pass; hint: run the forward again");
    return s->output();
  };
}

}  // namespace

Var layer_norm(const Var& x, const Var& weight_given, const Var& bias_given, double eps) {
  const Var weight = rounded(weight_given, x), bias = rounded(bias_given, x);
  const char* op = "layer_norm";
  check(op, x, weight, bias);
  const Tensor in = dense(x), w = dense(weight), b = dense(bias);
  const Needs wanted = needs_of({x, weight, bias});
  const bool keep = wanted[0] || wanted[1];
  const int64_t rows = rows_of(in.shape()), cols = in.size(-1);
  Tensor out = empty_like(in), mean, rstd;
  if (keep) {
    mean = empty_real(in, {rows});
    rstd = empty_real(in, {rows});
  }
  on_stored(in.dtype(), op, [&]<class T>() {
    ON_DEVICE(in.device(), layer_norm_forward<T>(stream_of(in), in.data<T>(), w.data<T>(), b.data<T>(), out.data<T>(),
                                                 optional_data<Real<T>>(mean), optional_data<Real<T>>(rstd), rows, cols,
                                                 static_cast<Real<T>>(eps)));
  });
  if (!any(wanted)) return Var(out);
  const auto saved = save(op, in, w, b, mean, rstd, eps, wanted[0], wanted[1]);
  const Var y = record(op, out, {x, weight, bias}, [saved](const Grads& dy, const Needs& needs) -> Grads {
    return saved->backward(dy[0].contiguous(), {}, needs[0], needs[1], needs[2]);
  });
  offer_output(y, saved);
  return y;
}

std::pair<Var, Var> residual_layer_norm(const Var& h, const Var& r, const Var& weight_given, const Var& bias_given,
                                        double eps) {
  const Var weight = rounded(weight_given, h), bias = rounded(bias_given, h);
  const char* op = "residual_layer_norm";
  check(op, h, weight, bias);
  check_matches(op, "r", r, h);
  check_shape(op, "r", r, h.shape());
  const Tensor x = dense(h), y = dense(r), w = dense(weight), b = dense(bias);
  const Needs wanted = needs_of({h, r, weight, bias});
  const bool need_sum = wanted[0] || wanted[1], keep = need_sum || wanted[2];
  const int64_t rows = rows_of(x.shape()), cols = x.size(-1);
  Tensor sum = empty_like(x), out = empty_like(x), mean, rstd;
  if (keep) {
    mean = empty_real(x, {rows});
    rstd = empty_real(x, {rows});
  }
  on_stored(x.dtype(), op, [&]<class T>() {
    ON_DEVICE(x.device(),
              residual_layer_norm_forward<T>(stream_of(x), x.data<T>(), y.data<T>(), w.data<T>(), b.data<T>(),
                                             sum.data<T>(), out.data<T>(), optional_data<Real<T>>(mean),
                                             optional_data<Real<T>>(rstd), rows, cols, static_cast<Real<T>>(eps)));
  });
  if (!any(wanted)) return {Var(sum), Var(out)};
  const auto saved = save(op, sum, w, b, mean, rstd, eps, need_sum, wanted[2]);
  std::vector<Var> outputs =
      record(op, {sum, out}, {h, r, weight, bias}, [saved](const Grads& dy, const Needs& needs) -> Grads {
        const bool need = needs[0] || needs[1];
        const Tensor dh = dy[0].defined() ? dy[0].contiguous() : Tensor();
        if (!dy[1].defined()) return {needs[0] ? dh : Tensor(), needs[1] ? dh : Tensor(), {}, {}};
        const Grads g = saved->backward(dy[1].contiguous(), dh, need, needs[2], needs[3]);
        // Both terms of the sum get the same gradient; the engine adds in place only into what it owns alone.
        return {needs[0] ? g[0] : Tensor(), needs[1] ? g[0] : Tensor(), g[1], g[2]};
      });
  offer_output(outputs[1], saved);
  return {outputs[0], outputs[1]};
}

}  // namespace taut::ops
