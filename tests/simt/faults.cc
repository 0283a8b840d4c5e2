// The detectors of the SIMT runner catch what is planted and leave the twins alone.
#include <doctest/doctest.h>

#include <set>

#include "kernels/simt/runner.h"
#include "tests/selftest.h"

namespace taut {

TEST_CASE(
    "planted faults of every kind are caught, their faultless twins are left alone, whatever the order of warps") {
  for (const uint64_t seed : {1, 2, 3, 4}) {
    CAPTURE(seed);
    runner::set_seed(seed);
    std::set<std::string> kinds;
    int planted = 0, twins = 0;
    for (const selftest::Row& row : selftest::run_planted_faults()) {
      CAPTURE(row.dump());
      CHECK(row.at("status") == "pass");
      kinds.insert(row.at("fault"));
      ++(row.at("planted").get<bool>() ? planted : twins);
    }
    CHECK(kinds == std::set<std::string>{"race", "divergent-barrier", "out-of-bounds", "misaligned", "uninitialised"});
    CHECK(planted == twins);
  }
  runner::set_seed(1);
}

TEST_CASE("a race is reported with both threads and both lines") {
  int seen = 0;
  for (const selftest::Row& row : selftest::run_planted_faults()) {
    if (row.at("kernel") != "write_after_read" || !row.at("planted").get<bool>()) continue;
    ++seen;
    const std::string said = row.at("detail");
    CHECK(said.find("write_after_read") != std::string::npos);
    CHECK(said.find("thread (") != std::string::npos);
    CHECK(said.find("planted_faults.cu:") != said.rfind("planted_faults.cu:"));
    CHECK(said.find("wrote it at") != std::string::npos);
    CHECK(said.find("read it at") != std::string::npos);
  }
  CHECK(seen == 1);
}

}  // namespace taut
