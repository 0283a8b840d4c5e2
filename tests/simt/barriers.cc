// Every barrier of the production kernels is needed: without any one of them, the op cases fail on the SIMT runner.
#include <doctest/doctest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <set>

#include "kernels/error.h"
#include "kernels/simt/left_out.h"
#include "kernels/simt/shadow.h"
#include "tests/cases/check_case.h"
#include "tests/cases/choice.h"

namespace taut {
namespace {

constexpr Device kSimt{DeviceKind::kSimt, 0};

struct Barrier {
  std::string file;
  int line;
  std::string name;  // "kernels/phm.cu: __syncwarp 3", the third of the file
};

// Those without which nothing changes here, and why.
const std::map<std::string, std::string> kNotNeeded = {
    {"kernels/phm.cu: __syncwarp 3", "orders a warp's rows, of which it has one below 16,384 rows"},
    {"kernels/phm.cu: __syncwarp 4", "likewise"},
    {"kernels/attention.cu: __syncwarp 2",
     "row_sum's shuffles come before, barriers of the warp to the runner; CUDA does not promise that they order "
     "memory"},
    {"kernels/attention.cu: __syncwarp 3", "a lane reads the scores that it wrote itself"},
};

// __syncthreads and __syncwarp of kernels/*.cu and kernels/*.cuh, from the sources.
std::vector<Barrier> all_barriers() {
  const std::string root = TAUT_SOURCE_DIR;
  std::vector<Barrier> all;
  for (const auto& entry : std::filesystem::directory_iterator(root + "/kernels")) {
    const std::string extension = entry.path().extension();
    if (extension != ".cu" && extension != ".cuh") continue;
    std::ifstream in(entry.path());
    int number = 0;
    std::map<std::string, int> ordinal;
    for (std::string line; std::getline(in, line);) {
      ++number;
      const size_t comment = line.find("//");
      for (const std::string word : {"__syncthreads", "__syncwarp"})
        if (const size_t at = line.find(word + "();"); at < comment) {
          const std::string file = "kernels/" + entry.path().filename().string();
          all.push_back({file, number, fmt::format("{}: {} {}", file, word, ++ordinal[word])});
        }
    }
  }
  return all;
}

// A case in a precision, and what it gives with every barrier in its place: the bytes of the CPU in f32 (test
// simt_ops), on tensor cores those of this device alone.
struct Candidate {
  cases::OpCase c;
  DType dtype;
  cases::Ran wanted;
};

cases::Ran run(const cases::OpCase& c, DType dtype) {
  return cases::run_case(c, cases::make_inputs(c, dtype, kSimt), cases::differentiable(c));
}

std::vector<Candidate> all_candidates() {
  std::vector<Candidate> all;
  for (const cases::OpCase& c : cases::matching_cases("barriers", "")) {
    if (!cases::is_small(c) || c.winograd) continue;
    all.push_back({c, DType::kF32, run(c, DType::kF32)});
    if (c.bf16) all.push_back({c, DType::kBF16, run(c, DType::kBF16)});
  }
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

TEST_CASE("no barrier of a production kernel can be left out unnoticed") {
  std::vector<Candidate> small = all_candidates();
  std::set<std::string> judged;  // files
  for (const Barrier& barrier : all_barriers()) {
    bool killed = false;
    int64_t passed = 0;
    for (size_t i = 0; i < small.size() && !killed; ++i) {
      runner::leave_out_barrier(barrier.file.c_str(), barrier.line);
      killed = fails(small[i]) && runner::barriers_left_out() > 0;
      passed += runner::barriers_left_out();
      // The next barrier is probably of the same op: its cases come first.
      const auto begin = small.begin(), at = begin + static_cast<std::ptrdiff_t>(i);
      if (runner::barriers_left_out() > 0) std::rotate(begin, at, at + 1);
    }
    if (passed == 0) continue;  // of kernels that no small case starts
    judged.insert(barrier.file);
    CAPTURE(barrier.name);
    CAPTURE(barrier.line);
    CAPTURE(passed);
    CHECK(killed == !kNotNeeded.contains(barrier.name));
  }
  for (const char* file :
       {"attention.cu", "attention_streamed.cu", "attention_tensor.cu", "phm.cu", "product.cuh", "sums.cuh", "tensor_product.cuh"})
    CHECK(judged.contains(std::string("kernels/") + file));
  runner::leave_out_barrier("", 0);
  runner::take_findings();
}

}  // namespace taut
