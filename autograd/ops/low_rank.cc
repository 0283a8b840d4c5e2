// The low-rank update of a linear layer (LoRA): y = x wT + bias + scale (x aT) bT, for one or several blocks of w's
// rows.
//
//   h = scale x AT, A the present a[g] stacked: one product for all blocks;  y_g = (x wT + bias)_g + h_g b_gT
//   dh_g = dy_g b_g;  db_g = dy_gT h_g;  dA = scale dhT x;  dx = dy w + scale dh A
#include "autograd/ops/op_util.h"
#include "kernels/layout.h"
#include "kernels/matmul.h"
#include "kernels/pointwise.h"
#include "kernels/reduce.h"

namespace taut::ops {
namespace {

// The blocks that have a pair: position in the lists, first row of A and rank.
struct Part {
  size_t group;
  int64_t first, rank;
};

struct LowRankShape {
  int64_t rows, in, out, block, total_rank = 0;
  std::vector<Part> parts;
};

template <class T>
void product(Device device, const T* a, int64_t lda, bool transpose_a, const T* b, int64_t ldb, bool transpose_b, T* c,
             int64_t ldc, int64_t m, int64_t n, int64_t k, bool add) {
  MatmulShape s;
  s.m = m;
  s.n = n;
  s.k = k;
  s.lda = lda;
  s.ldb = ldb;
  s.ldc = ldc;
  s.transpose_a = transpose_a;
  s.transpose_b = transpose_b;
  ON_DEVICE(device, matmul<T>(current_stream(device), a, b, nullptr, add ? c : nullptr, c, nullptr, s,
                              add ? Epilogue::kResidual : Epilogue::kNone));
}

LowRankShape shape_of(const Var& x, const Var& w, const Var& bias, const std::vector<Var>& a,
                      const std::vector<Var>& b) {
  const char* op = "low_rank";
  check_defined(op, "x", x);
  check_matches(op, "w", w, x);
  TAUT_CHECK(x.value().ndim() >= 1 && w.value().ndim() == 2 && x.size(-1) == w.size(1),
             "[low_rank] expected 'x' (..., in) and 'w' (out, in), got {} and {}", to_string(x.shape()),
             to_string(w.shape()));
  if (bias.defined()) {
    check_matches(op, "bias", bias, x);
    check_shape(op, "bias", bias, {w.size(0)});
  }
  const auto groups = static_cast<int64_t>(a.size());
  TAUT_CHECK(groups >= 1 && a.size() == b.size() && w.size(0) % groups == 0,
             "[low_rank] expected as many 'a' as 'b', their number a divisor of out = {}, got {} and {}", w.size(0),
             a.size(), b.size());
  LowRankShape s{rows_of(x.shape()), w.size(1), w.size(0), w.size(0) / groups, 0, {}};
  for (size_t g = 0; g < a.size(); ++g) {
    TAUT_CHECK(a[g].defined() == b[g].defined(), "[low_rank] pair {} has only one of 'a' and 'b'", g);
    if (!a[g].defined()) continue;
    check_matches(op, "a", a[g], x);
    check_matches(op, "b", b[g], x);
    TAUT_CHECK(a[g].value().ndim() == 2 && a[g].size(1) == s.in, "[low_rank] expected 'a' (r, {}), got {}", s.in,
               to_string(a[g].shape()));
    check_shape(op, "b", b[g], {s.block, a[g].size(0)});
    s.parts.push_back({g, s.total_rank, a[g].size(0)});
    s.total_rank += a[g].size(0);
  }
  return s;
}

// The present a[g] stacked into (total_rank, in).
Tensor stack(const std::vector<Var>& a, const LowRankShape& s) {
  if (s.parts.size() == 1) return dense(a[s.parts[0].group]);
  Tensor all = empty_as(dense(a[s.parts[0].group]), {s.total_rank, s.in});
  for (const Part& p : s.parts) all.slice(0, p.first, p.rank).copy_from(a[p.group].value());
  return all;
}

// t = factor t.
void multiply(Tensor& t, double factor) {
  on_stored(t.dtype(), "low_rank", [&]<class T>() {
    ON_DEVICE(t.device(), scale<T>(stream_of(t), static_cast<Real<T>>(factor), t.data<T>(), t.data<T>(), t.numel()));
  });
}

}  // namespace

Var low_rank(const Var& x, const Var& w_given, const Var& bias_given, const std::vector<Var>& a_given,
             const std::vector<Var>& b_given, double scale_factor, Precision precision) {
  const Var w = rounded(w_given, x), bias = rounded(bias_given, x);
  std::vector<Var> a, b;
  for (const Var& v : a_given) a.push_back(rounded(v, x));
  for (const Var& v : b_given) b.push_back(rounded(v, x));
  const LowRankShape s = shape_of(x, w, bias, a, b);
  if (s.parts.empty()) return linear(x, w, bias, {}, precision);
  const Tensor in = dense(x), weight = dense(w), all_a = stack(a, s);
  Tensor bias_value;
  if (bias.defined()) bias_value = dense(bias);
  Shape y_shape = in.shape();
  y_shape.back() = s.out;
  Tensor out = empty_as(in, y_shape), h = empty_as(in, {s.rows, s.total_rank});
  on_factors(in.dtype(), precision, "low_rank", [&]<class T>() {
    const Device device = in.device();
    ON_DEVICE(device, linear_forward<T>(stream_of(in), elements<T>(in), elements<T>(weight),
                                        optional_elements<T>(bias_value), nullptr, elements<T>(out), nullptr, s.rows,
                                        s.in, s.out, bias_value.defined() ? Epilogue::kBias : Epilogue::kNone));
    product<T>(device, elements<T>(in), s.in, false, elements<T>(all_a), s.in, true, elements<T>(h), s.total_rank,
               s.rows, s.total_rank, s.in, false);
    multiply(h, scale_factor);
    for (const Part& p : s.parts) {
      const Tensor factor = dense(b[p.group]);
      product<T>(device, elements<T>(h) + p.first, s.total_rank, false, elements<T>(factor), p.rank, true,
                 elements<T>(out) + static_cast<int64_t>(p.group) * s.block, s.out, s.rows, s.block, p.rank, true);
    }
  });

  std::vector<Var> inputs = {x, w, bias};
  for (const Part& p : s.parts) inputs.insert(inputs.end(), {a[p.group], b[p.group]});
  const Needs wanted = needs_of(inputs);
  if (!any(wanted)) return Var(out);
  bool wants_a = false, wants_b = false;
  for (size_t i = 0; i < s.parts.size(); ++i) {
    wants_a = wants_a || wanted[3 + 2 * i];
    wants_b = wants_b || wanted[4 + 2 * i];
  }
  Saved saved_w, saved_a, saved_h;
  std::vector<Saved> saved_b(s.parts.size());
  // Adapted layers of a frozen network often read a normalisation's output, which can be had again for less than its
  // memory.
  std::function<Tensor()> get_x = x.info()->recompute;
  if ((wanted[1] || wants_a) && !get_x) {
    get_x = [saved = Saved("low_rank", "x", in)] { return saved.get(); };
  }
  if (wanted[0]) saved_w = Saved("low_rank", "w", weight);
  if (wanted[0]) saved_a = Saved("low_rank", "a", all_a);
  if (wants_b) saved_h = Saved("low_rank", "x aT", h);
  if (wanted[0] || wants_a)
    for (size_t i = 0; i < s.parts.size(); ++i) saved_b[i] = Saved("low_rank", "b", dense(b[s.parts[i].group]));

  return record("low_rank", out, inputs, [=, x_shape = in.shape()](const Grads& dy, const Needs& needs) -> Grads {
    const Tensor g = dy[0].contiguous();
    const Device device = g.device();
    Grads grads(needs.size());
    bool need_a = false;
    for (size_t i = 0; i < s.parts.size(); ++i) need_a = need_a || needs[3 + 2 * i];
    on_factors(g.dtype(), precision, "low_rank", [&]<class T>() {
      const T* gy = elements<T>(g);
      const Tensor input = needs[1] || need_a ? get_x() : Tensor();
      if (needs[1]) {
        grads[1] = empty_as(g, {s.out, s.in});
        ON_DEVICE(device, linear_backward_weight<T>(stream_of(g), gy, elements<T>(input), elements<T>(grads[1]), s.rows,
                                                    s.in, s.out));
      }
      if (needs[2]) {
        grads[2] = empty_as(g, {s.out});
        on_stored(g.dtype(), "low_rank", [&]<class S>() {
          ON_DEVICE(device, sum_columns<S>(stream_of(g), g.data<S>(), grads[2].data<S>(), s.rows, s.out));
        });
      }
      for (size_t i = 0; i < s.parts.size(); ++i) {
        const Part& p = s.parts[i];
        if (!needs[4 + 2 * i]) continue;
        grads[4 + 2 * i] = empty_as(g, {s.block, p.rank});
        product<T>(device, gy + static_cast<int64_t>(p.group) * s.block, s.out, true,
                   elements<T>(saved_h.get()) + p.first, s.total_rank, false, elements<T>(grads[4 + 2 * i]), p.rank,
                   s.block, p.rank, s.rows, false);
      }
      if (!needs[0] && !need_a) return;
      Tensor dh = empty_as(g, {s.rows, s.total_rank});
      for (size_t i = 0; i < s.parts.size(); ++i) {
        const Part& p = s.parts[i];
        product<T>(device, gy + static_cast<int64_t>(p.group) * s.block, s.out, false, elements<T>(saved_b[i].get()),
                   p.rank, false, elements<T>(dh) + p.first, s.total_rank, s.rows, p.rank, s.block, false);
      }
      multiply(dh, scale_factor);
      if (need_a) {
        Tensor da = empty_as(g, {s.total_rank, s.in});
        product<T>(device, elements<T>(dh), s.total_rank, true, elements<T>(input), s.in, false, elements<T>(da), s.in,
                   s.total_rank, s.in, s.rows, false);
        for (size_t i = 0; i < s.parts.size(); ++i)
          if (needs[3 + 2 * i]) grads[3 + 2 * i] = da.slice(0, s.parts[i].first, s.parts[i].rank);
      }
      if (needs[0]) {
        Tensor dx = empty_as(g, x_shape);
        ON_DEVICE(device, linear_backward_input<T>(stream_of(g), gy, elements<T>(saved_w.get()), elements<T>(dx),
                                                   s.rows, s.in, s.out));
        product<T>(device, elements<T>(dh), s.total_rank, false, elements<T>(saved_a.get()), s.in, false,
                   elements<T>(dx), s.in, s.rows, s.in, s.total_rank, true);
        grads[0] = dx;
      }
    });
    return grads;
  });
}

}  // namespace taut::ops
