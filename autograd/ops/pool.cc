// Pooling of images (n, h, w, c).
#include "kernels/pool.h"

#include "autograd/ops/op_util.h"

namespace taut::ops {
namespace {

PoolShape shape_of(const char* op, const Var& x) {
  check_defined(op, "x", x);
  TAUT_CHECK(x.value().ndim() == 4, "[{}] expected images (n, h, w, c), got {}", op, to_string(x.shape()));
  return {.n = x.size(0), .h = x.size(1), .w = x.size(2), .c = x.size(3), .out_h = 0, .out_w = 0};
}

PoolShape fixed_windows(const char* op, const Var& x, HW kernel, HW stride, HW padding) {
  PoolShape s = shape_of(op, x);
  TAUT_CHECK(kernel.least() >= 1 && stride.least() >= 0, "[{}] expected a kernel >= 1 and a stride >= 0, got {} and {}",
             op, to_string(kernel), to_string(stride));
  TAUT_CHECK(padding.least() >= 0 && padding.h <= kernel.h / 2 && padding.w <= kernel.w / 2,
             "[{}] expected a padding of 0 to half the kernel {}, got {}", op, to_string(kernel), to_string(padding));
  TAUT_CHECK(s.h + 2 * padding.h >= kernel.h && s.w + 2 * padding.w >= kernel.w,
             "[{}] expected images of at least the kernel {} with padding {}, got {}", op, to_string(kernel),
             to_string(padding), to_string(x.shape()));
  s.kernel = kernel;
  s.stride = {stride.h > 0 ? stride.h : kernel.h, stride.w > 0 ? stride.w : kernel.w};
  s.padding = padding;
  s.out_h = (s.h + 2 * padding.h - kernel.h) / s.stride.h + 1;
  s.out_w = (s.w + 2 * padding.w - kernel.w) / s.stride.w + 1;
  return s;
}

Var average(const char* op, const Var& x, const PoolShape& s) {
  const Tensor in = dense(x);
  Tensor out = empty_as(in, {s.n, s.out_h, s.out_w, s.c});
  on_float(in.dtype(), op, [&]<class T>() {
    ON_DEVICE(in.device(), avg_pool_forward<T>(stream_of(in), in.data<T>(), out.data<T>(), s));
  });
  return record(op, out, {x}, [op, s](const Grads& dy, const Needs&) -> Grads {
    const Tensor g = dy[0].contiguous();
    Tensor dx = empty_as(g, {s.n, s.h, s.w, s.c});
    on_float(g.dtype(), op, [&]<class T>() {
      ON_DEVICE(g.device(), avg_pool_backward<T>(stream_of(g), g.data<T>(), dx.data<T>(), s));
    });
    return {dx};
  });
}

}  // namespace

Var max_pool(const Var& x, HW kernel, HW stride, HW padding) {
  if (is_bf16(x)) return cast(max_pool(widened(x), kernel, stride, padding), DType::kBF16);
  const char* op = "max_pool";
  const PoolShape s = fixed_windows(op, x, kernel, stride, padding);
  const Tensor in = dense(x);
  Tensor out = empty_as(in, {s.n, s.out_h, s.out_w, s.c});
  on_float(in.dtype(), op, [&]<class T>() {
    ON_DEVICE(in.device(), max_pool_forward<T>(stream_of(in), in.data<T>(), out.data<T>(), s));
  });
  if (!any(needs_of({x}))) return Var(out);
  const Saved saved(op, "x", in);
  return record(op, out, {x}, [op, s, saved](const Grads& dy, const Needs&) -> Grads {
    const Tensor g = dy[0].contiguous();
    const Tensor& in = saved.get();
    Tensor dx = empty_like(in);
    on_float(g.dtype(), op, [&]<class T>() {
      ON_DEVICE(g.device(), max_pool_backward<T>(stream_of(g), g.data<T>(), in.data<T>(), dx.data<T>(), s));
    });
    return {dx};
  });
}

Var avg_pool(const Var& x, HW kernel, HW stride, HW padding, bool count_padding) {
  if (is_bf16(x)) return cast(avg_pool(widened(x), kernel, stride, padding, count_padding), DType::kBF16);
  PoolShape s = fixed_windows("avg_pool", x, kernel, stride, padding);
  s.count_padding = count_padding;
  return average("avg_pool", x, s);
}

Var adaptive_avg_pool(const Var& x, int64_t out_h, int64_t out_w) {
  if (is_bf16(x)) return cast(adaptive_avg_pool(widened(x), out_h, out_w), DType::kBF16);
  const char* op = "adaptive_avg_pool";
  PoolShape s = shape_of(op, x);
  TAUT_CHECK(out_h >= 1 && out_w >= 1, "[{}] expected an output of at least 1 x 1, got {} x {}", op, out_h, out_w);
  TAUT_CHECK(s.h >= 1 && s.w >= 1, "[{}] expected images of at least 1 x 1, got {}", op, to_string(x.shape()));
  s.adaptive = true;
  s.out_h = out_h;
  s.out_w = out_w;
  return average(op, x, s);
}

}  // namespace taut::ops
