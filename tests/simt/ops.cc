// Every op case on the SIMT device with every detector on: the formula within the budget, and in f32 the CPU's bytes.
#include <doctest/doctest.h>

#include "tests/selftest.h"

namespace taut {

// A case of f32 that has other bytes than on the CPU fails (cases::check), but for Winograd's convolutions and tf32.
TEST_CASE("every op case passes on the SIMT runner, and in f32 has the CPU's bytes but for Winograd's convolutions") {
  const std::vector<selftest::Row> rows = selftest::run_op_cases({DeviceKind::kSimt, 0});
  CHECK(rows.size() > 1000);
  int other_bytes = 0;
  for (const selftest::Row& row : rows) {
    CAPTURE(row.dump());
    CHECK(row.at("status") == "pass");
    other_bytes += row.at("dtype") == "f32" && !row.at("equals_cpu").get<bool>();
  }
  CHECK(other_bytes < 30);
}

}  // namespace taut
