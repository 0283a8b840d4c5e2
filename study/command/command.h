// What the commands of `taut` share: options, settings from files and arguments, and how each command is added.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "kernels/lab/kernel_source.h"
#include "kernels/lab/options.h"
#include "kernels/runtime.h"
#include "study/config.h"
#include "study/output.h"
#include "study/plan.h"
#include "study/progress.h"

namespace taut::study {

// Set by the command that was chosen; what main returns.
using ExitCode = std::shared_ptr<int>;

struct Common {
  std::string format = "md", device = "cpu", progress = "auto";
  int threads = 0;
  std::vector<std::string> settings;  // key=value
  std::string preset, file;
};
using CommonPtr = std::shared_ptr<Common>;

// -o, -t, --device and --progress, which every command takes.
CommonPtr add_common(CLI::App& command);
// key=value arguments and -c FILE; `with_preset` adds --preset NAME.
void add_settings(CLI::App& command, const CommonPtr& common, bool with_preset = false);
// Threads take effect; throws Error(kUnavailable) for another device than the cpu.
void begin(const Common& common);
// The same for a command that runs on every device; returns it. Throws Error(kUnavailable), with the reason, where the
// device is not there.
Device begin_on_device(const Common& common);
// The same, whether it is there or not.
Device begin_on_any_device(const Common& common);
// Settings < -c FILE < environment < key=value.
Config settings_of(const Common& common);
// The same with everything a study file can say of one run.
PlanRow run_of(const Common& common);
// The plan of a study file, or of the preset of that name, that is to be run: with the settings of `common`, and
// without any that no attack of it reads.
Plan plan_of(const std::string& file_or_preset, const Common& common);

// The tests of the program itself, which only main may know.
struct Selftests {
  using Tick = std::function<void(int64_t done, int64_t all, const std::string& name)>;
  std::function<std::vector<Row>(Device device, const std::string& filter, const Tick& tick)> ops;
  std::function<std::vector<Row>()> simt;
  std::function<std::vector<Row>(Device device, const std::string& filter, const std::string& sizes, bool red_zones)>
      verify_ops;
  std::function<std::vector<Row>(const lab::ProfileOptions& options)> profile;
  std::function<std::vector<lab::KernelSource>(const lab::ProfileOptions& options)> kernel_sources;
  std::function<std::vector<Row>(const lab::BenchOptions& options)> bench_ops;
  std::function<void(const lab::BenchOptions& options)> check_bench;  // throws what bench_ops throws before it runs
  std::function<std::vector<Row>()> op_rows;
  std::function<std::vector<Row>(const std::string& folder, const std::string& dtype, const Tick& tick)> golden;
  std::function<int(const std::vector<Row>& rows, const std::string& allow_unsupported)> exit_code;
};

// One for each file command_*.cc.
void add_eval_commands(CLI::App& app, const ExitCode& code);  // eval, attack
void add_train_command(CLI::App& app, const ExitCode& code);  // train
void add_study_commands(CLI::App& app, const ExitCode& code, const std::string& command_line);
std::vector<Row> model_rows();                                   // `models ls` and `ls models`
void add_models_commands(CLI::App& app, const ExitCode& code);   // models show, models ls
void add_weights_commands(CLI::App& app, const ExitCode& code);  // weights inspect, weights convert
void add_data_commands(CLI::App& app, const ExitCode& code);     // data import, ls, show, check
void add_bench_commands(CLI::App& app, const ExitCode& code);    // bench model
void add_list_commands(CLI::App& app, const ExitCode& code);     // ls
void add_doctor_command(CLI::App& app, const ExitCode& code);    // doctor
void add_store_commands(CLI::App& study, const ExitCode& code);  // study merge, study export
void add_check_command(CLI::App& study, const ExitCode& code);   // study check

// kernel: ls, show, verify, ladder, repro; and bench, profile, roofline, compare.
void add_kernel_commands(CLI::App& app, const ExitCode& code, const Selftests& tests);
void add_kernel_lab_commands(CLI::App& kernel, const ExitCode& code, const Selftests& tests);
void add_kernel_bench_commands(CLI::App& kernel, const ExitCode& code, const Selftests& tests);

void add_selftest_commands(CLI::App& app, const ExitCode& code, const Selftests& tests);

// Parses and runs; errors go to standard error. The exit codes are those of kernels/error.h, 2 for a bad command line.
int run_command_line(int argc, char** argv, const Selftests& tests);

}  // namespace taut::study
