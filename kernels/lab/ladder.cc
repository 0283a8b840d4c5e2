#include "kernels/lab/ladder.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <functional>
#include <memory>

#include "kernels/arena.h"
#include "kernels/attention.h"
#include "kernels/conv2d.h"
#include "kernels/device_memory.h"
#include "kernels/error.h"
#include "kernels/matmul.h"
#include "kernels/norm.h"
#include "kernels/pgd.h"
#include "kernels/phm.h"
#include "kernels/simt/counts.h"
#include "kernels/simt/runner.h"
#include "kernels/softmax.h"

namespace taut::lab {
namespace {

constexpr Device kSimt{DeviceKind::kSimt, 0};
constexpr double kTolerance = 1e-4;  // of the largest magnitude: variants add in other orders

using Host = std::vector<float>;

// Device memory with the values of a host array, or fresh.
class Array {
 public:
  explicit Array(size_t count) : p_(static_cast<float*>(arena_allocate(count * sizeof(float), kSimt))) {}
  explicit Array(const Host& values) : Array(values.size()) {
    copy_memory(p_, kSimt, values.data(), Device{}, values.size() * sizeof(float));
  }
  ~Array() { arena_release(p_, kSimt); }
  Array(const Array&) = delete;
  Array& operator=(const Array&) = delete;
  float* get() const { return p_; }

 private:
  float* p_;
};

// What a ladder runs on: its inputs, what is in `out` before, how large `scratch` is, and the CPU's kernel.
struct Problem {
  std::string shape;
  std::vector<Host> in;
  Host out;
  bool out_is_input = false;
  size_t scratch = 0;
  LadderData data;  // sizes and numbers
  std::function<void(const LadderData&)> on_cpu;
  Rungs rungs;
};

// Values in [-1, 1), the same in every run.
Host values(int64_t count, uint32_t seed, float low = -1, float high = 1) {
  Host v(static_cast<size_t>(count));
  uint32_t state = seed;
  for (float& x : v) {
    state = state * 1664525u + 1013904223u;
    x = low + (high - low) * static_cast<float>(state >> 8) / 16777216.0f;
  }
  return v;
}

Problem problem_of(const std::string& op) {
  Problem p;
  LadderData& d = p.data;
  const auto sizes = [&](std::vector<int64_t> list) { std::copy(list.begin(), list.end(), d.size); };
  const auto fresh = [&](int64_t count) { p.out = Host(static_cast<size_t>(count)); };
  const Stream stream{};
  if (op == "softmax") {
    p.shape = "128 rows of 197";
    sizes({128, 197});
    p.in = {values(128 * 197, 1)};
    fresh(128 * 197);
    p.on_cpu = [=](const LadderData& h) {
      ON_DEVICE(Device{}, softmax_forward<float>(stream, h.in[0], h.out, h.size[0], h.size[1], 1));
    };
    p.rungs = simt::softmax_rungs();
  } else if (op == "layer_norm") {
    p.shape = "128 rows of 768";
    sizes({128, 768});
    d.number[0] = 1e-6f;
    p.in = {values(128 * 768, 1), values(768, 2), values(768, 3)};
    fresh(128 * 768);
    p.on_cpu = [=](const LadderData& h) {
      ON_DEVICE(Device{}, layer_norm_forward<float>(stream, h.in[0], h.in[1], h.in[2], h.out, nullptr, nullptr,
                                                    h.size[0], h.size[1], h.number[0]));
    };
    p.rungs = simt::layer_norm_rungs();
  } else if (op == "matmul") {
    p.shape = "128 x 128 x 128";
    sizes({128, 128, 128});
    p.in = {values(128 * 128, 1), values(128 * 128, 2)};
    fresh(128 * 128);
    p.on_cpu = [=](const LadderData& h) {
      const MatmulShape s{
          .m = h.size[0], .n = h.size[1], .k = h.size[2], .lda = h.size[2], .ldb = h.size[1], .ldc = h.size[1]};
      ON_DEVICE(Device{},
                matmul<float>(stream, h.in[0], h.in[1], nullptr, nullptr, h.out, nullptr, s, Epilogue::kNone));
    };
    p.rungs = simt::matmul_rungs();
  } else if (op == "attention") {
    p.shape = "1 image, 64 tokens, 3 heads of 64";
    sizes({1, 64, 3, 64});
    d.number[0] = 0.125f;
    p.in = {values(64 * 3 * 3 * 64, 1)};
    p.scratch = 3 * 64 * 64;
    fresh(64 * 3 * 64);
    p.on_cpu = [=](const LadderData& h) {
      const AttentionShape s{h.size[0], h.size[1], h.size[1], h.size[2], h.size[3], h.number[0]};
      ON_DEVICE(Device{}, attention_forward<float>(stream, h.in[0], h.out, nullptr, s));
    };
    p.rungs = simt::attention_rungs();
  } else if (op == "conv2d") {
    p.shape = "1 image of 16 x 16 x 32, 3x3 to 64 channels";
    sizes({1, 16, 16, 32, 64});
    p.in = {values(16 * 16 * 32, 1), values(64 * 32 * 9, 2)};
    p.scratch = 16 * 16 * 32 * 9;
    fresh(16 * 16 * 64);
    p.on_cpu = [=](const LadderData& h) {
      ConvShape s;
      s.n = h.size[0];
      s.h = h.size[1];
      s.w = h.size[2];
      s.c_in = h.size[3];
      s.c_out = h.size[4];
      s.kh = s.kw = 3;
      s.padding = 1;
      ON_DEVICE(Device{}, conv2d_forward<float>(stream, h.in[0], h.in[1], nullptr, h.out, s));
    };
    p.rungs = simt::conv2d_rungs();
  } else if (op == "phm_linear") {
    p.shape = "64 rows, 768 to 96, n = 4";
    sizes({64, 768, 96, 4});
    p.in = {values(64 * 768, 1), values(64, 2), values(768, 3), values(96, 4)};
    p.scratch = 768 * 96;
    fresh(64 * 96);
    p.on_cpu = [=](const LadderData& h) {
      const PhmShape s{h.size[0], h.size[1], h.size[2], h.size[3], 1};
      ON_DEVICE(Device{}, phm_forward<float>(stream, h.in[0], h.in[1], h.in[2], h.in[3], nullptr, h.out, s));
    };
    p.rungs = simt::phm_linear_rungs();
  } else if (op == "pgd_step") {
    p.shape = "8 images of 3 x 32 x 32";
    sizes({8 * 3 * 32 * 32});
    d.number[0] = 0.25f / 255;
    d.number[1] = 1.0f / 255;
    p.in = {values(d.size[0], 1, 0, 1), values(d.size[0], 2)};
    p.out = p.in[0];
    p.out_is_input = true;
    p.scratch = static_cast<size_t>(d.size[0]);
    p.on_cpu = [=](const LadderData& h) {
      ON_DEVICE(Device{},
                pgd_step_linf<float>(stream, h.in[0], h.in[1], h.out, 1, h.size[0], h.number[0], h.number[1]));
    };
    p.rungs = simt::pgd_step_rungs();
  } else {
    fail(Exit::kUsage, "[ladder] expected one of {}, got '{}'", fmt::join(ladder_names(), ", "), op);
  }
  return p;
}

// The CPU's result on the same data.
Host wanted(const Problem& p) {
  LadderData host = p.data;
  for (size_t i = 0; i < p.in.size(); ++i) host.in[i] = p.in[i].data();
  Host out = p.out;
  host.out = out.data();
  p.on_cpu(host);
  return out;
}

bool is_close(const Host& a, const Host& b) {
  double largest = 0, difference = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    if (!std::isfinite(a[i])) return false;
    largest = std::max(largest, std::abs(static_cast<double>(b[i])));
    difference = std::max(difference, std::abs(static_cast<double>(a[i]) - b[i]));
  }
  return difference <= kTolerance * largest;
}

int64_t value_of(const LadderRow& row, LadderCount count) {
  switch (count) {
    case LadderCount::kSectors: return row.sectors;
    case LadderCount::kWavefronts: return row.wavefronts;
    case LadderCount::kBarriers: return row.barriers;
    case LadderCount::kRequests: return row.requests;
  }
  return 0;
}

LadderRow run_rung(const Problem& p, const Rung& rung, const Host& reference) {
  LadderData data = p.data;
  std::vector<std::unique_ptr<Array>> in;
  for (size_t i = 0; i < p.in.size(); ++i) {
    in.push_back(std::make_unique<Array>(p.in[i]));
    data.in[i] = in.back()->get();
  }
  const Array out = p.out_is_input ? Array(p.out) : Array(p.out.size());
  const Array scratch(p.scratch);
  data.out = out.get();
  data.scratch = scratch.get();
  const int64_t barriers = runner::totals().barriers;
  runner::start_counts();
  rung.run(Stream{}, data);
  LadderRow row;
  row.barriers = runner::totals().barriers - barriers;
  int64_t ideal = 0;
  for (const runner::KernelCounts& kernel : runner::take_counts()) {
    row.launches += kernel.launches;
    for (const runner::SiteCounts& site : kernel.sites) {
      row.requests += site.requests;
      row.sectors += site.sectors;
      ideal += site.ideal_sectors;
      row.wavefronts += site.wavefronts;
    }
  }
  row.sector_percent = row.sectors == 0 ? 100 : 100.0 * static_cast<double>(ideal) / static_cast<double>(row.sectors);
  Host got(p.out.size());
  copy_memory(got.data(), Device{}, out.get(), kSimt, got.size() * sizeof(float));
  const bool same = std::memcmp(got.data(), reference.data(), got.size() * sizeof(float)) == 0;
  row.idea = rung.idea;
  row.production = rung.production;
  row.better = name(rung.better);
  // A convolution that the CPU computes by Winograd's algorithm has other roundings.
  row.verified = same || (is_close(got, reference) && (!rung.production || p.shape.find("3x3") != std::string::npos));
  return row;
}

}  // namespace

const char* name(LadderCount count) {
  switch (count) {
    case LadderCount::kSectors: return "sectors";
    case LadderCount::kWavefronts: return "wavefronts";
    case LadderCount::kBarriers: return "barriers";
    case LadderCount::kRequests: return "requests";
  }
  return "?";
}

std::vector<std::string> ladder_names() {
  return {"matmul", "softmax", "layer_norm", "attention", "conv2d", "phm_linear", "pgd_step"};
}

std::vector<LadderRow> run_ladder(const std::string& op) {
  const Problem p = problem_of(op);
  const Host reference = wanted(p);
  std::vector<LadderRow> rows;
  for (int i = 0; i < p.rungs.count; ++i) {
    LadderRow row = run_rung(p, p.rungs.list[i], reference);
    row.op = op;
    row.shape = p.shape;
    row.rung = i + 1;
    if (i > 0) row.is_better = value_of(row, p.rungs.list[i].better) < value_of(rows.back(), p.rungs.list[i].better);
    rows.push_back(row);
  }
  return rows;
}

}  // namespace taut::lab
