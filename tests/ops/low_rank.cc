// Cases of low_rank: y = x wT + bias + scale (x aT) bT, the pairs adapting equal blocks of w's rows.
#include "tests/ops/families.h"

namespace taut::cases {
namespace {

struct Row {
  Shape x;
  int64_t out, r;
  bool bias;
  std::vector<bool> groups = {true};  // which blocks have a pair
  double scale = 1;
  bool tf32 = false;
};

void add_row(CaseList& list, const Row& row) {
  const int64_t in_size = row.x.back(), out = row.out, r = row.r, rows = numel(row.x) / in_size;
  const auto groups = static_cast<int64_t>(row.groups.size());
  const int64_t block = out / groups;
  const bool tf32 = row.tf32;
  std::vector<Input> inputs{{.shape = row.x}, {.shape = {out, in_size}}};
  if (row.bias) inputs.push_back({.shape = {out}});
  const size_t first = inputs.size();
  std::string which;
  for (const bool present : row.groups) {
    which += present ? 'x' : '-';
    if (!present) continue;
    inputs.push_back({.shape = {r, in_size}});
    inputs.push_back({.shape = {block, r}});
  }
  Shape y_shape = row.x;
  y_shape.back() = out;
  list.add(
      {.op = "low_rank",
       .name = fmt::format("{}-{}-r{}{}-{}{}", shape_name(row.x), out, r, row.bias ? "-bias" : "", which,
                           tf32 ? "-tf32" : ""),
       .inputs = inputs,
       .run =
           [=](const std::vector<Var>& in) {
             std::vector<Var> a, b;
             size_t next = first;
             for (const bool present : row.groups) {
               a.push_back(present ? in[next++] : Var());
               b.push_back(present ? in[next++] : Var());
             }
             return std::vector<Var>{ops::low_rank(in[0], in[1], row.bias ? in[2] : Var(), a, b, row.scale,
                                                   tf32 ? Precision::kTF32 : Precision::kF32)};
           },
       .oracle = [=]<class T>(const Arrays<T>& in) -> Arrays<T> {
         Array<T> y(y_shape);
         for (int64_t i = 0; i < rows; ++i) {
           for (int64_t o = 0; o < out; ++o) {
             T s(0);
             for (int64_t k = 0; k < in_size; ++k) s += in[0][i * in_size + k] * in[1][o * in_size + k];
             if (row.bias) s += in[2][o];
             y[i * out + o] = s;
           }
           size_t next = first;
           for (int64_t g = 0; g < groups; ++g) {
             if (!row.groups[static_cast<size_t>(g)]) continue;
             const Array<T>& a = in[next++];
             const Array<T>& b = in[next++];
             std::vector<T> u(static_cast<size_t>(r), T(0));
             for (int64_t q = 0; q < r; ++q)
               for (int64_t k = 0; k < in_size; ++k)
                 u[static_cast<size_t>(q)] += in[0][i * in_size + k] * a[q * in_size + k];
             for (int64_t o = 0; o < block; ++o) {
               T s(0);
               for (int64_t q = 0; q < r; ++q) s += u[static_cast<size_t>(q)] * b[o * r + q];
               y[i * out + g * block + o] += T(row.scale) * s;
             }
           }
         }
         return {y};
       },
       .exact = !tf32,
       .bf16 = !tf32,
       .stores_between = true,
       .tf32 = tf32,
       .zeros = rows == 0,
       .flops = 2.0 * static_cast<double>(rows * (in_size * out + std::ssize(inputs) / 2 * r * (in_size + block)))});
}

}  // namespace

void add_low_rank_cases(CaseList& list) {
  add_row(list, {{7, 20}, 12, 4, true, {true}, 2});
  add_row(list, {{2, 3, 17}, 5, 1, false, {true}, 0.5});
  add_row(list, {{1, 1}, 1, 1, true});
  add_row(list, {{0, 4}, 6, 2, true});
  add_row(list, {{5, 13}, 9, 2, true, {true, true, true}});
  add_row(list, {{5, 13}, 9, 2, true, {true, false, true}});
  add_row(list, {{5, 13}, 9, 2, true, {false, true, false}});
  add_row(list, {{9, 192}, 576, 8, true, {true, false, true}});
  add_row(list, {{9, 192}, 768, 8, true});
  add_row(list, {{197, 192}, 192, 8, true});  // the tokens of an image behind ViT-Ti's attention
  add_row(list, {{5, 13}, 9, 2, true, {true, false, true}, 0.5, true});
  add_row(list, {{9, 192}, 576, 8, true, {true, true, true}, 1, true});
  const auto zeros = [](Shape s) { return Var(Tensor::zeros(std::move(s))); };
  list.reject(
      "low_rank", "half-a-pair",
      [=] {
        ops::low_rank(zeros({2, 4}), zeros({6, 4}), {}, {zeros({2, 4})}, {Var()}, 1);
      },
      "only one of");
  list.reject(
      "low_rank", "groups",
      [=] {
        ops::low_rank(zeros({2, 4}), zeros({6, 4}), {}, std::vector<Var>(4), std::vector<Var>(4), 1);
      },
      "a divisor of out");
  list.reject(
      "low_rank", "rank",
      [=] {
        ops::low_rank(zeros({2, 4}), zeros({6, 4}), {}, {zeros({2, 4})}, {zeros({6, 3})}, 1);
      },
      "'b' of shape (6, 2)");
}

}  // namespace taut::cases
