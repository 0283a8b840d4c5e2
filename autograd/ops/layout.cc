// Reshaping, permuting, concatenating, slicing, casting; patches and token sequences of a ViT.
#include "kernels/layout.h"

#include <map>
#include <mutex>
#include <tuple>

#include "autograd/ops/op_util.h"
#include "kernels/graph.h"

namespace taut::ops {

Var reshape(const Var& x, Shape shape) {
  check_defined("reshape", "x", x);
  const Shape before = x.shape();
  return record("reshape", x.value().reshape(std::move(shape)), {x},
                [before](const Grads& dy, const Needs&) -> Grads { return {dy[0].reshape(before)}; });
}

Var permute(const Var& x, const std::vector<int64_t>& dims) {
  check_defined("permute", "x", x);
  std::vector<int64_t> inverse(dims.size());
  const Tensor out = x.value().permute(dims).contiguous();  // checks dims
  for (size_t i = 0; i < dims.size(); ++i)
    inverse[static_cast<size_t>(dims[i] < 0 ? dims[i] + static_cast<int64_t>(dims.size()) : dims[i])] =
        static_cast<int64_t>(i);
  return record("permute", out, {x},
                [inverse](const Grads& dy, const Needs&) -> Grads { return {dy[0].permute(inverse).contiguous()}; });
}

Var concat(const std::vector<Var>& xs, int64_t dim) {
  TAUT_CHECK(!xs.empty(), "[concat] expected at least one input");
  check_defined("concat", "xs[0]", xs[0]);
  const int64_t ndim = xs[0].value().ndim(), d = dim < 0 ? dim + ndim : dim;
  TAUT_CHECK(d >= 0 && d < ndim, "[concat] expected a dimension of {}, got {}", to_string(xs[0].shape()), dim);
  Shape shape = xs[0].shape();
  std::vector<int64_t> lengths;
  int64_t total = 0;
  for (const Var& x : xs) {
    check_matches("concat", "xs", x, xs[0]);
    Shape other = x.shape();
    TAUT_CHECK(static_cast<int64_t>(other.size()) == ndim, "[concat] expected {} dimensions, got {}", ndim,
               to_string(other));
    lengths.push_back(other[static_cast<size_t>(d)]);
    total += lengths.back();
    other[static_cast<size_t>(d)] = shape[static_cast<size_t>(d)];
    TAUT_CHECK(other == shape, "[concat] expected shapes equal but for dimension {}, got {} and {}", d,
               to_string(xs[0].shape()), to_string(x.shape()));
  }
  shape[static_cast<size_t>(d)] = total;
  Tensor out = empty_as(xs[0].value(), shape);
  int64_t start = 0;
  for (size_t i = 0; i < xs.size(); start += lengths[i++]) out.slice(d, start, lengths[i]).copy_from(xs[i].value());
  // Written through views; as an output it is new.
  return record("concat", out, xs, [lengths, d](const Grads& dy, const Needs& needs) -> Grads {
    Grads dx(lengths.size());
    int64_t begin = 0;
    for (size_t i = 0; i < lengths.size(); begin += lengths[i++])
      if (needs[i]) dx[i] = dy[0].slice(d, begin, lengths[i]).clone();
    return dx;
  });
}

Var slice(const Var& x, int64_t dim, int64_t start, int64_t length) {
  check_defined("slice", "x", x);
  const Shape before = x.shape();
  return record("slice", x.value().slice(dim, start, length).contiguous(), {x},
                [=](const Grads& dy, const Needs&) -> Grads {
                  Tensor dx = Tensor::zeros(before, dy[0].dtype(), dy[0].device());
                  dx.slice(dim, start, length).copy_from(dy[0]);
                  return {dx};
                });
}

Var cast(const Var& x, DType dtype) {
  check_defined("cast", "x", x);
  TAUT_CHECK(is_floating(x.dtype()) && is_floating(dtype), "[cast] expected floating dtypes, got {} to {}",
             name(x.dtype()), name(dtype));
  const DType before = x.dtype();
  return record("cast", x.value().to(dtype), {x},
                [before](const Grads& dy, const Needs&) -> Grads { return {dy[0].to(before)}; });
}

Tensor constant(const std::vector<double>& values, DType dtype, Device device) {
  using Key = std::tuple<std::vector<double>, DType, DeviceKind, int>;
  static std::mutex mutex;
  static auto* const known = new std::map<Key, Tensor>;  // outlives the arenas' users
  const std::lock_guard lock(mutex);
  Tensor& t = (*known)[Key{values, dtype, device.kind, device.index}];
  if (!t.defined()) {
    const OutsideGraph kept(device);
    t = Tensor::from(values, {static_cast<int64_t>(values.size())}).to(dtype).to(device);
  }
  return t;
}

Var patchify(const Var& images, int64_t patch, const std::vector<double>& mean, const std::vector<double>& std,
             DType patches) {
  const char* op = "patchify";
  check_defined(op, "images", images);
  const Tensor in = dense(images);
  TAUT_CHECK(in.ndim() == 4, "[patchify] expected images (b, c, h, w), got {}", to_string(in.shape()));
  const PatchShape s{in.size(0), in.size(1), in.size(2), in.size(3), patch};
  TAUT_CHECK(patch >= 1 && s.h % patch == 0 && s.w % patch == 0,
             "[patchify] expected a patch that divides {} x {}, got {}", s.h, s.w, patch);
  TAUT_CHECK(mean.size() == static_cast<size_t>(s.c) && std.size() == static_cast<size_t>(s.c),
             "[patchify] expected {} means and deviations, got {} and {}", s.c, mean.size(), std.size());
  const Tensor m = constant(mean, in.dtype(), in.device()), d = constant(std, in.dtype(), in.device());
  TAUT_CHECK(real_of(patches) == in.dtype(), "[patchify] expected images {} for patches {}, got {}",
             name(real_of(patches)), name(patches), name(in.dtype()));
  Tensor out = Tensor::empty({s.b, s.n(), s.c * patch * patch}, patches, in.device());
  on_stored(patches, op, [&]<class T>() {
    ON_DEVICE(in.device(), patchify_forward<T>(stream_of(in), in.data<Real<T>>(), m.data<Real<T>>(), d.data<Real<T>>(),
                                               out.data<T>(), s));
  });
  return record(op, out, {images}, [s, d](const Grads& dy, const Needs&) -> Grads {
    const Tensor g = dy[0].contiguous();
    Tensor dx = empty_real(g, {s.b, s.c, s.h, s.w});
    on_stored(g.dtype(), "patchify", [&]<class T>() {
      ON_DEVICE(g.device(), patchify_backward<T>(stream_of(g), g.data<T>(), d.data<Real<T>>(), dx.data<Real<T>>(), s));
    });
    return {dx};
  });
}

Var patchify(const Var& images, const ImagePatches& how) {
  return patchify(images, how.patch, how.mean, how.std, how.dtype);
}

Var patchify(const Var& images, int64_t patch, const std::vector<double>& mean, const std::vector<double>& std) {
  check_defined("patchify", "images", images);
  return patchify(images, patch, mean, std, images.dtype());
}

Var assemble_tokens(const Var& patches, const Var& cls_given, const Var& positions_given) {
  const char* op = "assemble_tokens";
  check_defined(op, "patches", patches);
  const Var cls = rounded(cls_given, patches), positions = rounded(positions_given, patches);
  check_matches(op, "cls", cls, patches);
  check_matches(op, "positions", positions, patches);
  const Tensor in = dense(patches), c = dense(cls), p = dense(positions);
  TAUT_CHECK(in.ndim() == 3, "[assemble_tokens] expected patches (b, n, d), got {}", to_string(in.shape()));
  const int64_t b = in.size(0), n = in.size(1), d = in.size(2);
  TAUT_CHECK(c.numel() == d && p.numel() == (n + 1) * d,
             "[assemble_tokens] expected 'cls' ({}) and 'positions' ({}, {}), got {} and {}", d, n + 1, d,
             to_string(c.shape()), to_string(p.shape()));
  Tensor out = empty_as(in, {b, n + 1, d});
  on_stored(in.dtype(), op, [&]<class T>() {
    ON_DEVICE(in.device(), assemble_tokens_forward<T>(stream_of(in), in.data<T>(), c.data<T>(), p.data<T>(),
                                                      out.data<T>(), b, n, d));
  });
  return record(op, out, {patches, cls, positions},
                [=, in_shape = in.shape(), c_shape = c.shape(), p_shape = p.shape()](const Grads& dy,
                                                                                     const Needs& needs) -> Grads {
                  const Tensor g = dy[0].contiguous();
                  Grads dx(3);
                  if (needs[0]) dx[0] = empty_as(g, in_shape);
                  if (needs[1]) dx[1] = empty_as(g, c_shape);
                  if (needs[2]) dx[2] = empty_as(g, p_shape);
                  on_stored(g.dtype(), "assemble_tokens", [&]<class T>() {
                    ON_DEVICE(g.device(),
                              assemble_tokens_backward<T>(stream_of(g), g.data<T>(), optional_data<T>(dx[0]),
                                                          optional_data<T>(dx[1]), optional_data<T>(dx[2]), b, n, d));
                  });
                  return dx;
                });
}

}  // namespace taut::ops
