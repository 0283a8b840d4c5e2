// taut bench model.
#include <iostream>

#include "kernels/error.h"
#include "kernels/parallel.h"
#include "study/command/bench_model.h"
#include "study/command/command.h"

namespace taut::study {
namespace {

struct Options {
  std::string name, dtype;
  std::vector<std::string> passes = {"forward", "train", "pgd"};
  int64_t batch = 8;
  bool paced = false;
};

// A repetition for each line of standard input, its seconds on a line of standard output.
bool wait_for_a_line(double last) {
  if (last > 0) print_text(fmt::format("{:.6f}\n", last));
  std::string line;
  return static_cast<bool>(std::getline(std::cin, line));
}

}  // namespace

void add_bench_commands(CLI::App& app, const ExitCode&) {
  const auto options = std::make_shared<Options>();
  CLI::App* bench = app.add_subcommand("bench", "speed against the processor's peak");
  bench->require_subcommand(1);
  CLI::App* model = bench->add_subcommand("model", "forward, training and attack step of a model");
  const CommonPtr common = add_common(*model);
  model->add_option("name", options->name, "the model")->required();
  add_settings(*model, common);
  model->add_option("--pass", options->passes, "forward,train,pgd")->delimiter(',');
  model->add_option("--batch", options->batch, "images")->check(CLI::Range(1, 65536));
  model->add_option("--dtype", options->dtype, "model.precision: f32, tf32 or bf16");
  model->add_flag("--paced", options->paced,
                  "a repetition for each line of standard input, its seconds to standard output: to take turns with "
                  "another program on a machine whose speed changes");
  model->callback([=] {
    const Device device = begin_on_device(*common);
    Config config = settings_of(*common);
    config.set("model.name", options->name, Source::kCommandLine);
    TAUT_CHECK(!options->paced || (options->passes.size() == 1 && device.kind == DeviceKind::kCpu),
               "[--paced] expected one --pass, on the CPU");
    if (!options->dtype.empty()) config.set("model.precision", options->dtype, Source::kCommandLine);
    print_rows(bench_model(config, options->passes, options->batch, num_threads(), device,
                           options->paced ? Pace(wait_for_a_line) : Pace()),
               format_by_name(common->format));
  });
}

}  // namespace taut::study
