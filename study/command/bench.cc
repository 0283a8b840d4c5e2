// taut bench model, taut kernel bench matmul|conv2d.
#include "kernels/error.h"
#include "kernels/lab/conv2d_bench.h"
#include "kernels/lab/matmul_bench.h"
#include "kernels/parallel.h"
#include "study/command/bench_model.h"
#include "study/command/command.h"

namespace taut::study {
namespace {

template <class Result>
std::vector<Row> rows_of(const std::vector<Result>& results) {
  std::vector<Row> rows;
  for (const Result& r : results) {
    Row row = {{"op", r.op},
               {"shape", r.shape},
               {"pass", r.pass},
               {"threads", r.threads},
               {"gflops", r.gflops},
               {"peak_gflops", r.peak_gflops},
               {"fraction_of_peak", r.fraction_of_peak}};
    if (!r.vendor.empty()) {
      row["vendor"] = r.vendor;
      row["vendor_gflops"] = r.vendor_gflops;
    }
    rows.push_back(std::move(row));
  }
  return rows;
}

struct Options {
  std::string name, dtype;
  std::vector<std::string> passes = {"forward", "train", "pgd"}, shapes, kinds = {"nt", "nn", "tn"};
  std::vector<std::string> conv_passes = {"forward", "input", "weight"};
  int64_t batch = 8;
};

}  // namespace

void add_bench_commands(CLI::App& app, const ExitCode& code, const Selftests& tests) {
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
  model->callback([=] {
    begin(*common);
    Config config = settings_of(*common);
    config.set("model.name", options->name, Source::kCommandLine);
    if (!options->dtype.empty()) config.set("model.precision", options->dtype, Source::kCommandLine);
    print_rows(bench_model(config, options->passes, options->batch, num_threads()), format_by_name(common->format));
  });

  CLI::App* kernel = app.add_subcommand("kernel", "single kernels");
  kernel->require_subcommand(1);
  CLI::App* kernel_bench = kernel->add_subcommand("bench", "speed of one kernel");
  kernel_bench->require_subcommand(1);
  CLI::App* matmul =
      kernel_bench->add_subcommand("matmul", "the matrix product, and the vendor's where it is installed");
  const CommonPtr matmul_common = add_common(*matmul);
  matmul->add_option("--shape", options->shapes, "MxNxK[,...]: M x N is the result, K is summed")
      ->delimiter(',')
      ->required();
  matmul->add_option("--pass", options->kinds, "nt = x wT, nn = dy w, tn = dyT x")->delimiter(',');
  matmul->callback([=] {
    begin(*matmul_common);
    refuse_debug_build();
    print_rows(rows_of(bench_matmul(options->shapes, options->kinds, num_threads())),
               format_by_name(matmul_common->format));
  });

  CLI::App* conv2d = kernel_bench->add_subcommand("conv2d", "convolutions, and the vendor's where it is installed");
  const CommonPtr conv2d_common = add_common(*conv2d);
  conv2d
      ->add_option("--shape", options->shapes,
                   "NxHxWxCxKxR[:sS:pP:dD:gG][,...]: N images of C channels, K kernels of R x R, stride S, padding P "
                   "(R / 2), dilation D, G groups; a pair for rows and columns is RxR, sSxS, pPxP, dDxD: "
                   "1x9x9x8x8x3x1:s2x1:p1x0:g4")
      ->delimiter(',')
      ->required();
  conv2d->add_option("--pass", options->conv_passes, "forward, input, weight: the gradients")->delimiter(',');
  conv2d->callback([=] {
    begin(*conv2d_common);
    refuse_debug_build();
    print_rows(rows_of(bench_conv2d(options->shapes, options->conv_passes, num_threads())),
               format_by_name(conv2d_common->format));
  });
  add_kernel_lab_commands(*kernel, code, tests);
}

}  // namespace taut::study
