// The command `taut`. The only file of this folder that sees tests/: it offers them as `taut selftest`.
#include "study/command/command.h"
#include "tests/selftest.h"

int main(int argc, char** argv) {
  namespace selftest = taut::selftest;
  taut::study::Selftests tests;
  tests.ops = [](taut::Device device, const std::string& filter, const auto& tick) {
    return selftest::run_op_cases(device, filter, tick);
  };
  tests.simt = selftest::run_planted_faults;
  tests.verify_ops = [](taut::Device device, const std::string& filter, const std::string& sizes, bool red_zones) {
    return selftest::run_op_cases(device, filter, {}, sizes, red_zones);
  };
  tests.profile = selftest::profile_ops;
  tests.kernel_sources = selftest::kernel_sources;
  tests.bench_ops = selftest::bench_op_cases;
  tests.check_bench = selftest::check_bench_options;
  tests.op_rows = selftest::op_rows;
  tests.golden = [](const std::string& folder, const std::string& dtype, const auto& tick) {
    return selftest::run_golden(folder, taut::dtype_from_name(dtype), tick);
  };
  tests.exit_code = selftest::exit_code;
  return taut::study::run_command_line(argc, argv, tests);
}
