// Cases of batch_norm: relu((x - mean) / sqrt(var + eps) * w + b + residual), statistics of the batch or given ones.
#include "tests/ops/families.h"

namespace taut::cases {
namespace {

struct Options {
  bool training = true, residual = false, relu = false, frozen_gains = false;
  double eps = 1e-5, low = -2, high = 2;
  std::string what = {};
};

constexpr double kMomentum = 0.1;

// Inputs x, w, b, running mean and variance and, at the end, the residual; outputs y and the running statistics.
void add_batch_norm(CaseList& list, const Shape& shape, const Options& o) {
  const int64_t cols = shape.back(), rows = numel(shape) / cols;
  std::vector<Input> inputs = {{.shape = shape, .low = o.low, .high = o.high},
                               {.shape = {cols}, .low = 0.5, .high = 1.5, .differentiable = !o.frozen_gains},
                               {.shape = {cols}},
                               {.shape = {cols}, .differentiable = false},
                               {.shape = {cols}, .low = 0.5, .high = 2, .differentiable = false}};
  if (o.residual) inputs.push_back({.shape = shape});
  list.add({.op = "batch_norm",
            .name = fmt::format("{}-{}{}{}{}{}", shape_name(shape), o.training ? "train" : "eval",
                                o.residual ? "-residual" : "", o.relu ? "-relu" : "",
                                o.frozen_gains ? "-frozen-gains" : "", o.what),
            .inputs = inputs,
            .run =
                [=](const std::vector<Var>& in) {
                  // In training y does not depend on the running statistics, and they move in place.
                  const auto running = [&](size_t i) {
                    const Tensor& given = in[i].value();
                    return o.training ? Tensor::zeros({cols}, given.dtype(), given.device()) : given;
                  };
                  return std::vector<Var>{ops::batch_norm(in[0], in[1], in[2], running(3), running(4), o.training,
                                                          kMomentum, o.eps, o.residual ? in[5] : Var(), o.relu)};
                },
            .oracle = [=]<class T>(const Arrays<T>& in) -> Arrays<T> {
              const T count(static_cast<double>(rows));
              Array<T> y(shape);
              for (int64_t j = 0; j < cols; ++j) {
                T mean = in[3][j], variance = in[4][j];
                if (o.training) {
                  mean = variance = T(0);
                  for (int64_t r = 0; r < rows; ++r) mean += in[0][r * cols + j];
                  mean /= count;
                  for (int64_t r = 0; r < rows; ++r) {
                    const T d = in[0][r * cols + j] - mean;
                    variance += d * d;
                  }
                  variance /= count;
                }
                const T deviation = sqrt(variance + T(o.eps));
                for (int64_t r = 0; r < rows; ++r) {
                  T v = (in[0][r * cols + j] - mean) / deviation * in[1][j] + in[2][j];
                  if (o.residual) v += in[5][r * cols + j];
                  y[r * cols + j] = o.relu ? larger(v, T(0)) : v;
                }
              }
              return {y};
            },
            .smooth = !o.relu,
            .zeros = numel(shape) == 0});
}

// The running statistics afterwards.
void add_running(CaseList& list, const Shape& shape) {
  const int64_t cols = shape.back(), rows = numel(shape) / cols;
  list.add({.op = "batch_norm",
            .name = shape_name(shape) + "-running",
            .inputs = {{.shape = shape, .low = -2, .high = 2, .differentiable = false},
                       {.shape = {cols}, .differentiable = false},
                       {.shape = {cols}, .low = 0.5, .high = 2, .differentiable = false}},
            .run =
                [=](const std::vector<Var>& in) {
                  const Device device = in[0].value().device();
                  const Var one(Tensor::full({cols}, 1, in[0].dtype(), device));
                  const Var zero(Tensor::zeros({cols}, in[0].dtype(), device));
                  const Tensor mean = in[1].value().clone(), variance = in[2].value().clone();
                  ops::batch_norm(in[0], one, zero, mean, variance, true, kMomentum, 1e-5);
                  return std::vector<Var>{Var(mean), Var(variance)};
                },
            .oracle = [=]<class T>(const Arrays<T>& in) -> Arrays<T> {
              const double n = static_cast<double>(rows);
              Array<T> mean({cols}), variance({cols});
              for (int64_t j = 0; j < cols; ++j) {
                T sum(0), squares(0);
                for (int64_t r = 0; r < rows; ++r) sum += in[0][r * cols + j];
                const T m = sum / T(n);
                for (int64_t r = 0; r < rows; ++r) squares += (in[0][r * cols + j] - m) * (in[0][r * cols + j] - m);
                mean[j] = T(1 - kMomentum) * in[1][j] + T(kMomentum) * m;
                variance[j] = T(1 - kMomentum) * in[2][j] + T(kMomentum) * (squares / T(n - 1));
              }
              return {mean, variance};
            }});
}

}  // namespace

void add_batch_norm_cases(CaseList& list) {
  for (const bool training : {true, false}) {
    add_batch_norm(list, {4, 6, 7, 5}, {.training = training});
    add_batch_norm(list, {2, 3, 5, 17}, {.training = training, .residual = true});
    add_batch_norm(list, {2, 3, 5, 17}, {.training = training, .relu = true});
    add_batch_norm(list, {3, 3, 5, 16}, {.training = training, .residual = true, .relu = true});
    add_batch_norm(list, {67, 3}, {.training = training});
    add_batch_norm(list, {2, 1}, {.training = training, .eps = 0.1});
    add_batch_norm(list, {1, 65, 33, 8}, {.training = training, .relu = true});  // more chunks than partial sums
    add_batch_norm(list, {2, 7, 7, 512}, {.training = training, .residual = true, .relu = true});
    add_batch_norm(list, {2, 7, 7, 512}, {.training = training, .relu = true, .frozen_gains = true});
    add_batch_norm(list, {65, 5}, {.training = training, .low = 99, .high = 101, .what = "-far-from-zero"});
  }
  add_batch_norm(list, {0, 3, 3, 4}, {.training = false});
  add_batch_norm(list, {1, 19}, {.training = false});
  add_running(list, {4, 6, 7, 5});
  add_running(list, {2, 33});
  const auto zeros = [](Shape s) { return Tensor::zeros(std::move(s)); };
  list.reject(
      "batch_norm", "one-value",
      [=] {
        ops::batch_norm(Var(zeros({1, 1, 1, 3})), Var(zeros({3})), Var(zeros({3})), zeros({3}), zeros({3}), true, 0.1,
                        1e-5);
      },
      "two values a channel");
  list.reject(
      "batch_norm", "running-shape",
      [=] {
        ops::batch_norm(Var(zeros({4, 3})), Var(zeros({3})), Var(zeros({3})), zeros({3}), zeros({4}), false, 0.1, 1e-5);
      },
      "'running_var' f32 (3)");
  list.reject(
      "batch_norm", "residual-shape",
      [=] {
        ops::batch_norm(Var(zeros({4, 3})), Var(zeros({3})), Var(zeros({3})), zeros({3}), zeros({3}), false, 0.1, 1e-5,
                        Var(zeros({3, 3})));
      },
      "'residual' of shape (4, 3)");
}

}  // namespace taut::cases
