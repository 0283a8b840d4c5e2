// taut selftest ops, taut selftest golden: the program's own tests, on this machine.
#include "kernels/error.h"
#include "study/command/bench_model.h"
#include "study/command/command.h"

namespace taut::study {
namespace {

struct Options {
  std::string filter, folder, allow, dtype = "f64";
  bool bench = false;
};

Selftests::Tick ticker(Progress& progress) {
  return [&progress, before = int64_t{0}](int64_t done, int64_t all, const std::string& name) mutable {
    progress.set_total(static_cast<double>(all));
    progress.advance(static_cast<double>(done - before));
    before = done;
    progress.set_label(fmt::format("{} of {}: {}", done, all, name));
  };
}

}  // namespace

void add_selftest_commands(CLI::App& app, const ExitCode& code, const Selftests& tests) {
  CLI::App* selftest = app.add_subcommand("selftest", "check this program on this machine");
  selftest->require_subcommand(1);
  const auto options = std::make_shared<Options>();

  CLI::App* ops = selftest->add_subcommand("ops", "every op against its double-precision oracle");
  const CommonPtr ops_common = add_common(*ops);
  ops->add_option("--filter", options->filter, "regular expression over OP/CASE");
  ops->add_flag("--bench", options->bench, "time the cases in f32 instead of testing them");
  ops->callback([=] {
    const Device device = begin_on_any_device(*ops_common);
    if (options->bench) {
      refuse_debug_build();
      print_rows(tests.bench_ops(
                     {.device = device, .filter = options->filter, .shapes = {}, .every_case = true, .seconds = 0.05}),
                 format_by_name(ops_common->format));
      return;
    }
    Progress progress(progress_mode_by_name(ops_common->progress), 0);
    const std::vector<Row> rows = tests.ops(device, options->filter, ticker(progress));
    *code = tests.exit_code(rows, "");
    print_rows(rows, format_by_name(ops_common->format));
  });

  CLI::App* simt = selftest->add_subcommand("simt", "the SIMT runner's detectors: planted faults, and faultless twins");
  const CommonPtr simt_common = add_common(*simt);
  simt->callback([=] {
    begin(*simt_common);
    const std::vector<Row> rows = tests.simt();
    *code = tests.exit_code(rows, "");
    print_rows(rows, format_by_name(simt_common->format));
  });

  CLI::App* golden = selftest->add_subcommand("golden", "cases with reference numbers of other libraries");
  const CommonPtr golden_common = add_common(*golden);
  golden->add_option("folder", options->folder, "folder of *.safetensors cases")->required();
  golden->add_option("--allow-unsupported", options->allow, "regular expression over cases that may be unsupported");
  golden->add_option("--dtype", options->dtype, "f64, or f32 judged by the tolerance policy")
      ->check(CLI::IsMember({"f64", "f32"}));
  golden->callback([=] {
    begin(*golden_common);
    Progress progress(progress_mode_by_name(golden_common->progress), 0);
    const std::vector<Row> rows = tests.golden(options->folder, options->dtype, ticker(progress));
    *code = tests.exit_code(rows, options->allow);
    print_rows(rows, format_by_name(golden_common->format));
  });
}

}  // namespace taut::study
