// taut kernel bench, profile, roofline, compare: how fast kernels are, and what they do.
#include "kernels/error.h"
#include "kernels/lab/conv2d_bench.h"
#include "kernels/lab/figures.h"
#include "kernels/lab/gpu_model.h"
#include "kernels/lab/ladder.h"
#include "kernels/lab/matmul_bench.h"
#include "kernels/lab/sweep.h"
#include "kernels/parallel.h"
#include "study/command/bench_model.h"
#include "study/command/command.h"
#include "study/command/kernel_compare.h"
#include "study/command/ladder_rows.h"
#include "study/command/measured.h"
#include "study/command/ncu.h"
#include "study/command/roofline.h"
#include "study/command/rows_file.h"

namespace taut::study {
namespace {

std::vector<Row> rows_of(const std::vector<lab::PassRow>& results) {
  std::vector<Row> rows;
  for (const lab::PassRow& r : results) {
    Row row = {{"op", r.op},
               {"shape", r.shape},
               {"dtype", "f32"},
               {"pass", r.pass},
               {"device", name(DeviceKind::kCpu)},
               {"caches", r.cold ? "cold" : "warm"},
               {"threads", r.threads},
               {"samples", r.timing.samples}};
    for (const lab::Figure& figure : lab::figures_of(r.timing, r.flops, r.traffic, r.peaks))
      row[figure.name] = number_or_null(figure.value);
    const double best_gflops = 1e-9 * r.flops / r.timing.minimum;
    row["fraction_of_peak"] =
        number_or_null(r.peaks.gflops ? std::optional(best_gflops / *r.peaks.gflops) : std::nullopt);
    const std::optional<double> vendor = r.vendor_seconds;
    row["vendor"] = vendor ? Row(r.vendor) : Row(nullptr);
    row["vendor_milliseconds"] = vendor ? Row(1e3 * *vendor) : Row(nullptr);
    row["vendor_gflops"] = vendor ? Row(1e-9 * r.flops / *vendor) : Row(nullptr);
    row["percent_of_vendor"] = vendor ? Row(100 * *vendor / r.timing.median) : Row(nullptr);
    rows.push_back(std::move(row));
  }
  return rows;
}

struct Options {
  std::string op, shapes_file, gpu = "h100", before, after, picture = "svg";
  std::vector<std::string> shapes, passes, axes, dtypes{"f32"};
  bool every_case = false, warm = false, cold = false, timed = false, sites = false, without_nvcc = false;
  double threshold = 2;
};

// Both unless one is asked for.
lab::BenchOptions bench_options(const Options& o, Device device) {
  return {.device = device,
          .filter = o.op,
          .shapes = o.shapes,
          .dtypes = o.dtypes,
          .every_case = o.every_case,
          .warm = o.warm || !o.cold,
          .cold = o.cold || !o.warm,
          .timed = o.timed};
}

// By the benchmark of the CPU's own, beside oneDNN: f32 shapes of matmul and conv2d there, a pass a row.
bool is_by_passes(const Options& o, Device device) {
  const bool f32_alone = o.dtypes == std::vector<std::string>{"f32"}, multiplies = o.op == "matmul" || o.op == "conv2d";
  return !o.shapes.empty() && device.kind == DeviceKind::kCpu && f32_alone && multiplies;
}

// Options that were given and would do nothing are an error that names them.
void refuse(const CLI::App& command, const std::vector<std::string>& options, const char* why) {
  std::string given;
  for (const std::string& option : options)
    if (command.count(option) > 0) given += given.empty() ? option : ", " + option;
  TAUT_CHECK(given.empty(), "[{}] {}; hint: leave out {}", given, why, given);
}

bool is_counted(const Options& o, Device device) { return device.kind == DeviceKind::kSimt && !o.timed; }

void refuse_what_does_nothing(const CLI::App& bench, const Options& o, Device device) {
  if (o.shapes_file.empty()) expect_op("bench", o.op);
  if (device.kind != DeviceKind::kSimt)
    refuse(bench, {"--timed"}, "only simt counts, elsewhere cases are timed anyway");
  if (is_counted(o, device)) refuse(bench, {"--warm", "--cold"}, "simt counts, whatever the caches hold");
  if (!o.shapes_file.empty())
    return refuse(bench, {"--shape", "-a", "--dtype", "--all", "--pass"}, "the file of --shapes says what is timed");
  const bool f32_alone = o.dtypes == std::vector<std::string>{"f32"};
  if (!o.axes.empty()) {
    refuse(bench, {"--shape", "--all", "--pass", "--warm", "--cold"},
           "a sweep has the sizes of -a, forward, with warm caches");
    if (!f32_alone) refuse(bench, {"--dtype"}, "a sweep runs in f32");
    return;
  }
  if (!o.shapes.empty()) refuse(bench, {"--all"}, "shapes stand in place of the op's cases");
  if (is_by_passes(o, device)) return;
  refuse(bench, {"--pass"},
         "passes are of f32 shapes of matmul and conv2d on the cpu, others are timed forward and forward+backward");
}

// A sweep: production or a rung of a ladder's op (0: all of them), and the points.
struct Sweep {
  const lab::LadderOp& op;
  int rung;
  std::vector<lab::Sizes> sizes;
};
Sweep sweep_of(const Options& o, Device device) {
  constexpr std::string_view kAll = ":all";
  const bool all = o.op.ends_with(kAll);
  auto [name_of_op, rung] = op_and_rung(all ? o.op.substr(0, o.op.size() - kAll.size()) : o.op);
  const lab::LadderOp& op = lab::ladder_op(name_of_op);
  lab::expect_rung(op, device, rung);
  const lab::Rungs rungs = lab::rungs_of(op, device);
  if (!all && rung == 0)
    while (!rungs.list[rung++].production) continue;
  return {op, rung, lab::sweep_sizes(op, device.kind == DeviceKind::kSimt ? op.counted : op.timed, o.axes)};
}

// Each rung is validated at every point of the sweep before it is timed.
std::vector<Row> bench_sweep(const Options& o, Device device, const ExitCode& code) {
  const Sweep sweep = sweep_of(o, device);
  std::vector<Row> rows;
  for (const lab::Sizes& sizes : sweep.sizes) {
    const auto run = [&] {
      try {
        return lab::run_ladder(sweep.op, device, {.rung = sweep.rung, .sizes = sizes, .timed = o.timed});
      } catch (const std::bad_alloc&) {
      } catch (const std::length_error&) {  // more than any memory
      }
      fail(Exit::kMemory, "[kernel bench] out of memory for {} of {}; hint: smaller sizes of -a", sweep.op.op,
           lab::sizes_text(sweep.op, sizes));
    };
    for (const lab::LadderRow& r : run()) {
      if (!r.verified) *code = static_cast<int>(Exit::kCheckFailed);
      rows.push_back(rung_row(r, device, is_counted(o, device)));
      rows.back().erase("better");  // which is claimed for the ladder's own sizes
      rows.back().erase("is_better");
      const std::vector<std::string> names = lab::size_names(sweep.op);
      for (size_t i = 0; i < names.size(); ++i) rows.back()[names[i]] = r.sizes[i];
    }
  }
  return rows;
}

// The shapes of a run (study/run/used_shapes.h), of one op or all, each with how often the run called it.
struct Recorded {
  lab::BenchOptions options;
  Row calls;
};
std::vector<Recorded> recorded_of(const Options& o, Device device) {
  std::vector<Recorded> all;
  for (const Row& used : read_rows(o.shapes_file, "taut train --record-shapes FILE")) {
    const auto text = [&](const char* field) {
      if (!used.contains(field) || !used.at(field).is_string())
        fail(Exit::kBadData, "[{}] expected rows with op, shape, dtype and calls, got {}", o.shapes_file, used.dump());
      return used.at(field).get<std::string>();
    };
    lab::BenchOptions options = bench_options(o, device);
    options.filter = text("op");
    options.shapes = {text("shape")};
    options.dtypes = {text("dtype")};
    if (!o.op.empty() && o.op != options.filter) continue;
    all.push_back({std::move(options), used.value("calls", Row())});
  }
  TAUT_CHECK(!all.empty(), "[--shapes] {} has no shape of {}", o.shapes_file, o.op.empty() ? "any op" : o.op);
  return all;
}

std::vector<Row> bench_recorded(const Options& o, Device device, const Selftests& tests) {
  std::vector<Row> rows;
  for (const Recorded& recorded : recorded_of(o, device))
    for (Row& row : tests.bench_ops(recorded.options)) {
      row["calls"] = recorded.calls;
      rows.push_back(std::move(row));
    }
  return rows;
}

// Throws for what no device would run.
void check_arguments(const Options& o, Device device, const Selftests& tests) {
  if (!o.axes.empty()) {
    sweep_of(o, device);
  } else if (!o.shapes_file.empty()) {
    for (const Recorded& recorded : recorded_of(o, device)) tests.check_bench(recorded.options);
  } else {
    tests.check_bench(bench_options(o, device));
  }
}

std::vector<Row> bench_passes(const Options& o) {
  const lab::Caches caches{o.warm || !o.cold, o.cold};
  std::vector<std::string> passes = o.passes;
  if (o.op == "matmul") {
    if (passes.empty()) passes = {"nt", "nn", "tn"};
    return rows_of(bench_matmul(o.shapes, passes, caches, num_threads()));
  }
  if (passes.empty()) passes = {"forward", "input", "weight"};
  return rows_of(bench_conv2d(o.shapes, passes, caches, num_threads()));
}

void add_bench(CLI::App& kernel, const ExitCode& code, const Selftests& tests) {
  const auto options = std::make_shared<Options>();
  CLI::App* bench = kernel.add_subcommand(
      "bench", "the cases of an op: times and rates against the peaks of the same run, or counts on simt");
  const CommonPtr common = add_common(*bench);
  bench->add_option(
      "op", options->op,
      "an op, or a regular expression over OP/CASE: softmax, '^matmul/788x'; with -a OP, OP:RUNG or OP:all "
      "of a ladder; with --shapes none, for all");
  bench->add_option("--dtype", options->dtypes, "f32, tf32, bf16: what the cases run in, as model.precision; a list")
      ->delimiter(',')
      ->allow_extra_args(false);
  bench
      ->add_option(
          "-a", options->axes,
          "NAME=VALUES, a size of a ladder's op and what it takes: cols=64,197 rows=64..4096*2 pixels=1000..9000+"
          "1000; may be repeated, for every combination")
      ->allow_extra_args(false);
  bench->add_flag("--timed", options->timed, "on simt times instead of counts: no GPU's, but the same host code");
  bench->add_flag("--all", options->every_case, "every case that matches, not the largest of each op");
  bench->add_flag("--warm", options->warm, "only with inputs in the caches");
  bench->add_flag("--cold", options->cold, "only with inputs flushed from the caches before every call");
  bench
      ->add_option("--shape", options->shapes,
                   "of matmul, MxNxK[,...]: M x N is the result, K is summed; of attention, BxTxHxD: images, tokens, "
                   "heads, head size; of layer_norm and softmax, ROWSxCOLS; of conv2d, "
                   "NxHxWxCxKxR[:sS:pP:dD:gG][,...]: N images of C channels, K kernels of R x R, stride S, padding P "
                   "(R / 2), dilation D, G groups; a pair for rows and columns is RxR, sSxS, pPxP, dDxD: "
                   "1x9x9x8x8x3x1:s2x1:p1x0:g4")
      ->delimiter(',');
  bench->add_option("--shapes", options->shapes_file, "the file of `taut train --record-shapes`: all of its shapes");
  bench
      ->add_option(
          "--pass", options->passes,
          "of f32 shapes on the cpu: nt = x wT, nn = dy w, tn = dyT x (matmul); forward, input, weight (conv2d)")
      ->delimiter(',');
  bench->callback([=] {
    refuse_what_does_nothing(*bench, *options, begin_on_any_device(*common));
    refuse_debug_build();
    if (waive_without_device(*common, options->op, code, tests,
                             [&](Device missing) { check_arguments(*options, missing, tests); }))
      return;
    const Device device = begin_on_device(*common);
    const Format format = format_by_name(common->format);
    const auto measured = [&] {
      if (!options->shapes_file.empty()) return bench_recorded(*options, device, tests);
      if (!options->axes.empty()) return bench_sweep(*options, device, code);
      return is_by_passes(*options, device) ? bench_passes(*options) : tests.bench_ops(bench_options(*options, device));
    };
    std::vector<Row> rows = measured();
    if (!is_counted(*options, device)) say_where_measured(device, rows, format);
    print_rows(rows, format);
  });
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
    expect_op("profile", options->op);
    const Device device = begin_on_any_device(*common);
    if (device.kind != DeviceKind::kSimt)
      fail(Exit::kUnavailable, "[--device] profiles are counted on simt, got '{}'; hint: --device simt",
           common->device);
    fmt::print(stderr, "a model of {}\n", lab::assumptions(lab::gpu_by_name(options->gpu)));
    const std::vector<Row> rows = tests.profile(
        {.filter = options->op, .gpu = options->gpu, .sites = options->sites, .ask_nvcc = !options->without_nvcc});
    print_rows(rows, format_by_name(common->format));
    if (options->sites) return;
    fmt::print(stderr, "on a machine with a GPU:\n");
    for (const std::string& line : ncu_lines(rows)) fmt::print(stderr, "  {}\n", line);
    const std::string note = counters_note(text_of("/proc/driver/nvidia/params"));
    if (!note.empty()) fmt::print(stderr, "{}\n", note);
  });
}

void add_roofline(CLI::App& kernel, const ExitCode& code, const Selftests& tests) {
  const auto options = std::make_shared<Options>();
  CLI::App* roofline = kernel.add_subcommand(
      "roofline", "kernels under the roofs of the same run; on simt, counted kernels under those of a model");
  const CommonPtr common = add_common(*roofline);
  roofline->remove_option(roofline->get_option("-o"));
  roofline->add_option("-o,--output-format", options->picture, "svg, or the rows as md, csv, json, jsonl, sql")
      ->check(CLI::IsMember({"svg", "md", "csv", "json", "jsonl", "sql"}));
  roofline->add_option("op", options->op, "an op, or a regular expression over OP/CASE")->required();
  roofline->add_flag("--all", options->every_case, "every case that matches, not the largest of each op");
  roofline->add_option("--gpu", options->gpu, "the model on simt: h100, a100, rtx4090");
  roofline->callback([=] {
    expect_op("roofline", options->op);
    const bool counted = begin_on_any_device(*common).kind == DeviceKind::kSimt;
    refuse(*roofline, {counted ? "--all" : "--gpu"},
           counted ? "simt counts the largest case of each op" : "what is measured needs no model");
    lab::gpu_by_name(options->gpu);
    if (waive_without_device(*common, options->op, code, tests, [&](Device missing) {
          if (counted)
            tests.ops(missing, options->op, {});  // which skips them
          else
            check_arguments(*options, missing, tests);
        }))
      return;
    const Device device = begin_on_device(*common);
    std::vector<Row> rows;
    std::string title;
    if (counted) {
      const lab::Gpu& gpu = lab::gpu_by_name(options->gpu);
      rows = roofline_of_counts(tests.profile({.filter = options->op, .gpu = options->gpu, .ask_nvcc = false}), gpu);
      title = fmt::format("a model of {}, nothing measured", gpu.name);
    } else {
      refuse_debug_build();
      rows = tests.bench_ops(bench_options(*options, device));
      say_where_measured(device, rows,
                         options->picture == "svg" ? Format::kMarkdown : format_by_name(options->picture));
      title = fmt::format("measured on this machine's {}", device.kind == DeviceKind::kCpu ? "CPU" : "GPU");
    }
    if (options->picture == "svg")
      print_text(roofline_svg(rows, title) + "\n");
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
  compare->add_option("--threshold", options->threshold, "percent of 0 to 100 that are the same whatever the noise");
  compare->callback([=] {
    begin(*common);
    const std::vector<Row> rows = compare_benchmarks(options->before, options->after, options->threshold);
    for (const Row& row : rows)
      if (row.at("verdict") == "SLOW" || row.at("verdict") == "GONE") *code = static_cast<int>(Exit::kCheckFailed);
    print_rows(rows, format_by_name(common->format));
  });
}

}  // namespace

void add_kernel_bench_commands(CLI::App& kernel, const ExitCode& code, const Selftests& tests) {
  add_bench(kernel, code, tests);
  add_profile(kernel, tests);
  add_roofline(kernel, code, tests);
  add_compare(kernel, code);
}

}  // namespace taut::study
