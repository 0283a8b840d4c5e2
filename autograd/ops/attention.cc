// attention: qkv (b, t, 3, heads, d) -> (b, queries, heads d); the formulas are in kernels/attention.h.
#include "kernels/attention.h"

#include "autograd/ops.h"
#include "kernels/error.h"

namespace taut::ops {

Var attention(const Var& qkv, double scale, int64_t queries) {
  const Tensor x = qkv.value().contiguous();
  TAUT_CHECK(x.ndim() == 5 && x.size(2) == 3,
             "[attention] expected qkv of shape (b, t, 3, heads, d), got {}; hint: reshape the fused projection first",
             to_string(x.shape()));
  const AttentionShape shape{.b = x.size(0),
                             .t = x.size(1),
                             .tq = queries == 0 ? x.size(1) : queries,
                             .heads = x.size(3),
                             .d = x.size(4),
                             .scale = scale};
  TAUT_CHECK(shape.d >= 1, "[attention] expected d >= 1, got qkv of shape {}", to_string(x.shape()));
  TAUT_CHECK(queries >= 0 && shape.tq <= shape.t, "[attention] expected 0 to {} queries, got {}", shape.t, queries);

  const Needs needs = needs_of({qkv});
  Tensor out = Tensor::empty({shape.b, shape.tq, shape.heads * shape.d}, x.dtype(), x.device());
  Tensor stats;
  if (needs[0]) stats = Tensor::empty({shape.b, shape.heads, shape.tq, 2}, x.dtype(), x.device());
  on_float(x.dtype(), "attention", [&]<class T>() {
    ON_DEVICE(x.device(), attention_forward<T>(current_stream(x.device()), x.data<T>(), out.data<T>(),
                                               needs[0] ? stats.data<T>() : nullptr, shape));
  });

  const Saved saved("attention", "qkv", x);
  return record(
      "attention", std::move(out), {qkv}, [saved, stats, shape](const Grads& dy, const Needs& wanted) -> Grads {
        if (!wanted[0]) return {Tensor()};
        const Tensor& in = saved.get();
        const Tensor dout = dy[0].contiguous();
        Tensor dqkv = Tensor::empty(in.shape(), in.dtype(), in.device());
        on_float(in.dtype(), "attention", [&]<class T>() {
          ON_DEVICE(in.device(), attention_backward<T>(current_stream(in.device()), in.data<T>(), stats.data<T>(),
                                                       dout.data<T>(), dqkv.data<T>(), shape));
        });
        return {dqkv};
      });
}

}  // namespace taut::ops
