// Every barrier of the production kernels is needed: without any one of them, the op cases fail on the SIMT runner.
#include <doctest/doctest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <functional>
#include <map>

#include "autograd/ops.h"
#include "kernels/error.h"
#include "kernels/simt/left_out.h"
#include "kernels/simt/shadow.h"
#include "tests/cases/check_case.h"
#include "tests/cases/choice.h"

namespace taut {
namespace {

constexpr Device kSimt{DeviceKind::kSimt, 0};

struct Barrier {
  std::string file;  // "kernels/phm.cu"
  int line;
};

// __syncthreads and __syncwarp of kernels/*.cu and kernels/*.cuh, from the sources.
std::vector<Barrier> all_barriers() {
  std::vector<Barrier> all;
  for (const auto& entry : std::filesystem::directory_iterator(std::string(TAUT_SOURCE_DIR) + "/kernels")) {
    const std::string extension = entry.path().extension();
    if (extension != ".cu" && extension != ".cuh") continue;
    std::ifstream in(entry.path());
    int number = 0;
    for (std::string line; std::getline(in, line);) {
      ++number;
      const size_t comment = line.find("//");
      for (const char* word : {"__syncthreads();", "__syncwarp();"})
        if (line.find(word) < comment) all.push_back({"kernels/" + entry.path().filename().string(), number});
    }
  }
  return all;
}

// A case in a precision, what it gives with every barrier in its place (the bytes of the CPU in f32, test simt_ops; on
// tensor cores those of this device alone), and the barriers that it passes.
struct Candidate {
  cases::OpCase c;
  DType dtype;
  cases::Ran wanted;
  runner::Places passed;

  const char* mode() const { return dtype == DType::kBF16 ? "bf16" : c.tf32 ? "tf32" : "f32"; }
  bool passes(const Barrier& barrier) const {
    return std::ranges::any_of(
        passed, [&](const auto& place) { return place.second == barrier.line && place.first.ends_with(barrier.file); });
  }
};

cases::Ran run(const cases::OpCase& c, DType dtype) {
  return cases::run_case(c, cases::make_inputs(c, dtype, kSimt), cases::differentiable(c));
}

// More rows than there are warps in a grid: a warp of PHM's kernels works on a second one.
cases::OpCase many_rows() {
  constexpr int64_t kRows = 4096 * 4 + 1;
  const auto phm = [](const std::vector<Var>& in) {
    return std::vector<Var>{ops::phm_linear(in[0], in[1], in[2], in[3], Var())};
  };
  return {.op = "phm_linear",
          .name = "many-rows",
          .inputs = {{.shape = {kRows, 2}}, {.shape = {1, 1, 1}}, {.shape = {1, 2, 1}}, {.shape = {1, 1, 1}}},
          .run = phm};
}

// A head wider than tensor cores take: bf16 by the kernels of f32, with queries enough for a second round.
cases::OpCase wide_head() {
  constexpr int64_t kTokens = 40, kWidth = 136;
  const auto attention = [](const std::vector<Var>& in) { return std::vector<Var>{ops::attention(in[0], 0.1)}; };
  return {.op = "attention", .name = "wide-head", .inputs = {{.shape = {1, kTokens, 3, 1, kWidth}}}, .run = attention};
}

std::vector<Candidate> all_candidates() {
  std::vector<Candidate> all;
  const auto add = [&](const cases::OpCase& c, DType dtype) {
    runner::Places passed;
    runner::note_barriers(&passed);
    cases::Ran wanted = run(c, dtype);
    runner::note_barriers(nullptr);
    if (!passed.empty()) all.push_back({c, dtype, std::move(wanted), std::move(passed)});
  };
  for (const cases::OpCase& c : cases::matching_cases("barriers", "")) {
    if (!cases::is_small(c)) continue;
    add(c, DType::kF32);
    if (c.bf16) add(c, DType::kBF16);
  }
  add(many_rows(), DType::kF32);
  add(wide_head(), DType::kBF16);
  return all;
}

// Whether the device gives other bytes, or finds a fault.
bool fails(const Candidate& candidate) {
  runner::take_findings();
  try {
    const cases::Ran got = run(candidate.c, candidate.dtype);
    const auto differ = [](const Tensor& a, const Tensor& b) { return a.defined() && !same_bytes(a, b); };
    return !std::ranges::equal(candidate.wanted.outputs, got.outputs, std::not_fn(differ)) ||
           !std::ranges::equal(candidate.wanted.gradients, got.gradients, std::not_fn(differ));
  } catch (const Error&) {
    return true;
  }
}

}  // namespace

TEST_CASE("no barrier of a production kernel can be left out unnoticed, in any precision") {
  const std::vector<Candidate> candidates = all_candidates();
  for (const Barrier& barrier : all_barriers()) {
    CAPTURE(barrier.file);
    CAPTURE(barrier.line);
    std::map<std::string, bool> noticed;  // by mode
    for (const Candidate& candidate : candidates) {
      if (!candidate.passes(barrier) || noticed[candidate.mode()]) continue;
      runner::leave_out_barrier(barrier.file.c_str(), barrier.line);
      noticed[candidate.mode()] = fails(candidate);
      CHECK(runner::barriers_left_out() > 0);
    }
    CHECK(!noticed.empty());  // some case gets there
    for (const auto& [mode, was_noticed] : noticed) {
      CAPTURE(mode);
      CHECK(was_noticed);
    }
  }
  runner::leave_out_barrier("", 0);
  runner::take_findings();
}

}  // namespace taut
