// Cases of conv2d: images (n, h, w, c), weights (c_out, c_in / groups, kh, kw).
#include "tests/ops/families.h"

namespace taut::cases {
namespace {

struct Convolution {
  Shape x;  // n, h, w, c_in
  Shape w;  // c_out, c_in / groups, kh, kw
  ops::Conv2d how = {};
  bool bias = false;
  bool winograd = false;
};

void add_row(CaseList& list, const Convolution& row) {
  const int64_t n = row.x[0], h = row.x[1], w = row.x[2], c_in = row.x[3];
  const int64_t c_out = row.w[0], in = row.w[1], kh = row.w[2], kw = row.w[3];
  const ops::Conv2d how = row.how;
  const auto size = [](int64_t image, int64_t padding, int64_t reach, int64_t stride) {
    return (image + padding - reach) / stride + 1;
  };
  const int64_t out_h = size(h, 2 * how.padding.h + how.extra.h, how.dilation.h * (kh - 1) + 1, how.stride.h);
  const int64_t out_w = size(w, 2 * how.padding.w + how.extra.w, how.dilation.w * (kw - 1) + 1, how.stride.w);
  const int64_t out = c_out / how.groups;
  const bool winograd = row.winograd, tf32 = how.precision == Precision::kTF32;
  std::vector<Input> inputs{{.shape = row.x}, {.shape = row.w}};
  if (row.bias) inputs.push_back({.shape = {c_out}});
  std::string name = fmt::format("{},{}", shape_name(row.x), shape_name(row.w));
  if (how.stride != 1) name += "-stride" + to_string(how.stride);
  if (how.padding != 0) name += "-pad" + to_string(how.padding);
  if (how.extra != 0) name += "-extra" + to_string(how.extra);
  if (how.dilation != 1) name += "-dilation" + to_string(how.dilation);
  if (how.groups != 1) name += fmt::format("-groups{}", how.groups);
  if (row.bias) name += "-bias";
  if (tf32) name += "-tf32";
  list.add({.op = "conv2d",
            .name = name,
            .inputs = inputs,
            .run =
                [=](const std::vector<Var>& v) {
                  return std::vector<Var>{ops::conv2d(v[0], v[1], row.bias ? v[2] : Var(), how)};
                },
            .oracle = [=]<class T>(const Arrays<T>& v) -> Arrays<T> {
              Array<T> y({n, out_h, out_w, c_out});
              const T outside(0);
              for (int64_t at = 0; at < y.numel(); ++at) {
                const int64_t o = at % c_out, j = at / c_out % out_w, i = at / c_out / out_w % out_h;
                const int64_t image = at / c_out / out_w / out_h, first = o / out * in;
                T sum(0);
                for (int64_t r = 0; r < kh; ++r) {
                  for (int64_t s = 0; s < kw; ++s) {
                    const int64_t iy = i * how.stride.h - how.padding.h + r * how.dilation.h;
                    const int64_t ix = j * how.stride.w - how.padding.w + s * how.dilation.w;
                    const bool inside = iy >= 0 && iy < h && ix >= 0 && ix < w;
                    for (int64_t c = 0; c < in; ++c)
                      sum += (inside ? v[0][((image * h + iy) * w + ix) * c_in + first + c] : outside) *
                             v[1][((o * in + c) * kh + r) * kw + s];
                  }
                }
                y[at] = row.bias ? sum + v[2][o] : sum;
              }
              return {y};
            },
            // In f32 its transforms round whole numbers too, and spread a NaN over a tile.
            .exact = !winograd,
            .winograd = winograd,
            .bf16 = !tf32,
            .tf32 = tf32,
            .zeros = n == 0,
            .specials = winograd ? Specials::kNone : Specials::kAll,
            .flops = 2.0 * static_cast<double>(n * out_h * out_w * c_out * in * kh * kw)});
}

}  // namespace

void add_conv2d_cases(CaseList& list) {
  add_row(list, {{1, 1, 1, 1}, {1, 1, 1, 1}, {}, true});
  add_row(list, {{2, 6, 6, 8}, {5, 8, 1, 1}, {}, true});
  add_row(list, {{2, 7, 5, 4}, {6, 4, 3, 3}, {.padding = 1}, true});
  add_row(list, {{2, 7, 5, 4}, {6, 4, 3, 3}, {.padding = 1}});
  add_row(list, {{2, 8, 7, 4}, {6, 4, 3, 3}, {.stride = 2, .padding = 1}, true});
  add_row(list, {{1, 17, 15, 3}, {8, 3, 7, 7}, {.stride = 2, .padding = 3}});
  add_row(list, {{2, 9, 9, 5}, {4, 5, 3, 3}, {.padding = 2, .dilation = 2}, true});
  add_row(list, {{1, 11, 10, 5}, {4, 5, 3, 2}, {.stride = 3, .padding = 1, .dilation = 2}});
  add_row(list, {{1, 9, 10, 6}, {4, 6, 3, 3}, {.stride = 2, .padding = 2, .dilation = 2}});
  add_row(list, {{2, 7, 7, 6}, {9, 2, 3, 3}, {.padding = 1, .groups = 3}, true});
  add_row(list, {{1, 6, 5, 34}, {36, 17, 2, 3}, {.stride = 2, .padding = 1, .groups = 2}});
  add_row(list, {{2, 8, 7, 5}, {5, 1, 3, 3}, {.padding = 1, .groups = 5}, true});
  add_row(list, {{1, 8, 9, 35}, {35, 1, 3, 3}, {.stride = 2, .padding = 1, .groups = 35}});
  add_row(list, {{1, 9, 9, 16}, {16, 1, 5, 4}, {.padding = 3, .dilation = 2, .groups = 16}, true});
  add_row(list, {{1, 6, 7, 3}, {6, 1, 3, 3}, {.padding = 1, .groups = 3}, true});  // two outputs a channel
  add_row(list, {{2, 12, 12, 3}, {10, 3, 4, 4}, {.stride = 4}, true});             // patches
  add_row(list, {{1, 7, 7, 2}, {3, 2, 2, 2}, {.stride = 3}});                      // pixels that no window reads
  add_row(list, {{2, 9, 7, 18}, {33, 18, 1, 1}, {.stride = 2}});
  add_row(list, {{1, 3, 2, 3}, {2, 3, 3, 5}, {.padding = 4}});                  // windows that see only padding
  add_row(list, {{1, 2, 3, 43}, {19, 43, 3, 3}, {.stride = 2, .padding = 1}});  // 387 products: one past a block
  add_row(list, {{0, 5, 5, 3}, {4, 3, 3, 3}, {.padding = 1}, true});
  // Channels that tensor cores take 16 bytes at a time, in groups and with a stride; and, as tf32, one that they
  // cannot.
  add_row(list, {{2, 9, 8, 16}, {24, 16, 3, 3}, {.stride = 2, .padding = 1}, true});
  add_row(list, {{1, 8, 9, 32}, {48, 16, 3, 3}, {.padding = 1, .groups = 2}});
  add_row(list, {{2, 9, 8, 16}, {24, 16, 3, 3}, {.stride = 2, .padding = 1, .precision = Precision::kTF32}, true});
  add_row(list, {{2, 9, 8, 16}, {24, 16, 3, 3}, {.padding = 1, .precision = Precision::kTF32}, true, true});
  add_row(list, {{1, 11, 10, 5}, {4, 5, 3, 2}, {.stride = 3, .padding = 1, .precision = Precision::kTF32}});
  add_row(list, {{2, 6, 6, 8}, {5, 8, 1, 1}, {.precision = Precision::kTF32}, true});
  // Rows and columns apart: kernels, strides, paddings, dilations; every way of computing one.
  add_row(list, {{2, 9, 12, 6}, {7, 6, 3, 1}, {.stride = {1, 2}, .padding = {1, 0}}, true});
  add_row(list, {{1, 10, 13, 6}, {5, 6, 2, 5}, {.stride = {3, 2}, .padding = {0, 4}, .dilation = {3, 1}}, true});
  add_row(list, {{1, 13, 9, 7}, {4, 7, 4, 3}, {.stride = {2, 3}, .padding = {5, 1}, .dilation = {1, 2}}});
  add_row(list, {{2, 11, 8, 6}, {8, 3, 1, 4}, {.stride = {1, 2}, .padding = {0, 3}, .dilation = {1, 3}, .groups = 2}});
  add_row(list, {{1, 9, 14, 3}, {17, 3, 7, 3}, {.stride = {2, 1}, .padding = {3, 1}}, true});
  add_row(list, {{1, 12, 15, 4}, {9, 4, 3, 5}, {.stride = {1, 4}, .padding = {2, 0}, .dilation = {2, 3}}});
  add_row(list, {{1, 10, 11, 19}, {19, 1, 5, 2}, {.stride = {1, 3}, .padding = {2, 1}, .groups = 19}, true});
  add_row(list,
          {{2, 9, 8, 18}, {18, 1, 2, 3}, {.stride = {2, 1}, .padding = {1, 2}, .dilation = {3, 2}, .groups = 18}});
  add_row(list, {{2, 8, 7, 18}, {9, 18, 1, 1}, {.stride = {1, 3}}});
  add_row(list, {{1, 6, 7, 17}, {20, 17, 1, 1}, {.padding = {0, 1}}, true});
  add_row(list, {{1, 8, 9, 16}, {16, 16, 3, 3}, {.padding = {1, 2}}, true});  // not Winograd's: unequal paddings
  add_row(list, {{1, 8, 9, 16}, {16, 16, 3, 3}, {.stride = {1, 2}, .padding = 1}});
  // "same": more padding behind than in front.
  add_row(list, {{1, 7, 6, 5}, {4, 5, 2, 4}, ops::same_padding({2, 4}), true});
  add_row(list, {{2, 6, 9, 3}, {8, 3, 4, 2}, ops::same_padding({4, 2}, {1, 3})});
  add_row(list, {{1, 6, 7, 18}, {18, 1, 2, 2}, ops::same_padding(2, 1, 18), true});
  add_row(list, {{1, 5, 6, 8}, {9, 8, 1, 1}, {.extra = {0, 2}}});
  // Winograd's, with all paddings, part of a tile, part of a vector, more channels than a block of k.
  add_row(list, {{2, 8, 8, 16}, {16, 16, 3, 3}, {.padding = 1}, true, true});
  add_row(list, {{1, 7, 9, 21}, {37, 21, 3, 3}, {}, true, true});
  add_row(list, {{3, 6, 5, 33}, {18, 33, 3, 3}, {.padding = 2}, false, true});
  add_row(list, {{0, 8, 8, 16}, {16, 16, 3, 3}, {.padding = 1}, true, true});
  add_row(list, {{1, 3, 3, 391}, {17, 391, 3, 3}, {.padding = 1}, false, true});
  // A layer of a MobileNet, and layers of ResNets.
  add_row(list, {{1, 28, 28, 64}, {64, 1, 3, 3}, {.padding = 1, .groups = 64}});
  add_row(list, {{1, 14, 14, 64}, {64, 64, 3, 3}, {.padding = 1}, false, true});
  add_row(list, {{2, 4, 4, 128}, {128, 128, 3, 3}, {.padding = 1}, false, true});
  add_row(list, {{2, 32, 32, 3}, {64, 3, 3, 3}, {.padding = 1}});
  add_row(list, {{1, 48, 52, 3}, {64, 3, 7, 7}, {.stride = 2, .padding = 3}});
  add_row(list, {{2, 14, 14, 64}, {128, 64, 3, 3}, {.stride = 2, .padding = 1}});
  add_row(list, {{2, 14, 14, 64}, {128, 64, 1, 1}, {.stride = 2}});
  add_row(list, {{2, 14, 14, 64}, {256, 64, 1, 1}});
  const auto zeros = [](Shape s, DType d = DType::kF32) { return Var(Tensor::zeros(std::move(s), d)); };
  const auto reject = [&](const char* name, Shape x, Shape w, ops::Conv2d how, const char* message) {
    list.reject(
        "conv2d", name, [=] { ops::conv2d(zeros(x), zeros(w), {}, how); }, message);
  };
  reject("image-dimensions", {5, 5, 3}, {4, 3, 3, 3}, {}, "'x' (n, h, w, c)");
  reject("weight-dimensions", {1, 5, 5, 3}, {4, 27}, {}, "'w' (c_out, c_in / groups, kh, kw)");
  reject("channels", {1, 3, 5, 5}, {4, 3, 3, 3}, {}, "images are (n, h, w, c)");
  reject("groups", {1, 5, 5, 4}, {6, 1, 3, 3}, {.groups = 3}, "groups that divide 4 input and 6 output channels");
  reject("stride", {1, 5, 5, 3}, {4, 3, 3, 3}, {.stride = 0}, "stride, dilation and groups >= 1");
  reject("stride-of-columns", {1, 5, 5, 3}, {4, 3, 3, 3}, {.stride = {2, 0}}, "got 2x0, 1, 1 and 0");
  reject("padding-of-rows", {1, 5, 5, 3}, {4, 3, 3, 3}, {.padding = {-1, 1}}, "-1x1");
  reject("kernel-too-wide", {1, 5, 5, 3}, {4, 3, 1, 3}, {.dilation = {9, 3}}, "at least 1 x 7");
  reject("kernel-too-large", {1, 5, 5, 3}, {4, 3, 3, 3}, {.dilation = 3}, "at least 7 x 7");
  reject("no-channels", {1, 5, 5, 0}, {4, 0, 3, 3}, {}, "sizes of at least 1");
  list.reject(
      "conv2d", "bias-shape",
      [=] {
        ops::conv2d(zeros({1, 5, 5, 3}), zeros({4, 3, 3, 3}), zeros({3}));
      },
      "'bias' of shape (4)");
  list.reject(
      "conv2d", "dtypes",
      [=] {
        ops::conv2d(zeros({1, 5, 5, 3}), zeros({4, 3, 3, 3}, DType::kF64));
      },
      "f64");
}

}  // namespace taut::cases
