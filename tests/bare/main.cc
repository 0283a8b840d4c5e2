// op_cases [DEVICE [FILTER]]: the op cases as `taut selftest ops` runs them, for a build that has nothing else. A line
// of JSON a row; the exit code is 0, 1 where a case failed, 77 without the device, 2 and above as the command's.
#include <fmt/core.h>

#include "kernels/devices.h"
#include "kernels/error.h"
#include "tests/selftest.h"

int main(int argc, char** argv) {
  using namespace taut;
  try {
    const Device device = argc > 1 ? device_by_name(argv[1]) : best_device();
    fmt::print(stderr, "{}: {}\n", name(device.kind), backend_state(device.kind).note);
    const std::vector<selftest::Row> rows = selftest::run_op_cases(device, argc > 2 ? argv[2] : "");
    int64_t passed = 0;
    for (const selftest::Row& row : rows) {
      fmt::print("{}\n", row.dump());
      passed += row.at("status") == "pass";
    }
    fmt::print(stderr, "{} of {} passed\n", passed, rows.size());
    return selftest::exit_code(rows);
  } catch (const Error& error) {
    fmt::print(stderr, "op_cases: {}\n", error.what());
    return static_cast<int>(error.code());
  }
}
