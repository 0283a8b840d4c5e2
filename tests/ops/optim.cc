// Cases of adamw_step, sgd_step and the global gradient norm: kernels without gradients, the first and the last over
// many tensors.
#include "kernels/optim.h"

#include "kernels/adamw_constants.h"
#include "kernels/reduce.h"
#include "tests/ops/families.h"

namespace taut::cases {
namespace {

Stream stream(const Tensor& t) { return current_stream(t.device()); }

// Trained parameters of a block of ViT-Ti/16.
const std::vector<Shape> kVitBlock{{192}, {192}, {576, 192}, {576}, {192, 192}, {192},
                                   {192}, {192}, {768, 192}, {768}, {192, 768}, {192}};

// Parameters of 1, 2, ... elements: more than a launch takes.
std::vector<Shape> many_shapes() {
  std::vector<Shape> shapes;
  for (int64_t n = 1; n <= 70; ++n) shapes.push_back({n});
  shapes[17] = Shape{0};
  return shapes;
}

double elements(const std::vector<Shape>& shapes) {
  double n = 0;
  for (const Shape& s : shapes) n += static_cast<double>(numel(s));
  return n;
}

// Inputs p, gradient, m, v of each parameter, outputs p, m, v. Every other one, from the second on, does not decay.
void add_adamw(CaseList& list, const std::string& name, const std::vector<Shape>& shapes, const AdamWStep& step) {
  std::vector<Input> inputs;
  for (const Shape& shape : shapes) {
    inputs.push_back({.shape = shape, .differentiable = false});
    inputs.push_back({.shape = shape, .low = -0.1, .high = 0.1, .differentiable = false});
    inputs.push_back({.shape = shape, .low = -0.1, .high = 0.1, .differentiable = false});
    inputs.push_back({.shape = shape, .low = 0, .high = 0.01, .differentiable = false});
  }
  const auto of = [step](size_t which) {
    AdamWStep mine = step;
    if (which % 2 == 1) mine.weight_decay = 0;
    return mine;
  };
  list.add({.op = "adamw",
            .name = name,
            .inputs = inputs,
            .run =
                [=](const std::vector<Var>& in) {
                  std::vector<Var> out;
                  for (size_t i = 0; i < in.size(); ++i)
                    if (i % 4 != 1) out.emplace_back(in[i].value().clone());
                  const Device device = in[0].value().device();
                  on_float(in[0].dtype(), "adamw", [&]<class T>() {
                    Tensor constants[2];
                    for (const size_t k : {size_t{0}, size_t{1}}) {
                      const AdamWConstants<T> host = adamw_constants<T>(of(k));
                      constexpr int64_t kNumbers = sizeof host / sizeof(T);
                      constants[k] = Tensor::from(std::span(&host.grad_scale, kNumbers), {kNumbers}).to(device);
                    }
                    std::vector<AdamWTensor<T>> tensors;
                    for (size_t i = 0; i < in.size() / 4; ++i) {
                      const auto at = [&](size_t k) { return Tensor(out[3 * i + k].value()).data<T>(); };
                      tensors.push_back({at(0), in[4 * i + 1].value().data<T>(), at(1), at(2),
                                         in[4 * i].value().numel(),
                                         reinterpret_cast<const AdamWConstants<T>*>(constants[i % 2].data<T>())});
                    }
                    ON_DEVICE(device, adamw_step<T>(current_stream(device), tensors.data(), std::ssize(tensors)));
                  });
                  return out;
                },
            .oracle = [=]<class T>(const Arrays<T>& in) -> Arrays<T> {
              Arrays<T> out;
              for (size_t k = 0; k < in.size() / 4; ++k) {
                const Array<T>*const p = &in[4 * k], *const g0 = p + 1, *const m0 = p + 2, *const v0 = p + 3;
                const AdamWStep mine = of(k);
                const T c1(1 - std::pow(mine.beta1, static_cast<double>(mine.t)));
                const T c2(1 - std::pow(mine.beta2, static_cast<double>(mine.t)));
                out.insert(out.end(), {*p, *m0, *v0});
                for (int64_t i = 0; i < p->numel(); ++i) {
                  const T g = T(mine.grad_scale) * (*g0)[i];
                  const T m = (*m0)[i] + T(1 - mine.beta1) * (g - (*m0)[i]);
                  const T v = T(mine.beta2) * (*v0)[i] + T(1 - mine.beta2) * g * g;
                  const T decayed = (*p)[i] * T(1 - mine.lr * mine.weight_decay);
                  out[3 * k][i] = decayed - T(mine.lr) * (m / c1) / (sqrt(v / c2) + T(mine.eps));
                  out[3 * k + 1][i] = m;
                  out[3 * k + 2][i] = v;
                }
              }
              return out;
            },
            .specials = shapes.size() == 1 ? Specials::kAll : Specials::kNone,  // as in the cases of one
            .flops = 12.0 * elements(shapes)});
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

void add_norm(CaseList& list, const std::vector<Shape>& shapes, const std::string& what = "") {
  std::vector<Input> inputs;
  std::string name;
  bool empty = true;
  for (const Shape& s : shapes) {
    inputs.push_back({.shape = s, .differentiable = false});
    name += fmt::format("{}{}", name.empty() ? "" : ",", shape_name(s));
    empty = empty && numel(s) == 0;
  }
  list.add({.op = "global_grad_norm",
            .name = what.empty() ? name : what,
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
  add_adamw(list, "first-step", {{5, 7}}, {.lr = 1e-3, .weight_decay = 0.01, .t = 1});
  add_adamw(list, "tenth-step", {{67}}, {.lr = 5e-3, .weight_decay = 0.01, .t = 10});
  add_adamw(list, "clipped", {{33}}, {.lr = 1e-3, .t = 3, .grad_scale = 0.25});
  add_adamw(list, "lr-0", {{17}}, {.lr = 0, .weight_decay = 0.1, .t = 2});
  add_adamw(list, "no-decay", {{1}}, {.lr = 1e-2, .t = 100});
  add_adamw(list, "empty", {{0}}, {.t = 1});
  const AdamWStep seventh{.lr = 1e-3, .beta1 = 0.8, .beta2 = 0.95, .eps = 1e-6, .weight_decay = 0.1, .t = 7};
  add_adamw(list, "many", many_shapes(), seventh);
  add_adamw(list, "vit-block", kVitBlock, seventh);

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
  add_norm(list, many_shapes(), "many");
  add_norm(list, kVitBlock, "vit-block");
}

}  // namespace taut::cases
