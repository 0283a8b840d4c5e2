// What the command says, and ends with, when the runtime fails.
#include <nlohmann/json.hpp>

#include "tests/study/support.h"

namespace taut::study {
namespace {

std::vector<std::string> one_case() {
  return {"selftest", "ops", "--device", "simt", "--filter", "^softmax/6x13-dim-1$", "-o", "json"};
}

TEST_CASE("the command ends with the documented code for each failure of the runtime") {
  const struct {
    const char* environment;
    int code;
    const char* word;
  } cases[] = {
      {"", 0, ""},
      {"TAUT_SIMT_FAIL=cudaMalloc:1+:2", 71, "needed"},
      {"TAUT_SIMT_FAIL=cudaMalloc:1:2", 0, ""},  // the second try gets it
      {"TAUT_SIMT_FAIL=cudaMallocHost:1:2", 71, "bytes of pinned memory"},
      {"TAUT_SIMT_FAIL=cudaLaunchKernel:2:2", 71, "MiB of"},
      {"TAUT_SIMT_FAIL=cudaLaunchKernel:3:719", 69, "cudaLaunchKernel of"},
      {"TAUT_SIMT_FAIL=cudaMemcpyAsync:2:700", 69, "cudaMemcpyAsync"},
      {"TAUT_SYNC=1 TAUT_SIMT_FAIL=cudaStreamSynchronize:1:719", 69, "_kernel"},
      {"TAUT_SIMT_FAIL=cudaStreamCreateWithFlags:1:222", 69, "TAUT_CUDA_ARCH"},
      {"TAUT_SIMT_FAIL=nonsense", 2, "TAUT_SIMT_FAIL"},
  };
  for (const auto& c : cases) {
    CAPTURE(c.environment);
    const Outcome outcome = taut(one_case(), c.environment);
    CHECK(outcome.code == c.code);
    CHECK(outcome.err.find(c.word) != std::string::npos);
  }
}

TEST_CASE("with TAUT_SYNC=1 a fill that fails on the device is named, not the kernel after it") {
  const Outcome outcome = taut({"selftest", "ops", "--device", "simt", "--filter", "^slice/5x7-dim0-1[+]3$"},
                               "TAUT_SYNC=1 TAUT_SIMT_FAIL=cudaStreamSynchronize:2:719");
  CHECK(outcome.code == 69);
  CHECK(outcome.err.find("cudaStreamSynchronize after cudaMemsetAsync") != std::string::npos);
}

TEST_CASE("attention and PHM are right on a GPU with little shared memory") {
  const Outcome ran = taut({"selftest", "ops", "--device", "simt", "--filter",
                            "^(attention/1x(3x3x1x400|3200x3x1x4-q1)|phm_linear/7x32-32-n32-r4-bias)$"},
                           "TAUT_SIMT_SHARED=99");
  CHECK(ran.code == 0);
  const Outcome refused = taut(one_case(), "TAUT_SIMT_SHARED=1000");
  CHECK(refused.code == 2);
  CHECK(refused.err.find("expected a number of 48 to 227") != std::string::npos);
}

TEST_CASE("without a device, cases are skipped and commands refuse") {
  const struct {
    const char *environment, *word;
  } cases[] = {{"TAUT_SIMT_FAIL=cudaGetDeviceCount:1+:100", "sees no GPU"},
               {"TAUT_SIMT_SM=75", "is sm_75, the kernels need sm_80"}};
  for (const auto& c : cases) {
    CAPTURE(c.environment);
    const Outcome skipped = taut(one_case(), c.environment);
    CHECK(skipped.code == 77);
    for (const auto& row : nlohmann::json::parse(skipped.out)) CHECK(row.at("status") == "skipped");
    const Outcome refused =
        taut({"bench", "model", "vit_demo", "--device", "simt", "--pass", "forward"}, c.environment);
    CHECK(refused.code == 69);
    CHECK(refused.err.find(c.word) != std::string::npos);
  }
}

}  // namespace
}  // namespace taut::study
