// Cases of sum and mean over all elements, of sum over one dimension, and of what is asked about a tensor's values: the
// greatest of each row and where it is, the extremes, and how many are zero or not finite.
#include "kernels/reduce.h"

#include "kernels/pgd.h"
#include "tests/ops/families.h"

namespace taut::cases {
namespace {

void add_whole(CaseList& list, const char* op, bool mean) {
  // 4096 is where a whole sum starts a second chunk.
  for (const Shape& shape : {Shape{1}, Shape{5, 7}, Shape{67}, Shape{4095}, Shape{4097}, Shape{3, 5003}, Shape{0, 4}}) {
    const int64_t n = numel(shape);
    if (mean && n == 0) continue;
    list.add(
        {.op = op,
         .name = shape_name(shape),
         .inputs = {{.shape = shape}},
         .run =
             [mean](const std::vector<Var>& in) { return std::vector<Var>{mean ? ops::mean(in[0]) : ops::sum(in[0])}; },
         .oracle = [mean]<class T>(const Arrays<T>& in) -> Arrays<T> {
           Array<T> y(Shape{});
           y[0] = T(0);
           for (const T& x : in[0].values) y[0] += x;
           if (mean) y[0] /= T(static_cast<double>(in[0].numel()));
           return {y};
         },
         .exact = !mean,
         .zeros = n == 0,
         .flops = static_cast<double>(n)});
  }
}

// What a kernel says of a tensor, as tensors like it.
template <class T>
Var answer(const std::vector<T>& values, const Tensor& like) {
  return Var(Tensor::from(values, {std::ssize(values)}).to(like.dtype()).to(like.device()));
}
template <class T>
bool is_nan(const T& v) {
  return std::isnan(value_of(v));
}

void add_values(CaseList& list, int64_t rows, int64_t cols) {
  const std::string name = fmt::format("{}x{}", rows, cols);
  const std::vector<Input> inputs{{.shape = {rows, cols}, .differentiable = false}};
  list.add({.op = "max_dim",
            .name = name,
            .inputs = inputs,
            .run =
                [=](const std::vector<Var>& in) {
                  const Tensor x = in[0].value();
                  Tensor top = Tensor::empty({rows}, x.dtype(), x.device());
                  Tensor index = Tensor::empty({rows}, DType::kI64, x.device());
                  on_float(x.dtype(), "max_dim", [&]<class T>() {
                    ON_DEVICE(x.device(), max_dim<T>(current_stream(x.device()), x.data<T>(), top.data<T>(),
                                                     index.data<int64_t>(), rows, cols, 1));
                  });
                  return std::vector<Var>{Var(top), answer(index.to_doubles(), x)};
                },
            .oracle = [=]<class T>(const Arrays<T>& in) -> Arrays<T> {
              Array<T> top({rows}), index({rows});
              for (int64_t r = 0; r < rows; ++r) {
                const T* const x = &in[0][r * cols];
                int64_t best = 0;
                for (int64_t i = 1; i < cols; ++i)
                  if (x[i] > x[best] || (is_nan(x[i]) && !is_nan(x[best]))) best = i;
                top[r] = x[best];
                index[r] = T(static_cast<double>(best));
              }
              return {top, index};
            },
            .zeros = cols == 1});
  list.add({.op = "min_max",
            .name = name,
            .inputs = inputs,
            .run =
                [=](const std::vector<Var>& in) {
                  const Tensor x = in[0].value();
                  std::vector<double> found;
                  on_float(x.dtype(), "min_max", [&]<class T>() {
                    T low = 0, high = 0;
                    ON_DEVICE(x.device(), min_max<T>(current_stream(x.device()), x.data<T>(), &low, &high, x.numel()));
                    found = {static_cast<double>(low), static_cast<double>(high)};
                  });
                  return std::vector<Var>{answer(found, x)};
                },
            .oracle = [=]<class T>(const Arrays<T>& in) -> Arrays<T> {
              Array<T> found({2});
              found[0] = found[1] = in[0][0];
              for (const T& x : in[0].values) {
                if (x < found[0] || is_nan(x)) found[0] = x;
                if (x > found[1] || is_nan(x)) found[1] = x;
              }
              return {found};
            },
            .exact = true});
  list.add({.op = "count_nonfinite",
            .name = name,
            .inputs = inputs,
            .run =
                [=](const std::vector<Var>& in) {
                  const Tensor x = in[0].value();
                  int64_t found = 0;
                  on_float(x.dtype(), "count_nonfinite", [&]<class T>() {
                    ON_DEVICE(x.device(),
                              count_nonfinite<T>(current_stream(x.device()), x.data<T>(), x.numel(), &found));
                  });
                  return std::vector<Var>{answer(std::vector<double>{static_cast<double>(found)}, x)};
                },
            .oracle = [=]<class T>(const Arrays<T>& in) -> Arrays<T> {
              Array<T> found({1});
              double count = 0;
              for (const T& x : in[0].values) count += !std::isfinite(value_of(x));
              found[0] = T(count);
              return {found};
            },
            .exact = true,
            .zeros = true});
  list.add({.op = "count_zeros",
            .name = name,
            .inputs = inputs,
            .run =
                [=](const std::vector<Var>& in) {
                  const Tensor x = in[0].value();
                  Tensor zeros = Tensor::empty({rows}, DType::kI64, x.device());
                  on_stored(x.dtype(), "count_zeros", [&]<class T>() {
                    ON_DEVICE(x.device(), count_zeros<T>(current_stream(x.device()), x.data<T>(), zeros.data<int64_t>(),
                                                         rows, cols));
                  });
                  return std::vector<Var>{answer(zeros.to_doubles(), x)};
                },
            .oracle = [=]<class T>(const Arrays<T>& in) -> Arrays<T> {
              Array<T> zeros({rows});
              for (int64_t r = 0; r < rows; ++r) {
                double count = 0;
                for (int64_t i = 0; i < cols; ++i) count += value_of(in[0][r * cols + i]) == 0;
                zeros[r] = T(count);
              }
              return {zeros};
            },
            .exact = true,
            .zeros = true});
}

}  // namespace

void add_reduce_cases(CaseList& list) {
  for (const auto& [rows, cols] : {std::pair{1, 1}, {3, 17}, {33, 5}, {32, 1000}, {2, 9000}})
    add_values(list, rows, cols);
  add_whole(list, "sum", false);
  add_whole(list, "mean", true);
  list.reject(
      "mean", "empty", [] { ops::mean(Var(Tensor::zeros({0}))); }, "at least one element");

  const std::pair<Shape, int64_t> dims[] = {
      {{1, 1}, 0},    {{5, 7}, 0}, {{5, 7}, -1}, {{2, 3, 5}, 1},  {{67, 3}, 0},    {{3, 67}, 1},    {{33, 17}, 0},
      {{2100, 3}, 0}, {{0, 3}, 0}, {{3, 0}, 0},  {{197, 192}, 0}, {{197, 192}, 1}, {{2, 50, 64}, 1}};
  for (const auto& [shape, dim] : dims) {
    for (const bool keep : {false, true}) {
      const auto d = static_cast<size_t>(dim < 0 ? dim + std::ssize(shape) : dim);
      int64_t outer = 1, inner = 1;
      for (size_t i = 0; i < d; ++i) outer *= shape[i];
      for (size_t i = d + 1; i < shape.size(); ++i) inner *= shape[i];
      Shape out = shape;
      if (keep)
        out[d] = 1;
      else
        out.erase(out.begin() + static_cast<int64_t>(d));
      list.add(
          {.op = "sum_dim",
           .name = fmt::format("{}-dim{}{}", shape_name(shape), dim, keep ? "-keep" : ""),
           .inputs = {{.shape = shape}},
           .run = [=, dim = dim](const std::vector<Var>& in) { return std::vector<Var>{ops::sum(in[0], dim, keep)}; },
           .oracle = [=, n = shape[d]]<class T>(const Arrays<T>& in) -> Arrays<T> {
             Array<T> y(out);
             for (int64_t o = 0; o < outer; ++o) {
               for (int64_t i = 0; i < inner; ++i) {
                 T s(0);
                 for (int64_t k = 0; k < n; ++k) s += in[0][(o * n + k) * inner + i];
                 y[o * inner + i] = s;
               }
             }
             return {y};
           },
           .exact = true,
           .zeros = numel(shape) == 0,
           .flops = static_cast<double>(numel(shape))});
    }
  }
  list.reject(
      "sum_dim", "dimension",
      [] {
        ops::sum(Var(Tensor::zeros({2, 3})), 2);
      },
      "(2, 3)");
}

}  // namespace taut::cases
