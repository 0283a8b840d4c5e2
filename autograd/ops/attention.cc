// attention: qkv (b, t, 3, heads, d) -> (b, queries, heads d); the formulas are in kernels/attention.h.
#include "kernels/attention.h"

#include "autograd/ops/op_util.h"

namespace taut::ops {

Var attention(const Var& qkv, double scale, int64_t queries) {
  check_defined("attention", "qkv", qkv);
  const Tensor x = dense(qkv);
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
  Tensor out = empty_as(x, {shape.b, shape.tq, shape.heads * shape.d});
  Tensor stats;
  if (needs[0]) stats = empty_real(x, {shape.b, shape.heads, shape.tq, 2});
  on_stored(x.dtype(), "attention", [&]<class T>() {
    ON_DEVICE(x.device(),
              attention_forward<T>(stream_of(x), x.data<T>(), out.data<T>(), optional_data<Real<T>>(stats), shape));
  });

  const Saved saved("attention", "qkv", x);
  return record("attention", std::move(out), {qkv},
                [saved, stats, shape](const Grads& dy, const Needs& wanted) -> Grads {
                  if (!wanted[0]) return {Tensor()};
                  const Tensor& in = saved.get();
                  const Tensor dout = dy[0].contiguous();
                  Tensor dqkv = empty_like(in);
                  on_stored(in.dtype(), "attention", [&]<class T>() {
                    ON_DEVICE(in.device(), attention_backward<T>(stream_of(in), in.data<T>(), stats.data<Real<T>>(),
                                                                 dout.data<T>(), dqkv.data<T>(), shape));
                  });
                  return {dqkv};
                });
}

}  // namespace taut::ops
