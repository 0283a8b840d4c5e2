#include "kernels/lab/problems.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>

#include "kernels/error.h"

namespace taut::lab {
namespace {

uint32_t next(uint32_t* state) { return *state = *state * 1664525u + 1013904223u; }

// The same in every run.
Values values(int64_t count, uint32_t seed, float low = -1, float high = 1) {
  Values v(static_cast<size_t>(count));
  uint32_t state = seed;
  for (float& x : v) x = low + (high - low) * static_cast<float>(next(&state) >> 8) / 16777216.0f;
  return v;
}

// A problem of these sizes, with `inputs` of so many values and fresh output.
Problem problem(const Sizes& sizes, std::string shape, const std::vector<int64_t>& inputs, int64_t output) {
  Problem p;
  p.shape = std::move(shape);
  std::copy(sizes.begin(), sizes.end(), p.data.size);
  for (const int64_t count : inputs) {
    p.in.push_back(values(count, static_cast<uint32_t>(p.in.size() + 1)));
    p.traffic.read += 4.0 * static_cast<double>(count);
  }
  p.out.resize(static_cast<size_t>(output));
  p.traffic.written = 4.0 * static_cast<double>(output);
  return p;
}

Problem matmul_problem(const Sizes& s) {
  const auto [m, n, k, a, b, c] = s;
  Problem p = problem(s, fmt::format("{} x {} x {}", m, n, k), {m * k, k * n}, m * n);
  p.flops = 2.0 * static_cast<double>(m * n * k);
  return p;
}

Problem softmax_problem(const Sizes& s) {
  const int64_t count = s[0] * s[1];
  Problem p = problem(s, fmt::format("{} rows of {}", s[0], s[1]), {count}, count);
  p.flops = 5.0 * static_cast<double>(count);  // greatest, difference, exp as one, sum, quotient
  return p;
}

Problem layer_norm_problem(const Sizes& s) {
  const int64_t count = s[0] * s[1];
  Problem p = problem(s, fmt::format("{} rows of {}", s[0], s[1]), {count, s[1], s[1]}, count);
  p.data.number[0] = 1e-6f;
  p.flops = 8.0 * static_cast<double>(count);
  return p;
}

Problem attention_problem(const Sizes& s) {
  const auto [b, t, heads, d, x, y] = s;
  Problem p = problem(s, fmt::format("{} images, {} tokens, {} heads of {}", b, t, heads, d), {b * t * 3 * heads * d},
                      b * t * heads * d);
  p.data.number[0] = 0.125f;
  p.scratch = b * heads * t * t;
  p.flops = 4.0 * static_cast<double>(b * heads * t * t * d);
  return p;
}

Problem conv2d_problem(const Sizes& s) {
  const auto [n, h, w, c, o, x] = s;
  Problem p = problem(s, fmt::format("{} images of {} x {} x {}, 3x3 to {} channels", n, h, w, c, o),
                      {n * h * w * c, o * c * 9}, n * h * w * o);
  p.scratch = n * h * w * c * 9;
  p.same_bytes = !is_winograd<float>(conv_shape(p.data));  // the CPU's alone
  p.flops = 2.0 * static_cast<double>(n * h * w * o * c * 9);
  return p;
}

Problem phm_problem(const Sizes& s) {
  const int64_t rows = s[0], n = s[3], in = s[1] * n, out = s[2] * n;
  Problem p = problem({rows, in, out, n}, fmt::format("{} rows, {} to {}, n = {}", rows, in, out, n),
                      {rows * in, n * n * n, in, out}, rows * out);
  p.scratch = in * out;
  p.flops = 2.0 * static_cast<double>(rows * (n * (in + out) + n * n * n));
  return p;
}

Problem pgd_problem(const Sizes& s) {
  Problem p = problem(s, fmt::format("{} pixels", s[0]), {s[0], s[0]}, s[0]);
  p.data.number[0] = 0.25f / 255;
  p.data.number[1] = 1.0f / 255;
  p.in[0] = values(s[0], 1, 0, 1);
  p.out = p.in[0];
  p.out_is_input = p.traffic.in_place = true;
  p.traffic.read += 4.0 * static_cast<double>(s[0]);  // adv is read, too
  p.scratch = s[0];
  p.flops = 6.0 * static_cast<double>(s[0]);
  return p;
}

}  // namespace

const std::vector<LadderOp>& ladder_ops() {
  static const std::vector<LadderOp> ops = {
      {.op = "matmul",
       .sizes = "m n k",
       .make = matmul_problem,
       .rungs = [](Device device, Rungs* rungs) { ON_DEVICE(device, matmul_rungs(rungs)); },
       .counted = {128, 128, 128},
       .timed = {788, 768, 768},
       .most = {150, 150, 420},
       .edges = {{1, 1, 1}, {1, 129, 3}, {33, 7, 65}, {129, 31, 385}}},
      {.op = "softmax",
       .sizes = "rows cols",
       .make = softmax_problem,
       .rungs = [](Device device, Rungs* rungs) { ON_DEVICE(device, softmax_rungs(rungs)); },
       .counted = {128, 197},
       .timed = {9456, 197},
       .most = {40, 600},
       .edges = {{1, 1}, {3, 2}, {5, 67}, {129, 33}, {1, 1031}}},
      {.op = "layer_norm",
       .sizes = "rows cols",
       .make = layer_norm_problem,
       .rungs = [](Device device, Rungs* rungs) { ON_DEVICE(device, layer_norm_rungs(rungs)); },
       .counted = {128, 768},
       .timed = {1576, 768},
       .most = {40, 1200},
       .edges = {{1, 2}, {3, 31}, {129, 65}, {2, 1031}}},
      {.op = "attention",
       .sizes = "images tokens heads d",
       .make = attention_problem,
       .rungs = [](Device device, Rungs* rungs) { ON_DEVICE(device, attention_rungs(rungs)); },
       .counted = {1, 64, 3, 64},
       .timed = {1, 197, 12, 64},
       .most = {2, 90, 3, 70},
       .edges = {{1, 1, 1, 1}, {2, 33, 1, 7}, {1, 17, 3, 65}}},
      {.op = "conv2d",
       .sizes = "images h w c o",
       .make = conv2d_problem,
       .rungs = [](Device device, Rungs* rungs) { ON_DEVICE(device, conv2d_rungs(rungs)); },
       .counted = {1, 16, 16, 32, 64},
       .timed = {1, 56, 56, 64, 64},
       .most = {2, 12, 12, 40, 70},
       .edges = {{1, 1, 1, 1, 1}, {2, 5, 3, 7, 17}, {1, 2, 9, 17, 16}}},
      {.op = "phm_linear",
       .sizes = "rows in/n out/n n",
       .make = phm_problem,
       .rungs = [](Device device, Rungs* rungs) { ON_DEVICE(device, phm_linear_rungs(rungs)); },
       .counted = {64, 192, 24, 4},
       .timed = {1576, 192, 24, 4},
       .most = {40, 60, 40, 5},
       .edges = {{1, 1, 1, 1}, {33, 3, 5, 3}, {2, 65, 1, 2}}},
      {.op = "pgd_step",
       .sizes = "pixels",
       .make = pgd_problem,
       .rungs = [](Device device, Rungs* rungs) { ON_DEVICE(device, pgd_step_rungs(rungs)); },
       .counted = {8 * 3 * 32 * 32},
       .timed = {8 * 3 * 224 * 224},
       .most = {5000},
       .edges = {{1}, {3}, {255}, {4097}}},
  };
  return ops;
}

const LadderOp& ladder_op(const std::string& op) {
  std::vector<std::string> names;
  for (const LadderOp& known : ladder_ops()) {
    if (op == known.op) return known;
    names.emplace_back(known.op);
  }
  fail(Exit::kUsage, "[ladder] expected one of {}, got '{}'", fmt::join(names, ", "), op);
}

Rungs rungs_of(const LadderOp& op, Device device) {
  Rungs rungs;
  op.rungs(device, &rungs);
  return rungs;
}

std::vector<Sizes> sizes_by_class(const LadderOp& op, const std::string& name, uint64_t seed) {
  std::vector<Sizes> all;
  constexpr std::string_view kRandom = "random:";
  int count = 0;
  if (name == "small") {
    all = {op.counted};
  } else if (name == "train") {
    all = {op.timed};
  } else if (name == "edge") {
    all = op.edges;
  } else {
    const char* const end = name.data() + name.size();
    const bool good = name.starts_with(kRandom) &&
                      std::from_chars(name.data() + kRandom.size(), end, count).ptr == end && count >= 1 &&
                      count <= 1000;
    TAUT_CHECK(good, "[--sizes] expected small, train, edge or random:N of 1 to 1000, got '{}'", name);
    auto state = static_cast<uint32_t>(seed * 2654435761u + 1);
    for (int i = 0; i < count; ++i) {
      Sizes s{};
      for (size_t j = 0; j < s.size(); ++j)
        s[j] = op.most[j] == 0 ? 0 : 1 + static_cast<int64_t>(next(&state) >> 8) % op.most[j];
      all.push_back(s);
    }
  }
  return all;
}

}  // namespace taut::lab
