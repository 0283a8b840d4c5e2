// Convolutions against plain loops that follow the numeric contract (docs/numerics.md): equal bit for bit, on both
// instruction sets and for several numbers of threads, whatever way they are computed.
#include "kernels/conv2d.h"

#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "kernels/winograd.h"
#include "tests/kernels/contract.h"

namespace taut {
namespace {

using contract::isas;
using contract::random_normal;
using contract::same_bytes;
using contract::Threads;

template <class T>
struct Problem {
  ConvShape s;
  std::vector<T> x, w, bias, dy;

  explicit Problem(const ConvShape& shape) : s(shape) {
    x = random_normal<T>(s.n * s.h * s.w * s.c_in, 1);
    w = random_normal<T>(s.weights(), 2);
    bias = random_normal<T>(s.c_out, 3);
    dy = random_normal<T>(s.rows_out() * s.c_out, 4);
  }

  T image(int64_t n, int64_t i, int64_t j, int64_t c) const {
    const bool inside = i >= 0 && i < s.h && j >= 0 && j < s.w;
    return inside ? x[static_cast<size_t>(((n * s.h + i) * s.w + j) * s.c_in + c)] : T(0);
  }
  T gradient(int64_t n, int64_t i, int64_t j, int64_t o) const {
    const bool inside = i >= 0 && i < s.out_h() && j >= 0 && j < s.out_w();
    return inside ? dy[static_cast<size_t>(((n * s.out_h() + i) * s.out_w() + j) * s.c_out + o)] : T(0);
  }
  T weight(int64_t o, int64_t c, int64_t tap) const {
    return w[static_cast<size_t>((o * s.group_in() + c) * s.kh * s.kw + tap)];
  }
  bool depthwise() const { return s.groups > 1 && s.groups == s.c_in && s.groups == s.c_out; }

  // Over (tap, c), taps row by row; of a depthwise convolution one chain, whatever its length.
  std::vector<T> forward() const {
    std::vector<T> y;
    const int64_t cg = s.group_in();
    for (int64_t n = 0; n < s.n; ++n)
      for (int64_t i = 0; i < s.out_h(); ++i)
        for (int64_t j = 0; j < s.out_w(); ++j)
          for (int64_t o = 0; o < s.c_out; ++o) {
            const auto a = [&](int64_t k) {
              const int64_t tap = k / cg, r = tap / s.kw, q = tap % s.kw;
              return image(n, i * s.stride.h - s.padding.h + r * s.dilation.h,
                           j * s.stride.w - s.padding.w + q * s.dilation.w, o / s.group_out() * cg + k % cg);
            };
            y.push_back(
                contract::product<T>(s.kh * s.kw * cg, a, [&](int64_t k) { return weight(o, k % cg, k / cg); }) +
                bias[static_cast<size_t>(o)]);
          }
    return y;
  }

  // Taps that reach the pixel, in ascending order of the output they belong to.
  struct Tap {
    int64_t i, j, index;
  };
  std::vector<Tap> taps_of(int64_t y, int64_t x) const {
    std::vector<Tap> taps;
    for (int64_t r = s.kh - 1; r >= 0; --r)
      for (int64_t q = s.kw - 1; q >= 0; --q) {
        const int64_t i = y + s.padding.h - r * s.dilation.h, j = x + s.padding.w - q * s.dilation.w;
        if (i % s.stride.h == 0 && j % s.stride.w == 0) taps.push_back({i / s.stride.h, j / s.stride.w, r * s.kw + q});
      }
    return taps;
  }

  std::vector<T> backward_input(bool few) const {
    std::vector<T> dx;
    const int64_t cg = s.group_in(), og = s.group_out();
    for (int64_t n = 0; n < s.n; ++n)
      for (int64_t y = 0; y < s.h; ++y)
        for (int64_t x = 0; x < s.w; ++x) {
          const std::vector<Tap> taps = taps_of(y, x);
          for (int64_t c = 0; c < s.c_in; ++c) {
            const int64_t o0 = c / cg * og;
            if (!few) {
              const auto tap = [&](int64_t k) { return taps[static_cast<size_t>(k / og)]; };
              dx.push_back(contract::product<T>(
                  std::ssize(taps) * og, [&](int64_t k) { return gradient(n, tap(k).i, tap(k).j, o0 + k % og); },
                  [&](int64_t k) { return weight(o0 + k % og, c % cg, tap(k).index); }));
              continue;
            }
            T sum = 0;
            for (const Tap& tap : taps)
              sum += contract::product<T>(
                  s.c_out, [&](int64_t o) { return weight(o, c, tap.index); },
                  [&](int64_t o) { return gradient(n, tap.i, tap.j, o); });
            dx.push_back(sum);
          }
        }
    return dx;
  }

  std::vector<T> backward_weight() const {
    std::vector<T> dw;
    const int64_t cg = s.group_in(), across = s.out_w(), area = s.out_h() * across;
    for (int64_t o = 0; o < s.c_out; ++o)
      for (int64_t c = 0; c < cg; ++c)
        for (int64_t r = 0; r < s.kh; ++r)
          for (int64_t q = 0; q < s.kw; ++q)
            dw.push_back(contract::product<T>(
                s.rows_out(),
                [&](int64_t p) {
                  return image(p / area, p % area / across * s.stride.h - s.padding.h + r * s.dilation.h,
                               p % across * s.stride.w - s.padding.w + q * s.dilation.w, o / s.group_out() * cg + c);
                },
                [&](int64_t p) { return dy[static_cast<size_t>(p * s.c_out + o)]; }));
    return dw;
  }
};

#define ON_ISA(isa, ...) ((isa) == Isa::kAvx512 ? avx512::__VA_ARGS__ : avx2::__VA_ARGS__)

// Runs body(isa) on both instruction sets and 1, 2 and 5 threads.
template <class Body>
void everywhere(Body&& body) {
  for (const Isa isa : isas())
    for (const int threads : {1, 2, 5}) {
      const Threads scope(threads);
      INFO(name(isa), " ", threads, " threads");
      body(isa);
    }
}

std::vector<ConvShape> product_shapes() {
  return {
      {.n = 2, .h = 9, .w = 7, .c_in = 5, .c_out = 19, .kh = 3, .kw = 3, .padding = 1},
      {.n = 2, .h = 9, .w = 8, .c_in = 16, .c_out = 32, .kh = 3, .kw = 3, .stride = 2, .padding = 1},
      {.n = 1, .h = 23, .w = 22, .c_in = 3, .c_out = 33, .kh = 7, .kw = 7, .stride = 2, .padding = 3},
      {.n = 1, .h = 12, .w = 10, .c_in = 6, .c_out = 16, .kh = 3, .kw = 2, .stride = 3, .padding = 2, .dilation = 2},
      {.n = 2, .h = 11, .w = 11, .c_in = 7, .c_out = 9, .kh = 3, .kw = 3, .stride = 2, .padding = 4, .dilation = 4},
      {.n = 1, .h = 8, .w = 9, .c_in = 34, .c_out = 20, .kh = 3, .kw = 3, .padding = 1, .groups = 2},
      {.n = 1, .h = 7, .w = 5, .c_in = 50, .c_out = 16, .kh = 3, .kw = 3, .stride = 2, .padding = 1},
      {.n = 3, .h = 16, .w = 13, .c_in = 2, .c_out = 17, .kh = 3, .kw = 3, .padding = 1},
      {.n = 2, .h = 6, .w = 6, .c_in = 18, .c_out = 5, .kh = 1, .kw = 1, .stride = 2},
      {.n = 2, .h = 5, .w = 7, .c_in = 18, .c_out = 6, .kh = 1, .kw = 1},
      {.n = 1, .h = 10, .w = 9, .c_in = 18, .c_out = 18, .kh = 3, .kw = 5, .padding = 2, .groups = 18},
      {.n = 2, .h = 14, .w = 13, .c_in = 5, .c_out = 5, .kh = 3, .kw = 3, .stride = 2, .padding = 1, .groups = 5},
      // Rows and columns apart.
      {.n = 2, .h = 9, .w = 13, .c_in = 5, .c_out = 19, .kh = 3, .kw = 1, .stride = {1, 2}, .padding = {1, 0}},
      {.n = 1,
       .h = 14,
       .w = 11,
       .c_in = 7,
       .c_out = 9,
       .kh = 2,
       .kw = 5,
       .stride = {3, 2},
       .padding = {0, 4},
       .dilation = {3, 1}},
      {.n = 1,
       .h = 12,
       .w = 15,
       .c_in = 4,
       .c_out = 17,
       .kh = 5,
       .kw = 3,
       .stride = {2, 3},
       .padding = {3, 0},
       .dilation = {1, 2}},
      {.n = 1,
       .h = 11,
       .w = 8,
       .c_in = 6,
       .c_out = 6,
       .kh = 2,
       .kw = 3,
       .stride = {2, 1},
       .padding = {1, 2},
       .dilation = {3, 2},
       .groups = 6},
      {.n = 1, .h = 8, .w = 9, .c_in = 16, .c_out = 16, .kh = 3, .kw = 3, .padding = {1, 2}},
      {.n = 1, .h = 7, .w = 6, .c_in = 16, .c_out = 33, .kh = 2, .kw = 4, .padding = {0, 1}, .extra = 1},
      {.n = 1, .h = 5, .w = 6, .c_in = 3, .c_out = 8, .kh = 1, .kw = 1, .extra = {0, 2}},
  };
}

TEST_CASE_TEMPLATE("convolutions follow the contract bit for bit", T, float, double) {
  for (const ConvShape& s : product_shapes()) {
    REQUIRE(!is_winograd<T>(s));
    const Problem<T> p(s);
    INFO(s.n, "x", s.h, "x", s.w, "x", s.c_in, " ", s.c_out, "x", s.kh, "x", s.kw, " groups ", s.groups);
    const bool linear = s.kh == 1 && s.kw == 1 && s.stride == 1 && s.padding == 0 && s.extra == 0;
    const std::vector<T> y = p.forward(), dx = p.backward_input(s.c_in <= 4 && s.groups == 1 && !linear),
                         dw = p.backward_weight();
    everywhere([&](Isa isa) {
      std::vector<T> got(y.size(), T(7));
      ON_ISA(isa, conv2d_forward<T>({}, p.x.data(), p.w.data(), p.bias.data(), got.data(), s));
      CHECK(same_bytes(got, y));
      got.assign(dx.size(), T(7));
      ON_ISA(isa, conv2d_backward_input<T>({}, p.dy.data(), p.w.data(), got.data(), s));
      CHECK(same_bytes(got, dx));
      got.assign(dw.size(), T(7));
      ON_ISA(isa, conv2d_backward_weight<T>({}, p.dy.data(), p.x.data(), got.data(), s));
      CHECK(same_bytes(got, dw));
    });
  }
}

// ---- Winograd, tile by tile and element by element
// --------------------------------------------------------------------

using scalar::winograd::both_ways;

struct Tile6 {
  float e[6][6];
};

struct WinogradLoop {
  const Problem<float>& p;
  int64_t down(int64_t rows) const { return (rows + 3) / 4; }

  template <class Transform, class Get>
  static void transform(Get&& get, float (&out)[Transform::kOut][Transform::kOut]) {
    both_ways<Transform, float>(get, [&](int i, int j, float v) { out[i][j] = v; });
  }

  // y (n, h, w, out) of `pixel` (n, i, j, c) with `tap` (o, c, r, s), the window of output (0, 0) starting at -padding.
  template <class Pixel, class Tap>
  std::vector<float> convolve(int64_t h, int64_t w, int64_t in, int64_t out, int64_t padding, Pixel&& pixel, Tap&& tap,
                              const float* bias) const {
    std::vector<float> y(static_cast<size_t>(p.s.n * h * w * out));
    std::vector<Tile6> u(static_cast<size_t>(in * out)), v(static_cast<size_t>(in));
    for (int64_t o = 0; o < out; ++o)
      for (int64_t c = 0; c < in; ++c)
        transform<scalar::winograd::Weight>([&](int i, int j) { return tap(o, c, i, j); },
                                            u[static_cast<size_t>(o * in + c)].e);
    for (int64_t n = 0; n < p.s.n; ++n)
      for (int64_t y0 = 0; y0 < h; y0 += 4)
        for (int64_t x0 = 0; x0 < w; x0 += 4) {
          for (int64_t c = 0; c < in; ++c)
            transform<scalar::winograd::Image>(
                [&](int i, int j) { return pixel(n, y0 - padding + i, x0 - padding + j, c); },
                v[static_cast<size_t>(c)].e);
          for (int64_t o = 0; o < out; ++o) {
            float m[6][6], result[4][4];
            for (int i = 0; i < 6; ++i)
              for (int j = 0; j < 6; ++j)
                m[i][j] = contract::product<float>(
                    in, [&](int64_t c) { return v[static_cast<size_t>(c)].e[i][j]; },
                    [&](int64_t c) { return u[static_cast<size_t>(o * in + c)].e[i][j]; });
            transform<scalar::winograd::Output>([&](int i, int j) { return m[i][j]; }, result);
            for (int i = 0; i < 4 && y0 + i < h; ++i)
              for (int j = 0; j < 4 && x0 + j < w; ++j)
                y[static_cast<size_t>(((n * h + y0 + i) * w + x0 + j) * out + o)] =
                    bias == nullptr ? result[i][j] : result[i][j] + bias[o];
          }
        }
    return y;
  }

  std::vector<float> backward_weight() const {
    const ConvShape& s = p.s;
    std::vector<Tile6> v, z;  // (tile, channel)
    int64_t tiles = 0;
    for (int64_t n = 0; n < s.n; ++n)
      for (int64_t y0 = 0; y0 < s.out_h(); y0 += 4)
        for (int64_t x0 = 0; x0 < s.out_w(); x0 += 4, ++tiles) {
          for (int64_t c = 0; c < s.c_in; ++c)
            transform<scalar::winograd::Image>(
                [&](int i, int j) { return p.image(n, y0 - s.padding.h + i, x0 - s.padding.w + j, c); },
                v.emplace_back().e);
          for (int64_t o = 0; o < s.c_out; ++o)
            transform<scalar::winograd::OutputGradient>([&](int i, int j) { return p.gradient(n, y0 + i, x0 + j, o); },
                                                        z.emplace_back().e);
        }
    std::vector<float> dw;
    for (int64_t o = 0; o < s.c_out; ++o)
      for (int64_t c = 0; c < s.c_in; ++c) {
        float m[6][6], taps[3][3];
        for (int i = 0; i < 6; ++i)
          for (int j = 0; j < 6; ++j)
            m[i][j] = contract::product<float>(
                tiles, [&](int64_t t) { return v[static_cast<size_t>(t * s.c_in + c)].e[i][j]; },
                [&](int64_t t) { return z[static_cast<size_t>(t * s.c_out + o)].e[i][j]; }, 64);
        transform<scalar::winograd::WeightGradient>([&](int i, int j) { return m[i][j]; }, taps);
        for (const auto& row : taps) dw.insert(dw.end(), row, row + 3);
      }
    return dw;
  }
};

TEST_CASE("Winograd's convolutions are its transforms and the contract's products, bit for bit") {
  const ConvShape shapes[] = {
      {.n = 2, .h = 8, .w = 8, .c_in = 16, .c_out = 32, .kh = 3, .kw = 3, .padding = 1},
      {.n = 3, .h = 10, .w = 7, .c_in = 19, .c_out = 37, .kh = 3, .kw = 3, .padding = 0},
      {.n = 1, .h = 5, .w = 14, .c_in = 65, .c_out = 16, .kh = 3, .kw = 3, .padding = 2},
      {.n = 9, .h = 13, .w = 12, .c_in = 16, .c_out = 17, .kh = 3, .kw = 3, .padding = 1},
      {.n = 1, .h = 4, .w = 4, .c_in = 400, .c_out = 33, .kh = 3, .kw = 3, .padding = 1},
  };
  for (const ConvShape& s : shapes) {
    REQUIRE(is_winograd<float>(s));
    REQUIRE(!is_winograd<double>(s));
    const Problem<float> p(s);
    const WinogradLoop loop{p};
    INFO(s.n, "x", s.h, "x", s.w, "x", s.c_in, " ", s.c_out, " padding ", s.padding.h);
    const std::vector<float> y = loop.convolve(
        s.out_h(), s.out_w(), s.c_in, s.c_out, s.padding.h,
        [&](int64_t n, int64_t i, int64_t j, int64_t c) { return p.image(n, i, j, c); },
        [&](int64_t o, int64_t c, int i, int j) { return p.weight(o, c, 3 * i + j); }, p.bias.data());
    const std::vector<float> dx = loop.convolve(
        s.h, s.w, s.c_out, s.c_in, 2 - s.padding.h,
        [&](int64_t n, int64_t i, int64_t j, int64_t o) { return p.gradient(n, i, j, o); },
        [&](int64_t c, int64_t o, int i, int j) { return p.weight(o, c, 8 - 3 * i - j); }, nullptr);
    const std::vector<float> dw = loop.backward_weight();
    everywhere([&](Isa isa) {
      std::vector<float> got(y.size(), 7);
      ON_ISA(isa, conv2d_forward<float>({}, p.x.data(), p.w.data(), p.bias.data(), got.data(), s));
      CHECK(same_bytes(got, y));
      got.assign(dx.size(), 7);
      ON_ISA(isa, conv2d_backward_input<float>({}, p.dy.data(), p.w.data(), got.data(), s));
      CHECK(same_bytes(got, dx));
      got.assign(dw.size(), 7);
      ON_ISA(isa, conv2d_backward_weight<float>({}, p.dy.data(), p.x.data(), got.data(), s));
      CHECK(same_bytes(got, dw));
    });
  }
}

TEST_CASE("an image's bytes do not depend on the images beside it") {
  for (const int64_t channels : {4, 16}) {  // a plain product, and Winograd's
    const ConvShape s{.n = 5, .h = 9, .w = 10, .c_in = channels, .c_out = 16, .kh = 3, .kw = 3, .padding = 1};
    const Problem<float> p(s);
    std::vector<float> all(p.dy.size()), one(p.dy.size() / 5);
    ConvShape single = s;
    single.n = 1;
    for (const Isa isa : isas()) {
      ON_ISA(isa, conv2d_forward<float>({}, p.x.data(), p.w.data(), nullptr, all.data(), s));
      ON_ISA(isa, conv2d_forward<float>({}, p.x.data() + 3 * 90 * channels, p.w.data(), nullptr, one.data(), single));
      CHECK(std::memcmp(one.data(), all.data() + 3 * one.size(), one.size() * sizeof(float)) == 0);
    }
  }
}

#undef ON_ISA

}  // namespace
}  // namespace taut
