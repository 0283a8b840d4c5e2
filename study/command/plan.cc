// taut study plan: every run of a study, and what they cost.
#include "kernels/error.h"
#include "kernels/parallel.h"
#include "study/command/command.h"
#include "study/command/plan_cost.h"
#include "study/command/plans.h"
#include "study/run/environment.h"

namespace taut::study {
namespace {

struct Options {
  std::string file, gpu = "h100";
  double fraction = 0;
  bool no_measure = false;
};

std::string hours(double seconds) {
  const double h = seconds / 3600;
  return h < 100 ? fmt::format("{:.3g} h", h) : fmt::format("{:.0f} h ({:.0f} days)", h, h / 24);
}

void say_here(const PlanCost& cost) {
  const auto environment_now = environment();
  for (const std::string& line : cost.measured) fmt::print(stderr, "measured here: {}\n", line);
  fmt::print(stderr, "this machine, measured ({}, {}, threads: {}; no decoding, no disk): {}\n",
             environment_now["processor"].get<std::string>(), environment_now["isa"].get<std::string>(), num_threads(),
             hours(*cost.seconds()));
}

void say_gpu(const Gpu& gpu, double flops) {
  for (const Gpu::Mode& mode : gpu.modes)
    fmt::print(stderr, "one {}, assumed and not measured, {} at {:g} % of its {:g} TFLOP/s: {}\n", gpu.title,
               mode.dtype, 100 * mode.fraction, mode.peak_flops * 1e-12, hours(gpu_seconds(mode, flops)));
}

std::vector<Row> rows_of(const Plan& plan, const PlanCost& cost, const std::optional<Gpu>& gpu) {
  std::vector<Row> rows;
  for (size_t i = 0; i < plan.rows.size(); ++i) {
    Row row = to_json(plan.rows[i]);
    const RowCost& its = cost.rows[i];
    const auto number = [&](double value) { return its.counted ? Row(static_cast<int64_t>(value)) : Row(nullptr); };
    row["images"] = number(its.counted ? its.counted->images : 0);
    row["passes"] = number(its.counted ? its.counted->passes() : 0);
    row["evaluations"] = number(its.counted ? static_cast<double>(its.counted->evaluations) : 0);
    if (its.seconds) row["estimated_seconds"] = *its.seconds;
    if (gpu && its.counted)
      for (const Gpu::Mode& mode : gpu->modes)
        row[fmt::format("{}_{}_seconds", gpu->name, mode.dtype)] = gpu_seconds(mode, its.flops);
    rows.push_back(std::move(row));
  }
  return rows;
}

void print_plan(const Options& options, const Common& common, Device device) {
  const Plan plan = plan_of(options.file, common);
  const std::optional<Gpu> gpu =
      options.gpu == "none" ? std::nullopt : std::optional(gpu_by_name(options.gpu, options.fraction));
  PlanCost cost = count_plan(plan);
  for (const std::string& line : cost.unknown) fmt::print(stderr, "not counted: {}\n", line);
  fmt::print(stderr, "{}: {} runs, {:.4g} images, {:.4g} passes, {:.4g} FLOPs\n", plan.title, plan.rows.size(),
             cost.images(), cost.passes(), cost.flops());
  if (options.no_measure || cost.flops() == 0) {
    fmt::print(stderr, "this machine: not measured\n");
  } else {
    fmt::print(stderr, "timing this machine, as taut bench model does (--no-measure leaves it out)\n");
    try {
      measure_plan(plan, device, cost);
      say_here(cost);
    } catch (const Error& error) {
      if (error.code() != Exit::kUnavailable) throw;
      fmt::print(stderr, "this machine: not measured: {}\n", error.what());
    }
  }
  if (gpu) say_gpu(*gpu, cost.flops());
  print_rows(rows_of(plan, cost, gpu), format_by_name(common.format));
}

}  // namespace

void add_plan_command(CLI::App& study) {
  const auto options = std::make_shared<Options>();
  CLI::App* plan = study.add_subcommand("plan", "list every run of a study, and what they cost");
  const CommonPtr common = add_common(*plan);
  plan->add_option("file", options->file, "TOML file, or a preset's name")->required();
  add_settings(*plan, common);
  plan->add_flag("--no-measure", options->no_measure, "do not time this machine");
  plan->add_option("--gpu", options->gpu, "a100, h100 or h200 to estimate for, by assumption; none");
  plan->add_option("--gpu-fraction", options->fraction, "of its peak that is sustained, instead of those assumed");
  plan->callback([=] { print_plan(*options, *common, begin_on_device(*common)); });
}

}  // namespace taut::study
