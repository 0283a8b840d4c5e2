// Cross-entropy of logits with integer labels.
#include "kernels/cross_entropy.h"

#include "autograd/ops/op_util.h"
#include "kernels/graph.h"
#include "kernels/pointwise.h"
#include "kernels/reduce.h"

namespace taut::ops {

Var cross_entropy(const Var& logits, const Tensor& labels, double label_smoothing, Reduction reduction) {
  const char* op = "cross_entropy";
  check_defined(op, "logits", logits);
  TAUT_CHECK(logits.value().ndim() == 2 && logits.size(1) >= 1,
             "[cross_entropy] expected logits (rows, classes), got {}", to_string(logits.shape()));
  TAUT_CHECK(labels.defined() && labels.dtype() == DType::kI64 && labels.shape() == Shape{logits.size(0)},
             "[cross_entropy] expected labels i64 of shape ({}), got {}", logits.size(0), to_string(labels, 0));
  TAUT_CHECK(label_smoothing >= 0 && label_smoothing <= 1, "[cross_entropy] expected label smoothing in [0, 1], got {}",
             label_smoothing);
  const Tensor in = dense(logits), target = labels.contiguous();
  const int64_t rows = in.size(0), classes = in.size(1);
  TAUT_CHECK(rows > 0 || reduction != Reduction::kMean, "[cross_entropy] a mean needs at least one row");
  int64_t bad = 0;
  // A step that is recorded cannot look at its labels; they were looked at when it was called.
  if (!is_recording(in.device()))
    ON_DEVICE(in.device(), count_bad_labels(stream_of(in), target.data<int64_t>(), rows, classes, &bad));
  if (bad > 0)
    fail(Exit::kBadData, "[cross_entropy] expected labels in [0, {}), got {} outside; the labels are {}", classes, bad,
         to_string(target));

  Tensor losses = empty_real(in, {rows});
  const double factor = reduction == Reduction::kMean ? 1.0 / static_cast<double>(rows) : 1.0;
  Tensor out = losses;
  on_stored(in.dtype(), op, [&]<class T>() {
    ON_DEVICE(in.device(),
              cross_entropy_forward<T>(stream_of(in), in.data<T>(), target.data<int64_t>(), losses.data<Real<T>>(),
                                       rows, classes, static_cast<Real<T>>(label_smoothing)));
    if (reduction == Reduction::kNone) return;
    out = empty_real(in, {});
    ON_DEVICE(in.device(), sum_all<Real<T>>(stream_of(in), losses.data<Real<T>>(), out.data<Real<T>>(), rows));
    if (reduction == Reduction::kMean)
      ON_DEVICE(in.device(), scale<Real<T>>(stream_of(in), static_cast<Real<T>>(factor), out.data<Real<T>>(),
                                            out.data<Real<T>>(), 1));
  });
  if (!any(needs_of({logits}))) return Var(out);
  const Saved saved(op, "logits", in);
  return record(op, out, {logits}, [=](const Grads& dy, const Needs&) -> Grads {
    // One dloss for each row: a scalar upstream is spread over the rows first.
    const Tensor dloss = reduction == Reduction::kNone ? dy[0].contiguous() : dy[0].expand({rows}).contiguous();
    Tensor dx = empty_like(saved.get());
    on_stored(dx.dtype(), op, [&]<class T>() {
      ON_DEVICE(dx.device(),
                cross_entropy_backward<T>(stream_of(dx), saved.get().data<T>(), target.data<int64_t>(),
                                          dloss.data<Real<T>>(), static_cast<Real<T>>(factor), dx.data<T>(), rows,
                                          classes, static_cast<Real<T>>(label_smoothing)));
    });
    return {dx};
  });
}

}  // namespace taut::ops
