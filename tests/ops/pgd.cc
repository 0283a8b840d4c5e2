// Cases of the steps and starts of projected gradient descent and of the distances they promise.
#include "kernels/pgd.h"

#include "tests/ops/families.h"

namespace taut::cases {
namespace {

Stream stream(const Tensor& t) { return current_stream(t.device()); }

template <class T>
T sign(T x) {
  return x > T(0) ? T(1) : x < T(0) ? T(-1) : T(0);
}

template <class T>
T norm_of(const T* d, int64_t n) {
  T s(0);
  for (int64_t i = 0; i < n; ++i) s += d[i] * d[i];
  return sqrt(s);
}

struct Setting {
  std::string name;
  int64_t samples, n;
  double alpha, eps;
};

// Images in [0, 1], and others within eps of them or so.
Input image(const Setting& s) { return {.shape = {s.samples, s.n}, .low = 0, .high = 1, .differentiable = false}; }

// adv' of x, g, adv by a kernel that works in place.
template <class Kernel>
auto step_with(Kernel kernel) {
  return [kernel](const std::vector<Var>& in) {
    Tensor adv = in[2].value().clone();
    const Tensor x = in[0].value(), g = in[1].value();
    on_float(adv.dtype(), "pgd", [&]<class T>() { kernel(x.data<T>(), g.data<T>(), adv.data<T>(), adv.device()); });
    return std::vector<Var>{Var(adv)};
  };
}

void add_steps(CaseList& list, const Setting& s) {
  const auto bounded = [](auto d, double eps) { return clamp(d, decltype(d)(-eps), decltype(d)(eps)); };
  const auto pixel = []<class T>(T v) { return clamp(v, T(0), T(1)); };
  list.add({.op = "pgd_step_linf",
            .name = s.name,
            .inputs = {image(s), {.shape = {s.samples, s.n}, .differentiable = false}, image(s)},
            .run = step_with([=]<class T>(const T* x, const T* g, T* adv, Device device) {
              ON_DEVICE(device, pgd_step_linf<T>(current_stream(device), x, g, adv, s.samples, s.n,
                                                 static_cast<T>(s.alpha), static_cast<T>(s.eps)));
            }),
            .oracle = [=]<class T>(const Arrays<T>& in) -> Arrays<T> {
              Array<T> y(in[0].shape);
              for (int64_t i = 0; i < y.numel(); ++i) {
                const T moved = in[2][i] + T(s.alpha) * sign(in[1][i]);
                y[i] = pixel(in[0][i] + bounded(moved - in[0][i], s.eps));
              }
              return {y};
            },
            .specials = Specials::kNone});  // the sign of a NaN is 0 by definition
  list.add({.op = "pgd_step_l2",
            .name = s.name,
            .inputs = {image(s), {.shape = {s.samples, s.n}, .differentiable = false}, image(s)},
            .run = step_with([=]<class T>(const T* x, const T* g, T* adv, Device device) {
              ON_DEVICE(device, pgd_step_l2<T>(current_stream(device), x, g, adv, s.samples, s.n,
                                               static_cast<T>(s.alpha), static_cast<T>(s.eps)));
            }),
            .oracle = [=]<class T>(const Arrays<T>& in) -> Arrays<T> {
              Array<T> y(in[0].shape);
              std::vector<T> d(static_cast<size_t>(s.n));
              for (int64_t k = 0; k < s.samples; ++k) {
                const T length = norm_of(&in[1][k * s.n], s.n) + T(1e-10);
                for (int64_t i = 0; i < s.n; ++i) {
                  const int64_t at = k * s.n + i;
                  d[static_cast<size_t>(i)] = in[2][at] + T(s.alpha) * in[1][at] / length - in[0][at];
                }
                const T ratio = T(s.eps) / larger(norm_of(d.data(), s.n), T(1e-12));
                const T factor = ratio < T(1) ? ratio : T(1);
                for (int64_t i = 0; i < s.n; ++i)
                  y[k * s.n + i] = pixel(in[0][k * s.n + i] + d[static_cast<size_t>(i)] * factor);
              }
              return {y};
            },
            .specials = Specials::kNone});  // what a clamp makes of a NaN is not promised
}

// The step on patches: outputs adv' and its patches.
struct PatchSetting {
  int64_t b, c, h, w, p;
};

void add_patch_steps(CaseList& list, const PatchSetting& s) {
  const PatchShape shape{s.b, s.c, s.h, s.w, s.p};
  const Shape images{s.b, s.c, s.h, s.w}, patches{s.b, shape.n(), s.c * s.p * s.p};
  const double alpha = 0.01, eps = 0.03, mean = 0.45, std = 0.25;
  list.add({.op = "pgd_step_patches",
            .name = fmt::format("{}-patch-{}", shape_name(images), s.p),
            .inputs = {{.shape = images, .low = 0, .high = 1, .differentiable = false},
                       {.shape = patches, .differentiable = false},
                       {.shape = images, .low = 0, .high = 1, .differentiable = false}},
            .run =
                [=](const std::vector<Var>& in) {
                  // Images stay in f32 where their patches are bf16.
                  const Tensor g = in[1].value();
                  const DType stored = g.dtype(), real = stored == DType::kBF16 ? DType::kF32 : stored;
                  const Tensor x = in[0].value().to(real);
                  Tensor adv = in[2].value().to(real).clone();
                  Tensor out = Tensor::empty(patches, stored, x.device());
                  const auto constants = [&](double v) { return Tensor::full({s.c}, v, x.dtype(), x.device()); };
                  const Tensor means = constants(mean), deviations = constants(std);
                  on_stored(stored, "pgd", [&]<class T>() {
                    using R = Real<T>;
                    ON_DEVICE(x.device(), pgd_step_patches<T>(stream(x), x.data<R>(), g.data<T>(), means.data<R>(),
                                                              deviations.data<R>(), adv.data<R>(), out.data<T>(), shape,
                                                              static_cast<R>(alpha), static_cast<R>(eps)));
                  });
                  return std::vector<Var>{Var(adv), Var(out)};
                },
            .oracle = [=]<class T>(const Arrays<T>& in) -> Arrays<T> {
              Array<T> adv(images), out(patches);
              const int64_t across = s.w / s.p;
              for (int64_t i = 0; i < out.numel(); ++i) {
                const int64_t column = i % (s.c * s.p * s.p), patch = i / (s.c * s.p * s.p) % shape.n();
                const int64_t image = i / (shape.n() * s.c * s.p * s.p);
                const int64_t channel = column / (s.p * s.p), row = patch / across * s.p + column / s.p % s.p;
                const int64_t at = ((image * s.c + channel) * s.h + row) * s.w + patch % across * s.p + column % s.p;
                const T d = in[2][at] + T(alpha) * sign(in[1][i]) - in[0][at];
                adv[at] = clamp(in[0][at] + clamp(d, T(-eps), T(eps)), T(0), T(1));
                out[i] = (adv[at] - T(mean)) / T(std);
              }
              return {adv, out};
            },
            .bf16 = true,
            .specials = Specials::kNone});
}

void add_starts(CaseList& list, const Setting& s) {
  const auto pixel = []<class T>(T v) { return clamp(v, T(0), T(1)); };
  list.add({.op = "pgd_start_linf",
            .name = s.name,
            .inputs = {image(s), image(s)},
            .run =
                [=](const std::vector<Var>& in) {
                  const Tensor x = in[0].value(), u = in[1].value();
                  Tensor adv = Tensor::empty(x.shape(), x.dtype(), x.device());
                  on_float(x.dtype(), "pgd", [&]<class T>() {
                    ON_DEVICE(x.device(), pgd_start_linf<T>(stream(x), x.data<T>(), u.data<T>(), adv.data<T>(),
                                                            s.samples, s.n, static_cast<T>(s.eps)));
                  });
                  return std::vector<Var>{Var(adv)};
                },
            .oracle = [=]<class T>(const Arrays<T>& in) -> Arrays<T> {
              Array<T> y(in[0].shape);
              for (int64_t i = 0; i < y.numel(); ++i) y[i] = pixel(in[0][i] + T(s.eps) * (T(2) * in[1][i] - T(1)));
              return {y};
            },
            .specials = Specials::kNone});
  list.add({.op = "pgd_start_l2",
            .name = s.name,
            .inputs = {image(s),
                       {.shape = {s.samples, s.n}, .differentiable = false},
                       {.shape = {s.samples}, .low = 0, .high = 1, .differentiable = false}},
            .run =
                [=](const std::vector<Var>& in) {
                  const Tensor x = in[0].value(), direction = in[1].value(), radius = in[2].value();
                  Tensor adv = Tensor::empty(x.shape(), x.dtype(), x.device());
                  on_float(x.dtype(), "pgd", [&]<class T>() {
                    ON_DEVICE(x.device(), pgd_start_l2<T>(stream(x), x.data<T>(), direction.data<T>(), radius.data<T>(),
                                                          adv.data<T>(), s.samples, s.n, static_cast<T>(s.eps)));
                  });
                  return std::vector<Var>{Var(adv)};
                },
            .oracle = [=]<class T>(const Arrays<T>& in) -> Arrays<T> {
              Array<T> y(in[0].shape);
              for (int64_t k = 0; k < s.samples; ++k) {
                const T length = larger(norm_of(&in[1][k * s.n], s.n), T(1e-12));
                for (int64_t i = 0; i < s.n; ++i)
                  y[k * s.n + i] = pixel(in[0][k * s.n + i] + T(s.eps) * in[2][k] * in[1][k * s.n + i] / length);
              }
              return {y};
            },
            .zeros = s.samples * s.n <= 1,
            .specials = Specials::kNone});
}

void add_distances(CaseList& list, const Setting& s) {
  for (const bool l2 : {false, true}) {
    list.add({.op = l2 ? "pgd_l2_distance" : "pgd_linf_distance",
              .name = s.name,
              .inputs = {image(s), image(s)},
              .run =
                  [=](const std::vector<Var>& in) {
                    const Tensor x = in[0].value(), adv = in[1].value();
                    Tensor y = Tensor::empty({s.samples}, x.dtype(), x.device());
                    on_float(x.dtype(), "pgd", [&]<class T>() {
                      if (l2) {
                        ON_DEVICE(x.device(),
                                  l2_distance<T>(stream(x), x.data<T>(), adv.data<T>(), y.data<T>(), s.samples, s.n));
                      } else {
                        ON_DEVICE(x.device(),
                                  linf_distance<T>(stream(x), x.data<T>(), adv.data<T>(), y.data<T>(), s.samples, s.n));
                      }
                    });
                    return std::vector<Var>{Var(y)};
                  },
              .oracle = [=]<class T>(const Arrays<T>& in) -> Arrays<T> {
                Array<T> y({s.samples});
                for (int64_t k = 0; k < s.samples; ++k) {
                  T most(0), squares(0);
                  for (int64_t i = 0; i < s.n; ++i) {
                    const T d = in[1][k * s.n + i] - in[0][k * s.n + i];
                    most = larger(abs(d), most);
                    squares += d * d;
                  }
                  y[k] = l2 ? sqrt(squares) : most;
                }
                return {y};
              }});
  }
}

}  // namespace

void add_pgd_cases(CaseList& list) {
  const Setting settings[] = {
      {"1x1", 1, 1, 0.1, 0.3},       {"3x17", 3, 17, 0.25, 0.5}, {"2x67-paper", 2, 67, 1.0 / 1020, 1.0 / 255},
      {"descend", 3, 13, -0.1, 0.3}, {"empty", 0, 5, 0.1, 0.3},  {"2x3072-8/255", 2, 3072, 2.0 / 255, 8.0 / 255}};
  for (const Setting& s : settings) {
    add_steps(list, s);
    add_starts(list, s);
    add_distances(list, s);
  }
  for (const PatchSetting& s :
       {PatchSetting{2, 3, 8, 12, 4}, PatchSetting{1, 3, 5, 7, 1}, PatchSetting{3, 1, 9, 3, 3},
        PatchSetting{0, 3, 4, 4, 2}, PatchSetting{2, 3, 64, 64, 16}, PatchSetting{1, 3, 224, 224, 16}})
    add_patch_steps(list, s);
}

}  // namespace taut::cases
