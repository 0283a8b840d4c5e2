// taut kernel ls, show, verify, ladder, repro: the kernels there are, what they look like, and whether they are right.
#include <fmt/ranges.h>

#include <algorithm>
#include <map>
#include <utility>

#include "kernels/devices.h"
#include "kernels/error.h"
#include "kernels/lab/gpu_model.h"
#include "kernels/lab/ladder.h"
#include "kernels/lab/ptxas.h"
#include "kernels/simt/runner.h"
#include "study/command/bench_model.h"
#include "study/command/command.h"
#include "study/command/ladder_rows.h"
#include "study/command/measured.h"

namespace taut::study {
namespace {

struct Options {
  std::string op, gpu = "h100", sizes = "small", mode = "C", line;
  bool source = false, ptx = false, sass = false, resources = false, timed = false, red_zones = false;
  uint64_t seed = 1;
};

bool has_cases(const std::string& op, const Selftests& tests) {
  const std::vector<Row> ops = tests.op_rows();
  return std::any_of(ops.begin(), ops.end(), [&](const Row& row) { return row.at("op") == op; });
}

std::vector<Row> list_rows(const std::string& op, const Selftests& tests) {
  std::vector<Row> rows;
  const auto wanted = [&](const std::string& name) { return op.empty() || name == op; };
  for (const lab::LadderOp& ladder : lab::ladder_ops())
    for (const DeviceKind kind : {DeviceKind::kSimt, DeviceKind::kCpu}) {
      if (!wanted(ladder.op)) continue;
      const lab::Rungs rungs = lab::rungs_of(ladder, {kind, 0});
      for (int i = 0; i < rungs.count; ++i)
        rows.push_back({{"op", ladder.op},
                        {"version", fmt::format("{}:{}", ladder.op, i + 1)},
                        {"devices", kind == DeviceKind::kCpu ? "cpu" : "simt, cuda"},
                        {"dtype", "f32"},
                        {"production", rungs.list[i].production ? "*" : ""},
                        {"idea", rungs.list[i].idea}});
    }
  for (const Row& row : tests.op_rows()) {
    if (!wanted(row.at("op"))) continue;
    rows.push_back({{"op", row.at("op")},
                    {"version", row.at("op")},
                    {"devices", "cpu, simt, cuda"},
                    {"dtype", row.at("dtype")},
                    {"production", "*"},
                    {"cases", row.at("cases")}});
  }
  TAUT_CHECK(!rows.empty(), "[kernel ls] there is no op '{}'; hint: `taut kernel ls` lists them", op);
  return rows;
}

void add_ls(CLI::App& kernel, const Selftests& tests) {
  const auto options = std::make_shared<Options>();
  CLI::App* ls = kernel.add_subcommand("ls", "ops and their versions; what training uses is marked *");
  const CommonPtr common = add_common(*ls);
  ls->add_option("--op", options->op, "of this op alone");
  ls->callback([=] {
    begin(*common);
    print_rows(list_rows(options->op, tests), format_by_name(common->format));
  });
}

// The texts of the kernels, each under a comment line that says where it is from.
std::string source_text(const std::vector<lab::KernelSource>& kernels) {
  std::string text;
  for (const lab::KernelSource& k : kernels) {
    if (k.text.empty())
      fail(Exit::kUnavailable, "[kernel show] the source of {} is not in {}", k.kernel, lab::source_tree());
    const std::string piece = fmt::format("// {}:{}\n{}\n", k.file, k.line, k.text);
    if (text.find(piece) == std::string::npos) text += piece;
  }
  return text;
}

std::string machine_text(const std::vector<lab::KernelSource>& kernels, const lab::Gpu& gpu, bool sass) {
  std::map<std::string, std::map<std::string, std::string>> files;
  std::string text;
  for (const lab::KernelSource& k : kernels) {
    if (!files.contains(k.compiled))
      files[k.compiled] = sass ? lab::sass_of(k.compiled, gpu) : lab::ptx_of(k.compiled, gpu);
    const auto found = files[k.compiled].find(k.kernel);
    if (found == files[k.compiled].end())
      fail(Exit::kUnavailable, "[kernel show] nvcc makes no {} of {}", k.kernel, k.compiled);
    text += fmt::format("// {} of {} for {}\n{}\n", k.kernel, k.compiled, gpu.arch, found->second);
  }
  return text;
}

void add_show(CLI::App& kernel, const Selftests& tests) {
  const auto options = std::make_shared<Options>();
  CLI::App* show =
      kernel.add_subcommand("show", "the kernels of an op or a rung: resources, source, PTX, machine code");
  const CommonPtr common = add_common(*show);
  common->device = "simt";
  show->add_option("op", options->op, "OP, or OP:RUNG of a ladder")->required();
  show->add_option("--gpu", options->gpu, "to compile for: h100, a100, rtx4090");
  CLI::Option* const what[] = {
      show->add_flag("--resources", options->resources, "registers, spills, shared memory, occupancy: the default"),
      show->add_flag("--source", options->source, "CUDA C++"), show->add_flag("--ptx", options->ptx, "by nvcc"),
      show->add_flag("--sass", options->sass, "machine code, by nvcc and cuobjdump")};
  for (CLI::Option* one : what)
    for (CLI::Option* other : what)
      if (one != other) one->excludes(other);
  show->callback([=] {
    begin_on_any_device(*common);
    const auto [op, rung] = op_and_rung(options->op);
    const lab::Gpu& gpu = lab::gpu_by_name(options->gpu);
    const lab::ProfileOptions profile{.filter = rung > 0 ? op : "^" + op + "/", .rung = rung, .gpu = options->gpu};
    if (options->source) return print_text(source_text(tests.kernel_sources(profile)));
    if (options->ptx || options->sass)
      return print_text(machine_text(tests.kernel_sources(profile), gpu, options->sass));
    std::vector<Row> rows;
    for (const Row& full : tests.profile(profile)) {
      Row row;
      for (const char* field : {"kernel", "source", "case", "gpu", "threads", "registers", "spill_bytes",
                                "shared_bytes", "occupancy_percent", "occupancy_limiter"})
        row[field] = full.at(field);
      rows.push_back(std::move(row));
    }
    print_rows(rows, format_by_name(common->format));
  });
}

Row row_of(const lab::RungCheck& c, Device device, const Options& o) {
  return {{"op", c.op},
          {"version", fmt::format("{}:{}{}", c.op, c.rung, c.production ? " *" : "")},
          {"case", c.shape},
          {"status", c.pass ? "pass" : "fail"},
          {"max_error", c.error},
          {"limit", c.limit},
          {"dtype", "f32"},
          {"repro", fmt::format("taut kernel verify {}:{} --device {} --sizes {} --seed {}{}", c.op, c.rung,
                                name(device.kind), o.sizes, o.seed, o.red_zones ? " --redzone" : "")},
          {"detail", c.detail}};
}

// What `verify` works on: an op and a rung of its ladder (0: all of it), or every op ("").
std::pair<std::string, int> chosen(const Options& o) {
  return o.op == "all" ? std::pair<std::string, int>{"", 0} : op_and_rung(o.op);
}

// Whether the op's cases are part of it. `pgd_step` is a ladder's name alone: its cases say in which norm.
bool takes_cases(const Options& o, const Selftests& tests) {
  const auto [op, rung] = chosen(o);
  const std::vector<lab::LadderOp>& ladders = lab::ladder_ops();
  const bool has_ladder = std::any_of(ladders.begin(), ladders.end(),
                                      [name = op](const lab::LadderOp& ladder) { return ladder.op == name; });
  const bool random = o.sizes.starts_with("random:");
  TAUT_CHECK(!random || op.empty() || has_ladder, "[--sizes] {} has no ladder, and only ladders take random sizes", op);
  return rung == 0 && !random && (op.empty() || !has_ladder || has_cases(op, tests));
}

std::string filter_of(const std::string& op) { return op.empty() ? "" : "^" + op + "/"; }

std::vector<Row> verify_rows(const Options& o, Device device, const Selftests& tests) {
  const auto [op, rung] = chosen(o);
  std::vector<Row> rows;
  for (const lab::LadderOp& ladder : lab::ladder_ops())
    if (op.empty() || op == ladder.op)
      for (const lab::RungCheck& check : lab::verify_ladder(
               ladder, device, {.rung = rung, .sizes = o.sizes, .seed = o.seed, .red_zones = o.red_zones}))
        rows.push_back(row_of(check, device, o));
  if (takes_cases(o, tests))
    for (const Row& row : tests.verify_ops(device, filter_of(op), o.sizes, o.red_zones)) {
      Row r = {{"op", row.at("op")}, {"version", row.at("op").get<std::string>() + " *"}};
      for (const char* field : {"case", "status", "max_error", "limit", "dtype", "repro", "detail"})
        if (row.contains(field)) r[field] = row.at(field);
      rows.push_back(std::move(r));
    }
  TAUT_CHECK(!rows.empty(), "[kernel verify] nothing called '{}' has {} sizes; hint: `taut kernel ls`", o.op, o.sizes);
  return rows;
}

// Throws for what verify_rows throws for before it computes anything.
void check_names(const Options& o, Device device, const Selftests& tests) {
  const auto [op, rung] = chosen(o);
  bool found = false;
  for (const lab::LadderOp& ladder : lab::ladder_ops())
    if (op.empty() || op == ladder.op) {
      lab::expect_rung(ladder, device, rung);
      found = !lab::sizes_by_class(ladder, o.sizes, o.seed).empty();
    }
  if (takes_cases(o, tests)) found |= !tests.verify_ops(device, filter_of(op), o.sizes, false).empty();
  TAUT_CHECK(found, "[kernel verify] nothing called '{}' has {} sizes; hint: `taut kernel ls`", o.op, o.sizes);
}

// The same rungs and cases, in f32: times, or counts on simt.
std::vector<Row> bench_rows(const Options& o, Device device, const Selftests& tests) {
  const auto [op, rung] = chosen(o);
  std::vector<Row> rows;
  for (const lab::LadderOp& ladder : lab::ladder_ops())
    if (op.empty() || op == ladder.op)
      for (const lab::Sizes& sizes : lab::sizes_by_class(ladder, o.sizes, o.seed))
        for (const lab::LadderRow& r : lab::run_ladder(ladder, device, {.rung = rung, .sizes = sizes}))
          rows.push_back(rung_row(r, device, device.kind == DeviceKind::kSimt));
  if (takes_cases(o, tests))
    for (Row& row : tests.bench_ops({.device = device, .filter = filter_of(op), .sizes = o.sizes, .every_case = true}))
      rows.push_back(std::move(row));
  return rows;
}

void add_verify(CLI::App& kernel, const ExitCode& code, const Selftests& tests) {
  const auto options = std::make_shared<Options>();
  CLI::App* verify = kernel.add_subcommand("verify", "rungs and op cases against their references");
  const CommonPtr common = add_common(*verify);
  verify->add_option("op", options->op, "all, OP, or OP:RUNG of a ladder")->required();
  verify->add_option("--sizes", options->sizes, "small, train, edge, or random:N (ladders)");
  verify->add_option("--seed", options->seed, "of random sizes");
  verify->add_flag("--redzone", options->red_zones,
                   "canaries on either side of all device memory, NaN in what nobody wrote; a GPU then waits for every "
                   "kernel");
  verify->add_option("--mode", options->mode, "C: correctness; B: what is right is timed, too (simt: counted)")
      ->check(CLI::IsMember({"C", "B"}));
  verify->callback([=] {
    expect_op("verify", options->op);
    if (waive_without_device(*common, options->op, code, tests,
                             [&](Device missing) { check_names(*options, missing, tests); }))
      return;
    const Device device = begin_on_device(*common);
    const DeviceKind kind = device.kind;
    if (options->mode == "B") refuse_debug_build();
    if (options->red_zones && kind == DeviceKind::kSimt && runner::detectors())
      fmt::print(
          stderr,
          "--redzone: on simt the runner's detectors stop a kernel that reads or writes beside its memory before "
          "a canary could tell; canaries see what the host's copies do\n");
    std::vector<Row> rows = verify_rows(*options, device, tests);
    *code = tests.exit_code(rows, "");
    for (const Row& row : rows)
      if (row.at("status") != "pass") fmt::print(stderr, "failed: {}\n", row.at("repro").get<std::string>());
    const Format format = format_by_name(common->format);
    if (options->mode == "B" && *code == 0) {
      rows = bench_rows(*options, device, tests);
      if (kind != DeviceKind::kSimt) say_where_measured(device, rows, format);
    }
    print_rows(rows, format);
  });
}

void add_ladder(CLI::App& kernel, const ExitCode& code, const Selftests& tests) {
  const auto options = std::make_shared<Options>();
  std::vector<std::string> names;
  for (const lab::LadderOp& op : lab::ladder_ops()) names.emplace_back(op.op);
  CLI::App* ladder = kernel.add_subcommand(
      "ladder", "one op from naive to production, each rung validated, then counted on simt or timed elsewhere");
  const CommonPtr common = add_common(*ladder);
  common->device = "simt";  // where there is no --device
  ladder->add_option("op", options->op, fmt::format("{}", fmt::join(names, ", ")))->required();
  ladder->add_flag("--timed", options->timed, "on simt times instead of counts: no GPU's, but the same host code");
  ladder->callback([=] {
    TAUT_CHECK(!options->timed || begin_on_any_device(*common).kind == DeviceKind::kSimt,
               "[kernel ladder] --timed is for simt, elsewhere rungs are timed anyway; hint: leave it out");
    if (waive_without_device(*common, options->op, code, tests, [&](Device) { lab::ladder_op(options->op); })) return;
    const Device device = begin_on_device(*common);
    const bool counted = device.kind == DeviceKind::kSimt && !options->timed;
    std::vector<Row> rows;
    for (const lab::LadderRow& r : lab::run_ladder(lab::ladder_op(options->op), device, {.timed = options->timed})) {
      // A time says more about a busy machine than about a rung; a count is exact.
      if (!r.verified || (counted && !r.is_better)) *code = static_cast<int>(Exit::kCheckFailed);
      rows.push_back(rung_row(r, device, counted));
    }
    const Format format = format_by_name(common->format);
    if (!counted) say_where_measured(device, rows, format);
    print_rows(rows, format);
  });
}

// The words of a line as a shell reads them; nothing that only a shell could do is allowed.
std::vector<std::string> words_of(const std::string& line) {
  std::vector<std::string> words;
  std::string word;
  bool inside = false, quoted = false;
  char quote = 0;
  for (size_t i = 0; i < line.size(); ++i) {
    const char c = line[i];
    if (quote != 0) {
      if (c == quote)
        quote = 0;
      else
        word += c;
    } else if (c == '\'' || c == '"') {
      quote = c;
      quoted = true;
    } else if (c == '\\' && i + 1 < line.size()) {
      word += line[++i];
    } else if (c == ' ' || c == '\t' || c == '\n') {
      if (inside || quoted) words.push_back(std::exchange(word, {}));
      inside = quoted = false;
      continue;
    } else {
      TAUT_CHECK(std::string_view(";|&<>$`()").find(c) == std::string_view::npos,
                 "[kernel repro] expected a line of taut alone, got '{}' outside quotes", c);
      word += c;
    }
    inside = true;
  }
  TAUT_CHECK(quote == 0, "[kernel repro] a quote in '{}' has no end", line);
  if (inside) words.push_back(word);
  return words;
}

void add_repro(CLI::App& kernel, const ExitCode& code, const Selftests& tests) {
  const auto options = std::make_shared<Options>();
  CLI::App* repro = kernel.add_subcommand("repro", "runs the line that a failure printed to reproduce it");
  repro->add_option("line", options->line, "\"taut selftest ops --device simt --filter ...\", in quotes")->required();
  repro->callback([=] {
    std::vector<std::string> words = words_of(options->line);
    const bool good = words.size() >= 3 && words[0] == "taut" &&
                      ((words[1] == "selftest") || (words[1] == "kernel" && words[2] != "repro"));
    TAUT_CHECK(good, "[kernel repro] expected a line 'taut selftest ...' or 'taut kernel ...', got '{}'",
               options->line);
    std::vector<char*> arguments;
    for (std::string& word : words) arguments.push_back(word.data());
    *code = run_command_line(static_cast<int>(arguments.size()), arguments.data(), tests);
  });
}

}  // namespace

void add_kernel_lab_commands(CLI::App& kernel, const ExitCode& code, const Selftests& tests) {
  add_ls(kernel, tests);
  add_show(kernel, tests);
  add_verify(kernel, code, tests);
  add_ladder(kernel, code, tests);
  add_repro(kernel, code, tests);
}

void add_kernel_commands(CLI::App& app, const ExitCode& code, const Selftests& tests) {
  CLI::App* kernel = app.add_subcommand("kernel", "single kernels: list, show, check, time, count");
  kernel->require_subcommand(1);
  add_kernel_lab_commands(*kernel, code, tests);
  add_kernel_bench_commands(*kernel, code, tests);
}

}  // namespace taut::study
