// The CPU half of every kernel over BF16, and of products and convolutions over TF32: bf16 elements become floats, the
// float kernel runs, its results are rounded once. So a bf16 run on the CPU costs more than an f32 run; it is there to
// tell what the mode does to a result without a GPU.
#include "kernels/bf16.h"

#include "kernels/arena.h"
#include "kernels/attention.h"
#include "kernels/conv2d.h"
#include "kernels/convert.h"
#include "kernels/cross_entropy.h"
#include "kernels/layout.h"
#include "kernels/matmul.h"
#include "kernels/norm.h"
#include "kernels/pgd.h"
#include "kernels/pointwise.h"
#include "kernels/reduce.h"
#include "kernels/softmax.h"

namespace taut::TAUT_CPU {
namespace {

// Floats for the time of a call.
class Floats {
 public:
  explicit Floats(int64_t n) : p_(static_cast<float*>(arena_allocate(static_cast<size_t>(n) * sizeof(float)))), n_(n) {}
  // Those of n bf16 elements; null for null.
  Floats(const BF16* from, int64_t n) : n_(n) {
    if (from == nullptr) return;
    p_ = static_cast<float*>(arena_allocate(static_cast<size_t>(n) * sizeof(float)));
    cast<BF16, float>({}, from, p_, n);
  }
  ~Floats() {
    if (p_ != nullptr) arena_release(p_);
  }
  Floats(const Floats&) = delete;
  Floats& operator=(const Floats&) = delete;

  operator float*() const { return p_; }
  void round_to(BF16* to) const { cast<float, BF16>({}, p_, to, n_); }

 private:
  float* p_ = nullptr;
  int64_t n_;
};
// Floats for results that may not be wanted.
class Wanted {
 public:
  Wanted(BF16* to, int64_t n) : to_(to), floats_(to != nullptr ? n : 0) {}
  operator float*() const { return to_ != nullptr ? static_cast<float*>(floats_) : nullptr; }
  void round() const {
    if (to_ != nullptr) floats_.round_to(to_);
  }

 private:
  BF16* to_;
  Floats floats_;
};

float loaded(BF16 x) { return to_float(x); }
float loaded(TF32 x) { return to_tf32(x.value); }
BF16 stored(float x, BF16) { return to_bf16(x); }
TF32 stored(float x, TF32) { return {x}; }

// A matrix (rows, cols), `ld` apart in memory, as floats without gaps, and back.
template <class T>
void gather(const T* from, int64_t rows, int64_t cols, int64_t ld, float* to) {
  for (int64_t i = 0; i < rows; ++i)
    for (int64_t j = 0; j < cols; ++j) to[i * cols + j] = loaded(from[i * ld + j]);
}
// A residual is added as it is, not as a factor of a product.
void gather_whole(const BF16* from, int64_t rows, int64_t cols, int64_t ld, float* to) {
  gather(from, rows, cols, ld, to);
}
void gather_whole(const TF32* from, int64_t rows, int64_t cols, int64_t ld, float* to) {
  for (int64_t i = 0; i < rows; ++i)
    for (int64_t j = 0; j < cols; ++j) to[i * cols + j] = from[i * ld + j].value;
}
template <class T>
void scatter(const float* from, int64_t rows, int64_t cols, int64_t ld, T* to) {
  for (int64_t i = 0; i < rows; ++i)
    for (int64_t j = 0; j < cols; ++j) to[i * ld + j] = stored(from[i * cols + j], T{});
}

}  // namespace

// ---- matrix products ------------------------------------------------------------------------------------------------

namespace {

template <class T>
void rounded_matmul(Stream stream, const T* a, const T* b, const T* bias, const T* residual, T* c, T* pre,
                    const MatmulShape& shape, Epilogue epilogue) {
  MatmulShape one = shape;
  one.batch = 1;
  one.lda = shape.transpose_a ? shape.m : shape.k;
  one.ldb = shape.transpose_b ? shape.k : shape.n;
  one.ldc = shape.n;
  const int64_t rows_a = shape.transpose_a ? shape.k : shape.m, rows_b = shape.transpose_b ? shape.n : shape.k;
  const Floats fa(shape.m * shape.k), fb(shape.k * shape.n), fc(shape.m * shape.n),
      fbias(bias != nullptr ? shape.n : 0);
  const Floats fpre(pre != nullptr ? shape.m * shape.n : 0), fresidual(residual != nullptr ? shape.m * shape.n : 0);
  if (bias != nullptr) gather_whole(bias, 1, shape.n, shape.n, fbias);
  for (int64_t item = 0; item < shape.batch; ++item) {
    gather(a + item * shape.stride_a, rows_a, one.lda, shape.lda, fa);
    if (item == 0 || shape.stride_b != 0) gather(b + item * shape.stride_b, rows_b, one.ldb, shape.ldb, fb);
    if (residual != nullptr) gather_whole(residual + item * shape.stride_c, shape.m, shape.n, shape.ldc, fresidual);
    matmul<float>(stream, fa, fb, fbias, fresidual, fc, pre != nullptr ? static_cast<float*>(fpre) : nullptr, one,
                  epilogue);
    scatter(fc, shape.m, shape.n, shape.ldc, c + item * shape.stride_c);
    if (pre != nullptr) scatter(fpre, shape.m, shape.n, shape.ldc, pre + item * shape.stride_c);
  }
}

}  // namespace

#define TAUT_PRODUCTS(T)                                                                                               \
  template <>                                                                                                          \
  void matmul<T>(Stream stream, const T* a, const T* b, const T* bias, const T* residual, T* c, T* pre,                \
                 const MatmulShape& shape, Epilogue epilogue) {                                                        \
    rounded_matmul<T>(stream, a, b, bias, residual, c, pre, shape, epilogue);                                          \
  }                                                                                                                    \
  template <>                                                                                                          \
  void linear_forward<T>(Stream stream, const T* x, const T* w, const T* bias, const T* residual, T* y, T* pre,        \
                         int64_t rows, int64_t in, int64_t out, Epilogue epilogue) {                                   \
    matmul<T>(stream, x, w, bias, residual, y, pre,                                                                    \
              {.m = rows, .n = out, .k = in, .transpose_b = true, .lda = in, .ldb = in, .ldc = out}, epilogue);        \
  }                                                                                                                    \
  template <>                                                                                                          \
  void linear_backward_input<T>(Stream stream, const T* dy, const T* w, T* dx, int64_t rows, int64_t in,               \
                                int64_t out) {                                                                         \
    matmul<T>(stream, dy, w, nullptr, nullptr, dx, nullptr,                                                            \
              {.m = rows, .n = in, .k = out, .lda = out, .ldb = in, .ldc = in}, Epilogue::kNone);                      \
  }                                                                                                                    \
  template <>                                                                                                          \
  void linear_backward_weight<T>(Stream stream, const T* dy, const T* x, T* dw, int64_t rows, int64_t in,              \
                                 int64_t out) {                                                                        \
    matmul<T>(stream, dy, x, nullptr, nullptr, dw, nullptr,                                                            \
              {.m = out, .n = in, .k = rows, .transpose_a = true, .lda = out, .ldb = in, .ldc = in}, Epilogue::kNone); \
  }
TAUT_PRODUCTS(BF16)
TAUT_PRODUCTS(TF32)
#undef TAUT_PRODUCTS

// ---- convolutions ---------------------------------------------------------------------------------------------------

namespace {

template <class T>
void rounded_conv2d_forward(Stream stream, const T* x, const T* w, const T* bias, T* y, const ConvShape& s) {
  const int64_t in = s.n * s.h * s.w * s.c_in, out = s.rows_out() * s.c_out;
  const Floats fx(in), fw(s.weights()), fbias(bias != nullptr ? s.c_out : 0), fy(out);
  gather(x, 1, in, in, fx);
  gather(w, 1, s.weights(), s.weights(), fw);
  if (bias != nullptr) gather_whole(bias, 1, s.c_out, s.c_out, fbias);
  conv2d_forward<float>(stream, fx, fw, bias != nullptr ? static_cast<float*>(fbias) : nullptr, fy, s);
  scatter(fy, 1, out, out, y);
}
template <class T>
void rounded_conv2d_backward_input(Stream stream, const T* dy, const T* w, T* dx, const ConvShape& s) {
  const int64_t in = s.n * s.h * s.w * s.c_in, out = s.rows_out() * s.c_out;
  const Floats fdy(out), fw(s.weights()), fdx(in);
  gather(dy, 1, out, out, fdy);
  gather(w, 1, s.weights(), s.weights(), fw);
  conv2d_backward_input<float>(stream, fdy, fw, fdx, s);
  scatter(fdx, 1, in, in, dx);
}
template <class T>
void rounded_conv2d_backward_weight(Stream stream, const T* dy, const T* x, T* dw, const ConvShape& s) {
  const int64_t in = s.n * s.h * s.w * s.c_in, out = s.rows_out() * s.c_out;
  const Floats fdy(out), fx(in), fdw(s.weights());
  gather(dy, 1, out, out, fdy);
  gather(x, 1, in, in, fx);
  conv2d_backward_weight<float>(stream, fdy, fx, fdw, s);
  scatter(fdw, 1, s.weights(), s.weights(), dw);
}

}  // namespace

#define TAUT_CONVOLUTIONS(T)                                                                                   \
  template <>                                                                                                  \
  void conv2d_forward<T>(Stream stream, const T* x, const T* w, const T* bias, T* y, const ConvShape& shape) { \
    rounded_conv2d_forward<T>(stream, x, w, bias, y, shape);                                                   \
  }                                                                                                            \
  template <>                                                                                                  \
  void conv2d_backward_input<T>(Stream stream, const T* dy, const T* w, T* dx, const ConvShape& shape) {       \
    rounded_conv2d_backward_input<T>(stream, dy, w, dx, shape);                                                \
  }                                                                                                            \
  template <>                                                                                                  \
  void conv2d_backward_weight<T>(Stream stream, const T* dy, const T* x, T* dw, const ConvShape& shape) {      \
    rounded_conv2d_backward_weight<T>(stream, dy, x, dw, shape);                                               \
  }
TAUT_CONVOLUTIONS(BF16)
TAUT_CONVOLUTIONS(TF32)
#undef TAUT_CONVOLUTIONS

// ---- attention, norms, softmax, cross-entropy -----------------------------------------------------------------------

template <>
void attention_forward<BF16>(Stream stream, const BF16* qkv, BF16* out, float* stats, const AttentionShape& s) {
  const Floats in(qkv, s.b * s.t * 3 * s.heads * s.d), result(s.b * s.tq * s.heads * s.d);
  attention_forward<float>(stream, in, result, stats, s);
  result.round_to(out);
}
template <>
void attention_backward<BF16>(Stream stream, const BF16* qkv, const float* stats, const BF16* dout, BF16* dqkv,
                              const AttentionShape& s) {
  const int64_t n = s.b * s.t * 3 * s.heads * s.d;
  const Floats in(qkv, n), upstream(dout, s.b * s.tq * s.heads * s.d), result(n);
  attention_backward<float>(stream, in, stats, upstream, result, s);
  result.round_to(dqkv);
}

template <>
void layer_norm_forward<BF16>(Stream stream, const BF16* x, const BF16* w, const BF16* b, BF16* y, float* mean,
                              float* rstd, int64_t rows, int64_t cols, float eps) {
  const Floats in(x, rows * cols), fw(w, cols), fb(b, cols), out(rows * cols);
  layer_norm_forward<float>(stream, in, fw, fb, out, mean, rstd, rows, cols, eps);
  out.round_to(y);
}
template <>
void residual_layer_norm_forward<BF16>(Stream stream, const BF16* x, const BF16* r, const BF16* w, const BF16* b,
                                       BF16* h, BF16* y, float* mean, float* rstd, int64_t rows, int64_t cols,
                                       float eps) {
  const int64_t n = rows * cols;
  const Floats sum(x, n), more(r, n);
  axpy<float>(stream, 1, more, sum, n);
  sum.round_to(h);  // the norm is of the rounded sum: what backward will see
  layer_norm_forward<BF16>(stream, h, w, b, y, mean, rstd, rows, cols, eps);
}
template <>
void layer_norm_backward_input<BF16>(Stream stream, const BF16* dy, const BF16* x, const BF16* w, const float* mean,
                                     const float* rstd, const BF16* dh, BF16* dx, int64_t rows, int64_t cols) {
  const int64_t n = rows * cols;
  const Floats fdy(dy, n), fx(x, n), fw(w, cols), fdh(dh, n), out(n);
  layer_norm_backward_input<float>(stream, fdy, fx, fw, mean, rstd, fdh, out, rows, cols);
  out.round_to(dx);
}
template <>
void layer_norm_backward_weight<BF16>(Stream stream, const BF16* dy, const BF16* x, const float* mean,
                                      const float* rstd, BF16* dw, BF16* db, int64_t rows, int64_t cols) {
  const Floats fdy(dy, rows * cols), fx(x, rows * cols);
  const Wanted fdw(dw, cols), fdb(db, cols);
  layer_norm_backward_weight<float>(stream, fdy, fx, mean, rstd, fdw, fdb, rows, cols);
  fdw.round();
  fdb.round();
}

#define TAUT_SOFTMAX(name)                                                                                     \
  template <>                                                                                                  \
  void name##_forward<BF16>(Stream stream, const BF16* x, BF16* y, int64_t outer, int64_t n, int64_t inner) {  \
    const Floats in(x, outer* n* inner);                                                                       \
    name##_forward<float>(stream, in, in, outer, n, inner);                                                    \
    in.round_to(y);                                                                                            \
  }                                                                                                            \
  template <>                                                                                                  \
  void name##_backward<BF16>(Stream stream, const BF16* dy, const BF16* y, BF16* dx, int64_t outer, int64_t n, \
                             int64_t inner) {                                                                  \
    const Floats fdy(dy, outer*n*inner), fy(y, outer*n*inner);                                                 \
    name##_backward<float>(stream, fdy, fy, fdy, outer, n, inner);                                             \
    fdy.round_to(dx);                                                                                          \
  }
TAUT_SOFTMAX(softmax)
TAUT_SOFTMAX(log_softmax)
#undef TAUT_SOFTMAX

template <>
void cross_entropy_forward<BF16>(Stream stream, const BF16* x, const int64_t* labels, float* loss, int64_t rows,
                                 int64_t classes, float label_smoothing) {
  const Floats in(x, rows * classes);
  cross_entropy_forward<float>(stream, in, labels, loss, rows, classes, label_smoothing);
}
template <>
void cross_entropy_backward<BF16>(Stream stream, const BF16* x, const int64_t* labels, const float* dloss, float scale,
                                  BF16* dx, int64_t rows, int64_t classes, float label_smoothing) {
  const Floats in(x, rows * classes);
  cross_entropy_backward<float>(stream, in, labels, dloss, scale, in, rows, classes, label_smoothing);
  in.round_to(dx);
}

// ---- element by element, sums ---------------------------------------------------------------------------------------

template <>
void unary_forward<BF16>(Stream stream, Unary op, const BF16* x, BF16* y, int64_t n) {
  const Floats in(x, n);
  unary_forward<float>(stream, op, in, in, n);
  in.round_to(y);
}
template <>
void unary_backward<BF16>(Stream stream, Unary op, const BF16* dy, const BF16* x, const BF16* y, BF16* dx, int64_t n) {
  const Floats fdy(dy, n), fx(x, n), fy(y, n);
  unary_backward<float>(stream, op, fdy, fx, fy, fdy, n);
  fdy.round_to(dx);
}

namespace {

// Elements from the first to the last that an operand of a broadcast reads, and of the result.
int64_t extent(const BroadcastShape& shape, const int64_t (&stride)[BroadcastShape::kMaxDims]) {
  int64_t last = 0;
  for (int d = 0; d < shape.dims; ++d) {
    if (shape.size[d] == 0) return 0;
    last += (shape.size[d] - 1) * stride[d];
  }
  return last + 1;
}
int64_t count(const BroadcastShape& shape) {
  int64_t n = 1;
  for (int d = 0; d < shape.dims; ++d) n *= shape.size[d];
  return n;
}

}  // namespace

template <>
void binary_forward<BF16>(Stream stream, Binary op, const BF16* a, const BF16* b, BF16* y,
                          const BroadcastShape& shape) {
  const Floats fa(a, extent(shape, shape.stride_a)), fb(b, extent(shape, shape.stride_b)), out(count(shape));
  binary_forward<float>(stream, op, fa, fb, out, shape);
  out.round_to(y);
}
template <>
void binary_backward<BF16>(Stream stream, Binary op, const BF16* dy, const BF16* a, const BF16* b, BF16* da, BF16* db,
                           const BroadcastShape& shape) {
  const int64_t n = count(shape);
  const Floats fdy(dy, n), fa(a, extent(shape, shape.stride_a)), fb(b, extent(shape, shape.stride_b));
  const Wanted fda(da, n), fdb(db, n);
  binary_backward<float>(stream, op, fdy, fa, fb, fda, fdb, shape);
  fda.round();
  fdb.round();
}

template <>
void bias_gelu_forward<BF16>(Stream stream, const BF16* x, const BF16* bias, BF16* y, BF16* pre, int64_t rows,
                             int64_t cols) {
  const Floats in(x, rows * cols), fbias(bias, cols);
  const Wanted fpre(pre, rows * cols);
  bias_gelu_forward<float>(stream, in, fbias, in, fpre, rows, cols);
  in.round_to(y);
  fpre.round();
}
template <>
void bias_gelu_backward<BF16>(Stream stream, const BF16* dy, const BF16* x, const BF16* bias, BF16* dx, BF16* dbias,
                              int64_t rows, int64_t cols) {
  const Floats fdy(dy, rows * cols), fx(x, rows * cols), fbias(bias, cols);
  const Wanted fdbias(dbias, cols);
  bias_gelu_backward<float>(stream, fdy, fx, fbias, fdy, fdbias, rows, cols);
  fdy.round_to(dx);
  fdbias.round();
}

template <>
void scale<BF16>(Stream stream, float s, const BF16* x, BF16* y, int64_t n) {
  const Floats in(x, n);
  scale<float>(stream, s, in, in, n);
  in.round_to(y);
}
template <>
void axpy<BF16>(Stream stream, float s, const BF16* x, BF16* y, int64_t n) {
  const Floats fx(x, n), fy(y, n);
  axpy<float>(stream, s, fx, fy, n);
  fy.round_to(y);
}

template <>
void sum_columns<BF16>(Stream stream, const BF16* x, BF16* y, int64_t rows, int64_t cols) {
  const Floats in(x, rows * cols), out(cols);
  sum_columns<float>(stream, in, out, rows, cols);
  out.round_to(y);
}
template <>
void sum_to_shape<BF16>(Stream stream, const BF16* x, BF16* y, const SumShape& shape) {
  int64_t n = 1, kept = 1;
  for (int d = 0; d < shape.dims; ++d) {
    n *= shape.size[d];
    if (!shape.summed[d]) kept *= shape.size[d];
  }
  const Floats in(x, n), out(kept);
  sum_to_shape<float>(stream, in, out, shape);
  out.round_to(y);
}

// ---- patches and tokens ---------------------------------------------------------------------------------------------

template <>
void patchify_forward<BF16>(Stream stream, const float* images, const float* mean, const float* std, BF16* out,
                            const PatchShape& shape) {
  const Floats patches(shape.b * shape.c * shape.h * shape.w);
  patchify_forward<float>(stream, images, mean, std, patches, shape);
  patches.round_to(out);
}
template <>
void patchify_backward<BF16>(Stream stream, const BF16* dout, const float* std, float* dimages,
                             const PatchShape& shape) {
  const Floats patches(dout, shape.b * shape.c * shape.h * shape.w);
  patchify_backward<float>(stream, patches, std, dimages, shape);
}
template <>
void assemble_tokens_forward<BF16>(Stream stream, const BF16* patches, const BF16* cls, const BF16* pos, BF16* out,
                                   int64_t b, int64_t n, int64_t d) {
  const Floats fpatches(patches, b * n * d), fcls(cls, d), fpos(pos, (n + 1) * d), result(b * (n + 1) * d);
  assemble_tokens_forward<float>(stream, fpatches, fcls, fpos, result, b, n, d);
  result.round_to(out);
}
template <>
void assemble_tokens_backward<BF16>(Stream stream, const BF16* dout, BF16* dpatches, BF16* dcls, BF16* dpos, int64_t b,
                                    int64_t n, int64_t d) {
  const Floats fdout(dout, b * (n + 1) * d);
  const Wanted fpatches(dpatches, b * n * d), fcls(dcls, d), fpos(dpos, (n + 1) * d);
  assemble_tokens_backward<float>(stream, fdout, fpatches, fcls, fpos, b, n, d);
  fpatches.round();
  fcls.round();
  fpos.round();
}

// ---- attacks --------------------------------------------------------------------------------------------------------

template <>
void pgd_step_patches<BF16>(Stream stream, const float* x, const BF16* dpatches, const float* mean, const float* std,
                            float* adv, BF16* patches, const PatchShape& shape, float alpha, float eps) {
  const Floats both(dpatches, shape.b * shape.c * shape.h * shape.w);
  pgd_step_patches<float>(stream, x, both, mean, std, adv, both, shape, alpha, eps);
  both.round_to(patches);
}
template <>
void count_zeros<BF16>(Stream stream, const BF16* g, int64_t* zeros, int64_t samples, int64_t n) {
  count_zeros<float>(stream, Floats(g, samples * n), zeros, samples, n);
}

}  // namespace taut::TAUT_CPU
