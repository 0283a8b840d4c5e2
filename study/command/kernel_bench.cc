// taut kernel bench, profile, roofline, compare: how fast kernels are, and what they do.
#include "kernels/error.h"
#include "kernels/lab/conv2d_bench.h"
#include "kernels/lab/gpu_model.h"
#include "kernels/lab/matmul_bench.h"
#include "kernels/parallel.h"
#include "study/command/bench_model.h"
#include "study/command/command.h"
#include "study/command/kernel_compare.h"
#include "study/command/roofline.h"

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
      row["percent_of_vendor"] = 100 * r.gflops / r.vendor_gflops;
    }
    rows.push_back(std::move(row));
  }
  return rows;
}

struct Options {
  std::string op, gpu = "h100", before, after, picture = "svg";
  std::vector<std::string> shapes, passes;
  bool every_case = false, warm = false, cold = false, sites = false, without_nvcc = false;
  double threshold = 2;
};

// Both unless one is asked for.
lab::BenchOptions bench_options(const Options& o, Device device) {
  return {.device = device,
          .filter = o.op,
          .every_case = o.every_case,
          .warm = o.warm || !o.cold,
          .cold = o.cold || !o.warm};
}

std::vector<Row> bench_shapes(const Options& o, Device device) {
  if (device.kind != DeviceKind::kCpu)
    fail(Exit::kUnavailable, "[--shape] free shapes are timed on the cpu, got '{}'; hint: --device cpu",
         name(device.kind));
  TAUT_CHECK(o.op == "matmul" || o.op == "conv2d",
             "[--shape] matmul and conv2d take free shapes, got '{}'; hint: "
             "other ops are timed by their cases",
             o.op);
  std::vector<std::string> passes = o.passes;
  if (o.op == "matmul") {
    if (passes.empty()) passes = {"nt", "nn", "tn"};
    return rows_of(bench_matmul(o.shapes, passes, num_threads()));
  }
  if (passes.empty()) passes = {"forward", "input", "weight"};
  return rows_of(bench_conv2d(o.shapes, passes, num_threads()));
}

void add_bench(CLI::App& kernel, const Selftests& tests) {
  const auto options = std::make_shared<Options>();
  CLI::App* bench = kernel.add_subcommand(
      "bench", "the cases of an op: times and rates against the peaks of the same run, or counts on simt");
  const CommonPtr common = add_common(*bench);
  bench->add_option("op", options->op, "an op, or a regular expression over OP/CASE: softmax, '^matmul/788x'")
      ->required();
  bench->add_flag("--all", options->every_case, "every case that matches, not the largest of each op");
  bench->add_flag("--warm", options->warm, "only with inputs in the caches");
  bench->add_flag("--cold", options->cold, "only with inputs flushed from the caches before every call");
  bench
      ->add_option("--shape", options->shapes,
                   "of matmul, MxNxK[,...]: M x N is the result, K is summed; of conv2d, "
                   "NxHxWxCxKxR[:sS:pP:dD:gG][,...]: N images of C channels, K kernels of R x R, stride S, padding P "
                   "(R / 2), dilation D, G groups; a pair for rows and columns is RxR, sSxS, pPxP, dDxD: "
                   "1x9x9x8x8x3x1:s2x1:p1x0:g4")
      ->delimiter(',');
  bench
      ->add_option("--pass", options->passes,
                   "of shapes: nt = x wT, nn = dy w, tn = dyT x (matmul); forward, input, weight (conv2d)")
      ->delimiter(',');
  bench->callback([=] {
    const Device device = begin_on_device(*common);
    refuse_debug_build();
    print_rows(
        options->shapes.empty() ? tests.bench_ops(bench_options(*options, device)) : bench_shapes(*options, device),
        format_by_name(common->format));
  });
}

// What a machine with a GPU would be asked of the same kernels.
void say_ncu_lines(const std::vector<Row>& rows) {
  fmt::print(stderr, "on a machine with a GPU:\n");
  for (const Row& row : rows) {
    const std::string kernel = row.at("kernel"), what = row.at("case");
    if (what.find('/') == std::string::npos) continue;
    constexpr std::string_view kStored = " bf16";  // the op cases alone run in it
    const bool stored = what.ends_with(kStored);
    fmt::print(stderr,
               "  ncu --set full --import-source yes --nvtx --kernel-name 'regex:^{0}$' --launch-skip {1} "
               "--launch-count {1} taut {2} '^{3}$'{4} --device cuda\n",
               kernel.substr(0, kernel.find('<')), row.at("launches").get<int64_t>(),
               stored ? "selftest ops --filter" : "kernel bench",
               stored ? what.substr(0, what.size() - kStored.size()) : what, stored ? "" : " --warm");
  }
}

void add_profile(CLI::App& kernel, const Selftests& tests) {
  const auto options = std::make_shared<Options>();
  CLI::App* profile = kernel.add_subcommand(
      "profile", "each kernel of an op: counts of the SIMT runner, what ptxas knows, and a model's bound and limiter");
  const CommonPtr common = add_common(*profile);
  common->device = "simt";  // where there is no --device
  profile->add_option("op", options->op, "an op, or a regular expression over OP/CASE: layer_norm, '^matmul/788x'")
      ->required();
  profile->add_option("--gpu", options->gpu, "the model: h100, a100, rtx4090");
  profile->add_flag("--sites", options->sites, "a row for every access of the source instead of every kernel");
  profile->add_flag("--without-nvcc", options->without_nvcc, "do not ask ptxas for registers and spills");
  profile->callback([=] {
    const Device device = begin_on_any_device(*common);
    if (device.kind != DeviceKind::kSimt)
      fail(Exit::kUnavailable, "[--device] profiles are counted on simt, got '{}'; hint: --device simt",
           common->device);
    fmt::print(stderr, "a model of {}\n", lab::assumptions(lab::gpu_by_name(options->gpu)));
    const std::vector<Row> rows = tests.profile(
        {.filter = options->op, .gpu = options->gpu, .sites = options->sites, .ask_nvcc = !options->without_nvcc});
    print_rows(rows, format_by_name(common->format));
    if (!options->sites) say_ncu_lines(rows);
  });
}

void add_roofline(CLI::App& kernel, const Selftests& tests) {
  const auto options = std::make_shared<Options>();
  CLI::App* roofline = kernel.add_subcommand("roofline", "measured kernels of the CPU under the roofs of the same run");
  const CommonPtr common = add_common(*roofline);
  roofline->remove_option(roofline->get_option("-o"));
  roofline->add_option("-o,--output-format", options->picture, "svg, or the rows as md, csv, json, jsonl");
  roofline->add_option("op", options->op, "an op, or a regular expression over OP/CASE")->required();
  roofline->add_flag("--all", options->every_case, "every case that matches, not the largest of each op");
  roofline->callback([=] {
    begin(*common);
    refuse_debug_build();
    if (options->picture != "svg") format_by_name(options->picture);
    lab::BenchOptions bench = bench_options(*options, Device{});
    const std::vector<Row> rows = tests.bench_ops(bench);
    if (options->picture == "svg")
      print_text(roofline_svg(rows) + "\n");
    else
      print_rows(rows, format_by_name(options->picture));
  });
}

void add_compare(CLI::App& kernel, const ExitCode& code) {
  const auto options = std::make_shared<Options>();
  CLI::App* compare =
      kernel.add_subcommand("compare", "two tables of bench, ladder or profile: FAST, SLOW, SAME, AMBG");
  const CommonPtr common = add_common(*compare);
  compare->add_option("before", options->before, "as `-o json` wrote it")->required();
  compare->add_option("after", options->after, "likewise")->required();
  compare->add_option("--threshold", options->threshold, "percent that are the same whatever the noise")
      ->check(CLI::Range(0.0, 100.0));
  compare->callback([=] {
    begin(*common);
    const std::vector<Row> rows = compare_benchmarks(options->before, options->after, options->threshold);
    for (const Row& row : rows)
      if (row.at("verdict") == "SLOW") *code = static_cast<int>(Exit::kCheckFailed);
    print_rows(rows, format_by_name(common->format));
  });
}

}  // namespace

void add_kernel_bench_commands(CLI::App& kernel, const ExitCode& code, const Selftests& tests) {
  add_bench(kernel, tests);
  add_profile(kernel, tests);
  add_roofline(kernel, tests);
  add_compare(kernel, code);
}

}  // namespace taut::study
