// Every op case, under ctest. One case alone: taut selftest ops --filter '^softmax/6x13-dim-1$'.
#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <doctest/doctest.h>

#include "tests/selftest.h"

TEST_CASE("op cases") {
  const auto rows = taut::selftest::run_op_cases({});
  CHECK(rows.size() >= 200);
  for (const auto& row : rows) {
    INFO(row.dump());
    CHECK(row.at("status") == "pass");
  }
}
