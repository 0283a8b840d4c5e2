// Cases of adamw_step, sgd_step and the global gradient norm: kernels without gradients.
#include "kernels/optim.h"

#include "kernels/adamw_constants.h"
#include "kernels/reduce.h"
#include "tests/ops/families.h"

namespace taut::cases {
namespace {

Stream stream(const Tensor& t) { return current_stream(t.device()); }

void add_adamw(CaseList& list, const std::string& name, const Shape& shape, const AdamWStep& step) {
  list.add({.op = "adamw",
            .name = name,
            .inputs = {{.shape = shape, .differentiable = false},
                       {.shape = shape, .low = -0.1, .high = 0.1, .differentiable = false},
                       {.shape = shape, .low = -0.1, .high = 0.1, .differentiable = false},
                       {.shape = shape, .low = 0, .high = 0.01, .differentiable = false}},
            .run =
                [=](const std::vector<Var>& in) {
                  Tensor p = in[0].value().clone(), m = in[2].value().clone(), v = in[3].value().clone();
                  const Tensor g = in[1].value();
                  on_float(p.dtype(), "adamw", [&]<class T>() {
                    const AdamWConstants<T> host = adamw_constants<T>(step);
                    const Tensor there = Tensor::from(std::span(&host.grad_scale, sizeof host / sizeof(T)),
                                                      {static_cast<int64_t>(sizeof host / sizeof(T))})
                                             .to(p.device());
                    const auto* constants = reinterpret_cast<const AdamWConstants<T>*>(there.data<T>());
                    ON_DEVICE(p.device(), adamw_step<T>(stream(p), p.data<T>(), g.data<T>(), m.data<T>(), v.data<T>(),
                                                        p.numel(), constants));
                  });
                  return std::vector<Var>{Var(p), Var(m), Var(v)};
                },
            .oracle = [=]<class T>(const Arrays<T>& in) -> Arrays<T> {
              Arrays<T> out{in[0], in[2], in[3]};
              const T c1(1 - std::pow(step.beta1, static_cast<double>(step.t)));
              const T c2(1 - std::pow(step.beta2, static_cast<double>(step.t)));
              for (int64_t i = 0; i < in[0].numel(); ++i) {
                const T g = T(step.grad_scale) * in[1][i];
                const T m = in[2][i] + T(1 - step.beta1) * (g - in[2][i]);
                const T v = T(step.beta2) * in[3][i] + T(1 - step.beta2) * g * g;
                const T decayed = in[0][i] * T(1 - step.lr * step.weight_decay);
                out[0][i] = decayed - T(step.lr) * (m / c1) / (sqrt(v / c2) + T(step.eps));
                out[1][i] = m;
                out[2][i] = v;
              }
              return out;
            },
            .flops = 12.0 * static_cast<double>(numel(shape))});
}

void add_sgd(CaseList& list, const std::string& name, const Shape& shape, const SgdStep& step) {
  list.add({.op = "sgd",
            .name = name,
            .inputs = {{.shape = shape, .differentiable = false},
                       {.shape = shape, .differentiable = false},
                       {.shape = shape, .differentiable = false}},
            .run =
                [=](const std::vector<Var>& in) {
                  Tensor p = in[0].value().clone(), buffer = in[2].value().clone();
                  const Tensor g = in[1].value();
                  on_float(p.dtype(), "sgd", [&]<class T>() {
                    ON_DEVICE(p.device(),
                              sgd_step<T>(stream(p), p.data<T>(), g.data<T>(),
                                          step.momentum == 0 ? nullptr : buffer.data<T>(), p.numel(), step));
                  });
                  return std::vector<Var>{Var(p), Var(buffer)};
                },
            .oracle = [=]<class T>(const Arrays<T>& in) -> Arrays<T> {
              Arrays<T> out{in[0], in[2]};
              for (int64_t i = 0; i < in[0].numel(); ++i) {
                const T g = T(step.grad_scale) * in[1][i] + T(step.weight_decay) * in[0][i];
                T move = g;
                if (step.momentum != 0) {
                  const T buffer = step.first ? g : T(step.momentum) * in[2][i] + g;
                  move = step.nesterov ? g + T(step.momentum) * buffer : buffer;
                  out[1][i] = buffer;
                }
                out[0][i] = in[0][i] - T(step.lr) * move;
              }
              return out;
            },
            .flops = 4.0 * static_cast<double>(numel(shape))});
}

void add_norm(CaseList& list, const std::vector<Shape>& shapes) {
  std::vector<Input> inputs;
  std::string name;
  bool empty = true;
  for (const Shape& s : shapes) {
    inputs.push_back({.shape = s, .differentiable = false});
    name += fmt::format("{}{}", name.empty() ? "" : ",", shape_name(s));
    empty = empty && numel(s) == 0;
  }
  list.add({.op = "global_grad_norm",
            .name = name,
            .inputs = inputs,
            .run =
                [](const std::vector<Var>& in) {
                  const Device device = in[0].value().device();
                  Tensor y = Tensor::empty({}, in[0].dtype(), device);
                  on_float(y.dtype(), "global_grad_norm", [&]<class T>() {
                    std::vector<const T*> buffers;
                    std::vector<int64_t> sizes;
                    for (const Var& v : in) {
                      buffers.push_back(v.value().data<T>());
                      sizes.push_back(v.value().numel());
                    }
                    ON_DEVICE(device, sum_of_squares<T>(current_stream(device), buffers.data(), sizes.data(),
                                                        std::ssize(sizes), y.data<T>()));
                  });
                  return std::vector<Var>{ops::sqrt(Var(y))};
                },
            .oracle = []<class T>(const Arrays<T>& in) -> Arrays<T> {
              Array<T> y(Shape{});
              T s(0);
              for (const Array<T>& x : in)
                for (const T& v : x.values) s += v * v;
              y[0] = sqrt(s);
              return {y};
            },
            .zeros = empty});
}

}  // namespace

void add_optim_cases(CaseList& list) {
  add_adamw(list, "first-step", {5, 7}, {.lr = 1e-3, .weight_decay = 0.01, .t = 1});
  add_adamw(list, "tenth-step", {67}, {.lr = 5e-3, .weight_decay = 0.01, .t = 10});
  add_adamw(list, "clipped", {33}, {.lr = 1e-3, .t = 3, .grad_scale = 0.25});
  add_adamw(list, "lr-0", {17}, {.lr = 0, .weight_decay = 0.1, .t = 2});
  add_adamw(list, "no-decay", {1}, {.lr = 1e-2, .t = 100});
  add_adamw(list, "empty", {0}, {.t = 1});
  add_adamw(list, "192x768", {192, 768},
            {.lr = 1e-3, .beta1 = 0.8, .beta2 = 0.95, .eps = 1e-6, .weight_decay = 0.1, .t = 7});

  add_sgd(list, "plain", {5, 7}, {.lr = 0.1});
  add_sgd(list, "decay", {67}, {.lr = 0.1, .weight_decay = 0.01});
  add_sgd(list, "momentum-first", {17}, {.lr = 0.1, .momentum = 0.9, .first = true});
  add_sgd(list, "momentum-later", {33}, {.lr = 0.1, .momentum = 0.9, .weight_decay = 0.1, .first = false});
  add_sgd(list, "nesterov", {1}, {.lr = 0.1, .momentum = 0.9, .nesterov = true, .first = false});
  add_sgd(list, "clipped", {192, 192},
          {.lr = 0.1, .momentum = 0.9, .nesterov = true, .first = false, .grad_scale = 0.5});
  add_sgd(list, "empty", {0}, {.lr = 0.1});

  add_norm(list, {{1}});
  add_norm(list, {{5, 7}, {67}, {1}, {0}});
  add_norm(list, {{4097}, {3, 5003}, {17}});
  add_norm(list, {{0}});
}

}  // namespace taut::cases
