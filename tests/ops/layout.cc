// Cases of reshape, permute, concat, slice, cast, patchify and assemble_tokens.
#include "tests/ops/families.h"

namespace taut::cases {
namespace {

// y[i] = x[from(i)]: what moving elements comes to.
template <class From>
Oracle moved(const Shape& shape, From from) {
  return [=]<class T>(const Arrays<T>& in) -> Arrays<T> {
    Array<T> y(shape);
    for (int64_t i = 0; i < y.numel(); ++i) y[i] = in[0][from(i)];
    return {y};
  };
}

void add_permute(CaseList& list, const Shape& shape, const std::vector<int64_t>& dims) {
  Shape out, step;  // size and distance in x of each dimension of y
  for (const int64_t d : dims) {
    out.push_back(shape[static_cast<size_t>(d)]);
    int64_t distance = 1;
    for (size_t i = static_cast<size_t>(d) + 1; i < shape.size(); ++i) distance *= shape[i];
    step.push_back(distance);
  }
  list.add({.op = "permute",
            .name = fmt::format("{}-by{}", shape_name(shape), shape_name(dims)),
            .inputs = {{.shape = shape}},
            .run = [=](const std::vector<Var>& in) { return std::vector<Var>{ops::permute(in[0], dims)}; },
            .oracle = moved(out,
                            [=](int64_t i) {
                              int64_t at = 0;
                              for (size_t d = out.size(); d-- > 0;) {
                                at += i % out[d] * step[d];
                                i /= out[d];
                              }
                              return at;
                            }),
            .exact = true});
}

void add_slice(CaseList& list, const Shape& shape, int64_t dim, int64_t start, int64_t length) {
  const auto d = static_cast<size_t>(dim < 0 ? dim + std::ssize(shape) : dim);
  int64_t inner = 1;
  for (size_t i = d + 1; i < shape.size(); ++i) inner *= shape[i];
  Shape out = shape;
  out[d] = length;
  list.add({.op = "slice",
            .name = fmt::format("{}-dim{}-{}+{}", shape_name(shape), dim, start, length),
            .inputs = {{.shape = shape}},
            .run = [=](const std::vector<Var>& in) { return std::vector<Var>{ops::slice(in[0], dim, start, length)}; },
            .oracle = moved(out,
                            [=, n = shape[d]](int64_t i) {
                              const int64_t row = i / (length * inner), rest = i % (length * inner);
                              return row * n * inner + start * inner + rest;
                            }),
            .exact = true,
            .zeros = length == 0});
}

void add_concat(CaseList& list, const std::vector<Shape>& shapes, int64_t dim) {
  const auto d = static_cast<size_t>(dim < 0 ? dim + std::ssize(shapes[0]) : dim);
  int64_t outer = 1, inner = 1;
  for (size_t i = 0; i < d; ++i) outer *= shapes[0][i];
  for (size_t i = d + 1; i < shapes[0].size(); ++i) inner *= shapes[0][i];
  Shape out = shapes[0];
  out[d] = 0;
  std::vector<Input> inputs;
  std::string name;
  for (const Shape& s : shapes) {
    inputs.push_back({.shape = s});
    out[d] += s[d];
    name += shape_name(s) + ",";
  }
  list.add({.op = "concat",
            .name = fmt::format("{}dim{}", name, dim),
            .inputs = inputs,
            .run = [=](const std::vector<Var>& in) { return std::vector<Var>{ops::concat(in, dim)}; },
            .oracle = [=]<class T>(const Arrays<T>& in) -> Arrays<T> {
              Array<T> y(out);
              int64_t at = 0;
              for (int64_t o = 0; o < outer; ++o)
                for (const Array<T>& x : in)
                  for (int64_t i = 0; i < x.size(dim) * inner; ++i) y[at++] = x[o * x.size(dim) * inner + i];
              return {y};
            },
            .exact = true});
}

void add_cast(CaseList& list, DType to) {
  // Eighths, which every floating type holds.
  std::vector<double> values;
  for (int i = 0; i < 35; ++i) values.push_back((i - 17) / 8.0);
  list.add({.op = "cast",
            .name = fmt::format("to-{}", name(to)),
            .inputs = {{.shape = {5, 7}, .values = values}},
            .run = [=](const std::vector<Var>& in) { return std::vector<Var>{ops::cast(in[0], to)}; },
            .oracle = moved({5, 7}, [](int64_t i) { return i; }),
            .exact = true,
            .smooth = to == DType::kF64});
}

void add_patchify(CaseList& list, int64_t b, int64_t c, int64_t h, int64_t w, int64_t p) {
  std::vector<double> mean, std;
  for (int64_t i = 0; i < c; ++i) {
    mean.push_back(0.5 - 0.125 * static_cast<double>(i));
    std.push_back(0.25 + 0.25 * static_cast<double>(i));
  }
  list.add({.op = "patchify",
            .name = fmt::format("{}x{}x{}x{}-p{}", b, c, h, w, p),
            .inputs = {{.shape = {b, c, h, w}, .low = 0, .high = 1}},
            .run =
                [=](const std::vector<Var>& in) {
                  const bool bf16 = in[0].dtype() == DType::kBF16;  // of images in f32
                  const Var images = bf16 ? ops::cast(in[0], DType::kF32) : in[0];
                  return std::vector<Var>{ops::patchify(images, p, mean, std, in[0].dtype())};
                },
            .oracle = [=]<class T>(const Arrays<T>& in) -> Arrays<T> {
              Array<T> y({b, h / p * (w / p), c * p * p});
              int64_t at = 0;
              for (int64_t i = 0; i < b; ++i)
                for (int64_t row = 0; row < h / p; ++row)
                  for (int64_t col = 0; col < w / p; ++col)
                    for (int64_t k = 0; k < c; ++k)
                      for (int64_t u = 0; u < p; ++u)
                        for (int64_t v = 0; v < p; ++v)
                          y[at++] = (in[0][((i * c + k) * h + row * p + u) * w + col * p + v] -
                                     T(mean[static_cast<size_t>(k)])) /
                                    T(std[static_cast<size_t>(k)]);
              return {y};
            },
            .bf16 = true,
            .zeros = b == 0});
}

void add_tokens(CaseList& list, int64_t b, int64_t n, int64_t d) {
  list.add(
      {.op = "assemble_tokens",
       .name = fmt::format("{}x{}x{}", b, n, d),
       .inputs = {{.shape = {b, n, d}}, {.shape = {1, 1, d}}, {.shape = {1, n + 1, d}}},
       .run = [](const std::vector<Var>& in) { return std::vector<Var>{ops::assemble_tokens(in[0], in[1], in[2])}; },
       .oracle = [=]<class T>(const Arrays<T>& in) -> Arrays<T> {
         Array<T> y({b, n + 1, d});
         for (int64_t i = 0; i < b; ++i)
           for (int64_t t = 0; t <= n; ++t)
             for (int64_t k = 0; k < d; ++k)
               y[(i * (n + 1) + t) * d + k] = (t == 0 ? in[1][k] : in[0][(i * n + t - 1) * d + k]) + in[2][t * d + k];
         return {y};
       },
       .exact = true,
       .bf16 = true,
       .zeros = b == 0});
}

}  // namespace

void add_layout_cases(CaseList& list) {
  const auto zeros = [](Shape s, DType d = DType::kF32) { return Var(Tensor::zeros(std::move(s), d)); };

  for (const Shape& to : {Shape{35}, Shape{7, 5}, Shape{5, -1, 7}}) {
    const Shape out = to == Shape{5, -1, 7} ? Shape{5, 1, 7} : to;
    list.add({.op = "reshape",
              .name = "5x7-to-" + shape_name(to),
              .inputs = {{.shape = {5, 7}}},
              .run = [=](const std::vector<Var>& in) { return std::vector<Var>{ops::reshape(in[0], to)}; },
              .oracle = moved(out, [](int64_t i) { return i; }),
              .exact = true});
  }
  list.reject(
      "reshape", "elements",
      [=] {
        ops::reshape(zeros({5, 7}), {6, 6});
      },
      "(5, 7)");

  add_permute(list, {5, 7}, {1, 0});
  add_permute(list, {2, 3, 5}, {2, 0, 1});
  add_permute(list, {2, 3, 5}, {0, 2, 1});
  add_permute(list, {2, 3, 17, 4}, {0, 2, 1, 3});
  add_permute(list, {1, 1}, {1, 0});
  add_permute(list, {0, 3}, {1, 0});
  add_permute(list, {2, 50, 3, 16}, {2, 0, 3, 1});
  add_permute(list, {1, 197, 3, 64}, {0, 2, 1, 3});  // tokens to heads
  list.reject(
      "permute", "twice",
      [=] {
        ops::permute(zeros({2, 3}), {0, 0});
      },
      "named twice");
  list.reject(
      "permute", "dimensions",
      [=] {
        ops::permute(zeros({2, 3}), {0});
      },
      "expected 2 dimensions");

  add_concat(list, {{5, 7}, {3, 7}}, 0);
  add_concat(list, {{5, 7}, {5, 1}, {5, 2}}, 1);
  add_concat(list, {{2, 3, 5}, {2, 4, 5}}, 1);
  add_concat(list, {{2, 0, 3}, {2, 2, 3}}, -2);
  add_concat(list, {{4}}, 0);
  add_concat(list, {{2, 1, 192}, {2, 196, 192}}, 1);  // a class token before the patches
  list.reject(
      "concat", "nothing", [] { ops::concat({}, 0); }, "at least one input");
  list.reject(
      "concat", "shapes",
      [=] {
        ops::concat({zeros({2, 3}), zeros({3, 3})}, 1);
      },
      "(3, 3)");
  list.reject(
      "concat", "dtypes",
      [=] {
        ops::concat({zeros({2}), zeros({2}, DType::kF64)}, 0);
      },
      "f64");

  add_slice(list, {5, 7}, 0, 1, 3);
  add_slice(list, {5, 7}, 1, 2, 4);
  add_slice(list, {2, 9, 5}, -2, 0, 1);
  add_slice(list, {5, 7}, 1, 6, 1);
  add_slice(list, {5, 7}, 0, 2, 0);
  add_slice(list, {67}, 0, 17, 33);
  add_slice(list, {2, 197, 192}, 1, 0, 1);  // the class token
  list.reject(
      "slice", "range",
      [=] {
        ops::slice(zeros({5, 7}), 1, 5, 3);
      },
      "[5, 8)");

  // The first is the one that is timed and profiled: of f32, it has a kernel.
  for (const DType to : {DType::kBF16, DType::kF32, DType::kF64}) add_cast(list, to);
  list.reject(
      "cast", "integers", [=] { ops::cast(zeros({3}), DType::kI32); }, "expected floating");

  add_patchify(list, 2, 3, 8, 12, 4);
  add_patchify(list, 1, 1, 1, 1, 1);
  add_patchify(list, 2, 3, 15, 10, 5);
  add_patchify(list, 0, 3, 8, 8, 4);
  add_patchify(list, 1, 3, 32, 48, 16);
  add_patchify(list, 1, 3, 224, 224, 16);
  list.reject(
      "patchify", "size",
      [=] {
        ops::patchify(zeros({1, 1, 10, 8}), 4, {0}, {1});
      },
      "10 x 8");
  list.reject(
      "patchify", "channels",
      [=] {
        ops::patchify(zeros({1, 3, 8, 8}), 4, {0}, {1});
      },
      "3 means");

  add_tokens(list, 2, 5, 7);
  add_tokens(list, 1, 1, 1);
  add_tokens(list, 35, 3, 17);
  add_tokens(list, 0, 3, 4);
  add_tokens(list, 2, 196, 192);
  list.reject(
      "assemble_tokens", "positions",
      [=] {
        ops::assemble_tokens(zeros({2, 5, 7}), zeros({7}), zeros({5, 7}));
      },
      "'positions' (6, 7)");
}

}  // namespace taut::cases
