// Differentiable operations on vars. Each checks its inputs, allocates, calls kernels on the tensors' device and
// records one node. Tensors are row-major and of one dtype unless said otherwise: f32,
// f64 or bf16 (computed in f32, stored rounded; parameters may stay f32 and are rounded where they are read); errors
// are Error(kUsage) with the op's name. An undefined Var stands for an absent optional input. One file per family in
// autograd/ops/.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "autograd/var.h"
#include "kernels/hw.h"
#include "tensor/precision.h"

namespace taut {

std::string to_string(HW v);  // "2", or "2x1" where the two differ

}  // namespace taut

namespace taut::ops {

// ---- pointwise.cc: NumPy broadcasting for the binary ones -----------------------------------------------------------
Var add(const Var& a, const Var& b);
Var sub(const Var& a, const Var& b);
Var mul(const Var& a, const Var& b);
Var div(const Var& a, const Var& b);
Var exp(const Var& x);
Var log(const Var& x);
Var sqrt(const Var& x);
Var square(const Var& x);
Var tanh(const Var& x);
Var sigmoid(const Var& x);
Var relu(const Var& x);       // gradient 0 at 0
Var gelu_erf(const Var& x);   // x Phi(x), exact (Hendrycks and Gimpel, 2016)
Var gelu_tanh(const Var& x);  // its tanh approximation
Var silu(const Var& x);
Var scale(const Var& x, double factor);
Var bias_gelu(const Var& x, const Var& bias);  // gelu_erf(x + bias), bias (n) over the last dimension

// ---- reduce.cc ------------------------------------------------------------------------------------------------------
Var sum(const Var& x);   // all elements -> shape ()
Var mean(const Var& x);  // all elements -> shape ()
Var sum(const Var& x, int64_t dim, bool keep_dim = false);

// ---- matmul.cc ------------------------------------------------------------------------------------------------------

// op(a) (..., m, k) times op(b) (..., k, n) -> (..., m, n); the leading dimensions are equal, or b has none.
Var matmul(const Var& a, const Var& b, bool transpose_a = false, bool transpose_b = false);
// x (..., in) wT + bias + residual; w (out, in), bias (out) and residual (..., out) optional.
// With Precision::kTF32 the factors of f32 products are rounded, of all passes.
Var linear(const Var& x, const Var& w, const Var& bias = {}, const Var& residual = {},
           Precision precision = Precision::kF32);
// gelu_erf(x wT + bias).
Var linear_gelu(const Var& x, const Var& w, const Var& bias, Precision precision = Precision::kF32);

// ---- low_rank.cc ----------------------------------------------------------------------------------------------------

// LoRA (Hu et al., 2021): x wT + bias + scale (x aT) bT. With several pairs, w's rows are cut into as many equal blocks
// and pair g adapts block g (q, k and v of a fused projection). a[g] (r, in), b[g] (out / groups, r). An undefined a[g]
// and b[g] leave their block alone.
Var low_rank(const Var& x, const Var& w, const Var& bias, const std::vector<Var>& a, const std::vector<Var>& b,
             double scale, Precision precision = Precision::kF32);

// ---- phm.cc ---------------------------------------------------------------------------------------------------------

// Parametrised hypercomplex multiplication (Zhang et al., 2021), factored as in Compacter (Karimi Mahabadi et al.,
// 2021): y = x H + bias, H = sum_i kron(rule[i], left[i] right[i]), never built. x (..., in), rule (n, n, n), left (n,
// in/n, rank), right (n, rank, out/n), bias (out) optional.
Var phm_linear(const Var& x, const Var& rule, const Var& left, const Var& right, const Var& bias = {});

// ---- softmax.cc, cross_entropy.cc -----------------------------------------------------------------------------------
Var softmax(const Var& x, int64_t dim = -1);
Var log_softmax(const Var& x, int64_t dim = -1);
enum class Reduction { kMean, kSum, kNone };
// Cross-entropy of logits (rows, classes) with labels (rows) i64; smoothing puts label_smoothing / classes on every
// class. Shape () or, unreduced, (rows), in f32 for bf16 logits. Throws Error(kBadData) on a label outside [0,
// classes).
Var cross_entropy(const Var& logits, const Tensor& labels, double label_smoothing = 0,
                  Reduction reduction = Reduction::kMean);

// ---- norm.cc --------------------------------------------------------------------------------------------------------

// (x - mean) / sqrt(var + eps) * weight + bias over the last dimension, biased variance (Ba et al., 2016).
Var layer_norm(const Var& x, const Var& weight, const Var& bias, double eps);
// {h + r, layer_norm(h + r)} in one pass over memory.
std::pair<Var, Var> residual_layer_norm(const Var& h, const Var& r, const Var& weight, const Var& bias, double eps);

// ---- batch_norm.cc --------------------------------------------------------------------------------------------------

// (x - mean) / sqrt(var + eps) * weight + bias over all dimensions but the last (Ioffe and Szegedy, 2015), + residual
// if that is defined, then a ReLU if `relu`. Training: statistics of the batch, biased variance; the running ones move
// by `momentum`, with the unbiased variance, as PyTorch's, in place, so that a step may be recorded (kernels/graph.h);
// throws Error(kUsage) for fewer than two values a channel. Evaluation: the running ones. x and residual (..., c),
// everything else (c).
Var batch_norm(const Var& x, const Var& weight, const Var& bias, Tensor running_mean, Tensor running_var, bool training,
               double momentum, double eps, const Var& residual = {}, bool relu = false);

// ---- pool.cc: images (n, h, w, c) -----------------------------------------------------------------------------------

// Windows of kernel.h x kernel.w, sizes rounded down, as PyTorch; max pads with -infinity and its gradient goes to the
// first pixel that has the greatest value; avg pads with zeros that count, unless `count_padding` is off. stride = 0:
// the kernel's size. padding <= kernel / 2.
Var max_pool(const Var& x, HW kernel, HW stride = 0, HW padding = 0);
Var avg_pool(const Var& x, HW kernel, HW stride = 0, HW padding = 0, bool count_padding = true);
// The mean over [floor(i h / out_h), ceil((i + 1) h / out_h)) for output row i, columns likewise; 1 x 1: global
// pooling.
Var adaptive_avg_pool(const Var& x, int64_t out_h, int64_t out_w);

// ---- conv2d.cc ------------------------------------------------------------------------------------------------------

struct Conv2d {
  HW stride = 1, padding = 0, dilation = 1;
  int64_t groups = 1;
  HW extra = 0;  // more padding at the bottom and on the right
  Precision precision = Precision::kF32;
};
// PyTorch's padding "same", for stride 1: the output is as large as the image; of an odd sum the greater half is
// behind.
Conv2d same_padding(HW kernel, HW dilation = 1, int64_t groups = 1);
// Convolution of images x (n, h, w, c_in) with w (c_out, c_in / groups, kh, kw), PyTorch's layout of weights, + bias
// (c_out) if defined -> (n, out_h, out_w, c_out). Images (n, c, h, w) are brought here by permute(x, {0, 2, 3, 1}).
Var conv2d(const Var& x, const Var& w, const Var& bias = {}, const Conv2d& how = {});

// ---- attention.cc ---------------------------------------------------------------------------------------------------

// softmax(scale q kT) v for each image and head; qkv (b, t, 3, heads, d) -> (b, queries, heads * d) for the first
// `queries` tokens (0: all t). Keys and values are those of all t tokens.
Var attention(const Var& qkv, double scale, int64_t queries = 0);

// ---- layout.cc ------------------------------------------------------------------------------------------------------
Var reshape(const Var& x, Shape shape);  // one size may be -1
Var permute(const Var& x, const std::vector<int64_t>& dims);
Var concat(const std::vector<Var>& xs, int64_t dim);
Var slice(const Var& x, int64_t dim, int64_t start, int64_t length);
Var cast(const Var& x, DType dtype);  // floating to floating
// Images (b, c, h, w) to (b, (h/p)(w/p), c p p), normalised: (x - mean[c]) / std[c]; columns in the order (c, row,
// column). `patches` may be bf16 for images in f32.
Var patchify(const Var& images, int64_t patch, const std::vector<double>& mean, const std::vector<double>& std,
             DType patches);
Var patchify(const Var& images, int64_t patch, const std::vector<double>& mean, const std::vector<double>& std);
// A vector of few numbers that do not change, on a device: made once and kept, so that a step that is recorded
// (kernels/graph.h) may ask for it.
Tensor constant(const std::vector<double>& values, DType dtype, Device device);
// The same of what a model says of its input.
struct ImagePatches {
  int64_t patch = 1;
  std::vector<double> mean, std;
  DType dtype = DType::kF32;
};
Var patchify(const Var& images, const ImagePatches& how);
// Token sequence of a ViT (Dosovitskiy et al., 2021, eq. 1): concat(cls, patches) + positions. patches (b, n, d), cls
// (d), positions (n + 1, d), any leading ones -> (b, n + 1, d).
Var assemble_tokens(const Var& patches, const Var& cls, const Var& positions);

}  // namespace taut::ops
