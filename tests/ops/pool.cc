// Cases of max_pool, avg_pool and adaptive_avg_pool on images (n, h, w, c).
#include "tests/ops/families.h"

namespace taut::cases {
namespace {

enum class Kind { kMax, kAverage, kAverageInside };
struct Fixed {
  HW kernel, stride, padding;
};

void add_fixed(CaseList& list, Kind kind, const Shape& shape, Fixed f, const std::vector<double>& values = {}) {
  const int64_t n = shape[0], h = shape[1], w = shape[2], c = shape[3];
  const HW step(f.stride.h > 0 ? f.stride.h : f.kernel.h, f.stride.w > 0 ? f.stride.w : f.kernel.w);
  const int64_t out_h = (h + 2 * f.padding.h - f.kernel.h) / step.h + 1;
  const int64_t out_w = (w + 2 * f.padding.w - f.kernel.w) / step.w + 1;
  list.add({.op = kind == Kind::kMax ? "max_pool" : "avg_pool",
            .name = fmt::format("{}-k{}s{}p{}{}{}", shape_name(shape), to_string(f.kernel), to_string(f.stride),
                                to_string(f.padding), kind == Kind::kAverageInside ? "-inside" : "",
                                values.empty() ? "" : "-ties"),
            .inputs = {{.shape = shape, .values = values}},
            .run =
                [=](const std::vector<Var>& in) {
                  return std::vector<Var>{
                      kind == Kind::kMax ? ops::max_pool(in[0], f.kernel, f.stride, f.padding)
                                         : ops::avg_pool(in[0], f.kernel, f.stride, f.padding, kind == Kind::kAverage)};
                },
            .oracle = [=]<class T>(const Arrays<T>& in) -> Arrays<T> {
              Array<T> y({n, out_h, out_w, c});
              int64_t to = 0;
              for (int64_t b = 0; b < n; ++b)
                for (int64_t i = 0; i < out_h; ++i)
                  for (int64_t j = 0; j < out_w; ++j)
                    for (int64_t k = 0; k < c; ++k) {
                      T sum(0), most(0);
                      int64_t seen = 0;
                      const int64_t top = i * step.h - f.padding.h, left = j * step.w - f.padding.w;
                      for (int64_t u = top; u < top + f.kernel.h; ++u)
                        for (int64_t v = left; v < left + f.kernel.w; ++v) {
                          if (u < 0 || u >= h || v < 0 || v >= w) continue;
                          const T x = in[0][((b * h + u) * w + v) * c + k];
                          sum += x;
                          if (seen++ == 0 || x > most || x != x) most = x;
                        }
                      const int64_t size = kind == Kind::kAverageInside ? seen : f.kernel.h * f.kernel.w;
                      y[to++] = kind == Kind::kMax ? most : sum / T(static_cast<double>(size));
                    }
              return {y};
            },
            .exact = kind == Kind::kMax,
            .smooth = values.empty(),
            .zeros = n == 0});
}

void add_adaptive(CaseList& list, const Shape& shape, int64_t out_h, int64_t out_w) {
  const int64_t n = shape[0], h = shape[1], w = shape[2], c = shape[3];
  list.add(
      {.op = "adaptive_avg_pool",
       .name = fmt::format("{}-to-{}x{}", shape_name(shape), out_h, out_w),
       .inputs = {{.shape = shape}},
       .run = [=](const std::vector<Var>& in) { return std::vector<Var>{ops::adaptive_avg_pool(in[0], out_h, out_w)}; },
       .oracle = [=]<class T>(const Arrays<T>& in) -> Arrays<T> {
         Array<T> y({n, out_h, out_w, c});
         const auto low = [](int64_t i, int64_t size, int64_t out) {
           return static_cast<int64_t>(std::floor(static_cast<double>(i * size) / static_cast<double>(out)));
         };
         const auto high = [](int64_t i, int64_t size, int64_t out) {
           return static_cast<int64_t>(std::ceil(static_cast<double>((i + 1) * size) / static_cast<double>(out)));
         };
         int64_t to = 0;
         for (int64_t b = 0; b < n; ++b)
           for (int64_t i = 0; i < out_h; ++i)
             for (int64_t j = 0; j < out_w; ++j)
               for (int64_t k = 0; k < c; ++k) {
                 T sum(0);
                 int64_t seen = 0;
                 for (int64_t u = low(i, h, out_h); u < high(i, h, out_h); ++u)
                   for (int64_t v = low(j, w, out_w); v < high(j, w, out_w); ++v, ++seen)
                     sum += in[0][((b * h + u) * w + v) * c + k];
                 y[to++] = sum / T(static_cast<double>(seen));
               }
         return {y};
       },
       .zeros = n == 0});
}

}  // namespace

void add_pool_cases(CaseList& list) {
  for (const Kind kind : {Kind::kMax, Kind::kAverage, Kind::kAverageInside}) {
    add_fixed(list, kind, {2, 6, 7, 5}, {2, 2, 0});
    add_fixed(list, kind, {2, 9, 8, 17}, {3, 2, 1});
    add_fixed(list, kind, {1, 5, 5, 3}, {3, 1, 1});
    add_fixed(list, kind, {2, 7, 7, 16}, {2, 3, 1});
    add_fixed(list, kind, {1, 8, 9, 4}, {4, 0, 0});
    add_fixed(list, kind, {1, 1, 1, 1}, {1, 1, 0});
    add_fixed(list, kind, {0, 4, 4, 3}, {2, 2, 0});
    add_fixed(list, kind, {2, 28, 28, 64}, {3, 2, 1});
    add_fixed(list, kind, {2, 8, 11, 5}, {{2, 3}, {1, 2}, {0, 1}});
    add_fixed(list, kind, {1, 9, 7, 18}, {{4, 1}, {3, 2}, {2, 0}});
    add_fixed(list, kind, {1, 7, 12, 4}, {{3, 5}, 0, 0});
    add_fixed(list, kind, {1, 8, 6, 3}, {{1, 3}, {2, 0}, {0, 1}});
  }
  add_fixed(list, Kind::kAverage, {1, 40, 40, 3}, {33, 7, 5});  // windows of more than one chunk of rows
  // Ties, everywhere the same or in pairs: the first one gets the gradient.
  std::vector<double> same(2 * 6 * 6 * 3, 0.5), pairs(2 * 6 * 6 * 3);
  for (size_t i = 0; i < pairs.size(); ++i) pairs[i] = static_cast<double>(i / 3 % 2);
  add_fixed(list, Kind::kMax, {2, 6, 6, 3}, {3, 2, 1}, same);
  add_fixed(list, Kind::kMax, {2, 6, 6, 3}, {2, 2, 0}, pairs);

  add_adaptive(list, {2, 7, 5, 3}, 1, 1);
  add_adaptive(list, {2, 7, 5, 3}, 3, 2);
  add_adaptive(list, {1, 5, 7, 19}, 7, 4);
  add_adaptive(list, {2, 8, 8, 64}, 1, 1);
  add_adaptive(list, {1, 56, 40, 5}, 1, 1);  // more chunks than partial sums
  add_adaptive(list, {3, 1, 1, 4}, 1, 1);
  add_adaptive(list, {2, 7, 7, 512}, 1, 1);  // before a ResNet's head
  add_adaptive(list, {0, 7, 5, 3}, 1, 1);

  const auto zeros = [](Shape s) { return Var(Tensor::zeros(std::move(s))); };
  list.reject(
      "max_pool", "dimensions",
      [=] {
        ops::max_pool(zeros({4, 4, 3}), 2);
      },
      "(n, h, w, c)");
  list.reject(
      "max_pool", "padding",
      [=] {
        ops::max_pool(zeros({1, 4, 4, 3}), 3, 1, 2);
      },
      "half the kernel 3");
  list.reject(
      "avg_pool", "too-small",
      [=] {
        ops::avg_pool(zeros({1, 4, 4, 3}), 5);
      },
      "(1, 4, 4, 3)");
  list.reject(
      "adaptive_avg_pool", "nothing",
      [=] {
        ops::adaptive_avg_pool(zeros({1, 4, 4, 3}), 0, 1);
      },
      "1 x 1");
}

}  // namespace taut::cases
