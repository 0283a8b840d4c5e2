// Convolutions of images (n, h, w, c).
#include "kernels/conv2d.h"

#include "autograd/ops/op_util.h"
#include "kernels/reduce.h"

namespace taut {

std::string to_string(HW v) { return v.h == v.w ? fmt::format("{}", v.h) : fmt::format("{}x{}", v.h, v.w); }

}  // namespace taut

namespace taut::ops {
namespace {

ConvShape conv_shape(const Var& x, const Var& w, const Var& bias, const Conv2d& how) {
  check_defined("conv2d", "x", x);
  check_matches("conv2d", "w", w, x);
  TAUT_CHECK(x.value().ndim() == 4, "[conv2d] expected images 'x' (n, h, w, c), got {}", to_string(x.shape()));
  TAUT_CHECK(w.value().ndim() == 4, "[conv2d] expected weights 'w' (c_out, c_in / groups, kh, kw), got {}",
             to_string(w.shape()));
  TAUT_CHECK(how.stride.least() >= 1 && how.dilation.least() >= 1 && how.groups >= 1 && how.padding.least() >= 0 &&
                 how.extra.least() >= 0,
             "[conv2d] expected stride, dilation and groups >= 1 and padding >= 0, got {}, {}, {} and {}",
             to_string(how.stride), to_string(how.dilation), how.groups, to_string(how.padding));
  const ConvShape s{.n = x.size(0),
                    .h = x.size(1),
                    .w = x.size(2),
                    .c_in = x.size(3),
                    .c_out = w.size(0),
                    .kh = w.size(2),
                    .kw = w.size(3),
                    .stride = how.stride,
                    .padding = how.padding,
                    .dilation = how.dilation,
                    .groups = how.groups,
                    .extra = how.extra};
  TAUT_CHECK(s.h >= 1 && s.w >= 1 && s.c_in >= 1 && w.value().numel() >= 1,
             "[conv2d] expected sizes of at least 1 (but for the batch), got 'x' {} and 'w' {}", to_string(x.shape()),
             to_string(w.shape()));
  TAUT_CHECK(s.c_in % s.groups == 0 && s.c_out % s.groups == 0,
             "[conv2d] expected groups that divide {} input and {} output channels, got {}", s.c_in, s.c_out, s.groups);
  TAUT_CHECK(w.size(1) == s.group_in(),
             "[conv2d] expected 'w' of shape (c_out, {}, kh, kw) for {} input channels in {} groups, got {}; hint: "
             "images are (n, h, w, c)",
             s.group_in(), s.c_in, s.groups, to_string(w.shape()));
  const ConvAxis rows = s.rows(), columns = s.columns();
  TAUT_CHECK(rows.padded() >= rows.reach() && columns.padded() >= columns.reach(),
             "[conv2d] expected an image of at least {} x {} with its padding, got {} x {}; hint: the kernel is larger "
             "than the image",
             rows.reach(), columns.reach(), rows.padded(), columns.padded());
  if (bias.defined()) {
    check_matches("conv2d", "bias", bias, x);
    check_shape("conv2d", "bias", bias, {s.c_out});
  }
  return s;
}

}  // namespace

Conv2d same_padding(HW kernel, HW dilation, int64_t groups) {
  const HW all(dilation.h * (kernel.h - 1), dilation.w * (kernel.w - 1));
  return {.padding = {all.h / 2, all.w / 2}, .dilation = dilation, .groups = groups, .extra = {all.h % 2, all.w % 2}};
}

Var conv2d(const Var& x, const Var& w_given, const Var& bias_given, const Conv2d& how) {
  const Var w = rounded(w_given, x), bias = rounded(bias_given, x);
  const char* op = "conv2d";
  const ConvShape s = conv_shape(x, w, bias, how);
  const Tensor in = dense(x), weight = dense(w);
  Tensor b;
  if (bias.defined()) b = dense(bias);
  Tensor out = empty_as(in, {s.n, s.out_h(), s.out_w(), s.c_out});
  const Precision precision = how.precision;
  on_factors(in.dtype(), precision, op, [&]<class T>() {
    ON_DEVICE(in.device(), conv2d_forward<T>(stream_of(in), elements<T>(in), elements<T>(weight),
                                             optional_elements<T>(b), elements<T>(out), s));
  });
  const Needs wanted = needs_of({x, w, bias});
  if (!any(wanted)) return Var(out);
  Saved saved_x, saved_w;  // a frozen weight's input is not kept
  if (wanted[1]) saved_x = Saved(op, "x", in);
  if (wanted[0]) saved_w = Saved(op, "w", weight);
  return record(
      op, out, {x, w, bias},
      [=, x_shape = in.shape(), w_shape = weight.shape()](const Grads& dy, const Needs& needs) -> Grads {
        const Tensor g = dy[0].contiguous();
        Tensor dx, dw, db;
        on_factors(g.dtype(), precision, "conv2d", [&]<class T>() {
          const T* up = elements<T>(g);
          if (needs[0]) {
            dx = empty_as(g, x_shape);
            ON_DEVICE(g.device(),
                      conv2d_backward_input<T>(stream_of(g), up, elements<T>(saved_w.get()), elements<T>(dx), s));
          }
          if (needs[1]) {
            dw = empty_as(g, w_shape);
            ON_DEVICE(g.device(),
                      conv2d_backward_weight<T>(stream_of(g), up, elements<T>(saved_x.get()), elements<T>(dw), s));
          }
        });
        if (needs[2]) {
          db = empty_as(g, {s.c_out});
          on_stored(g.dtype(), "conv2d", [&]<class T>() {
            ON_DEVICE(g.device(), sum_columns<T>(stream_of(g), g.data<T>(), db.data<T>(), s.rows_out(), s.c_out));
          });
        }
        return {dx, dw, db};
      });
}

}  // namespace taut::ops
