#include "study/command/command.h"

#include <fcntl.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <new>

#include "kernels/devices.h"
#include "kernels/error.h"
#include "kernels/parallel.h"
#include "kernels/tell.h"
#include "study/presets.h"
#include "study/run/environment.h"
#include "study/run/point.h"
#include "study/run/products.h"
#include "study/submit/process.h"
#include "study/text_file.h"
#include "study/toml.h"
#include "study/untrusted.h"
#include "tensor/nearest.h"

namespace taut::study {
namespace {

// CLI11 would only say that a command is needed.
void check_command_name(const CLI::App& app, const std::vector<std::string>& words) {
  const CLI::App* at = &app;
  for (const std::string& word : words) {
    TAUT_CHECK(!word.starts_with("-") || word == "-h" || word == "--help" || word == "--version" || at != &app,
               "[taut] there is no option '{}' before the command; hint: taut COMMAND --help lists a command's", word);
    if (word.starts_with("-")) return;
    std::vector<std::string> names;
    for (const CLI::App* sub : at->get_subcommands([](const CLI::App*) { return true; }))
      names.push_back(sub->get_name());
    if (names.empty()) return;
    TAUT_CHECK(std::find(names.begin(), names.end(), word) != names.end(),
               "[{}] there is no command '{}'; hint: {} (--help lists all)", at->get_name(), word,
               did_you_mean(word, names));
    at = at->get_subcommand(word);
  }
}

std::string command_line(int argc, char** argv) {
  std::vector<std::string> words(argv + std::min(argc, 1), argv + argc);
  words.insert(words.begin(), "taut");
  return shell_line(words);
}

// A file opened while standard output or error is closed would get its number, and with it every message.
void occupy_standard_descriptors() {
  for (int fd = 0; fd <= 2; ++fd)
    if (::fcntl(fd, F_GETFD) < 0) static_cast<void>(::open("/dev/null", O_RDONLY));  // the lowest free one; no writing
}

// Takes no memory, as there may be none, and throws nothing.
int complain(const char* opening, const char* what, Exit code) {
  for (const char* part : {"taut: ", opening, what, "\n"}) std::fputs(part, stderr);
  return static_cast<int>(code);
}

// Libraries free JSON values, and the like, with the help of more memory, where nothing may be thrown. Files are as
// safe as after any sudden end.
[[noreturn]] void end_without_memory() {
  try {
    if (std::current_exception() != nullptr) std::rethrow_exception(std::current_exception());
  } catch (const std::bad_alloc&) {
    ::_exit(complain("", "out of memory; hint: smaller train.batch and eval.batch, or fewer threads", Exit::kMemory));
  } catch (...) {  // a defect: let it be seen as one
  }
  std::abort();
}

int parse_and_run(int argc, char** argv, const Selftests& tests) {
  CLI::App app("Fine-tune vision models in seven ways, attack them while they train, and compare.", "taut");
  app.set_version_flag("--version", version_line());
  app.require_subcommand(1);
  app.failure_message(CLI::FailureMessage::simple);
  const auto code = std::make_shared<int>(0);
  add_study_commands(app, code, command_line(argc, argv));
  add_train_command(app, code);
  add_eval_commands(app, code);
  add_models_commands(app, code);
  add_weights_commands(app, code);
  add_data_commands(app, code);
  add_bench_commands(app, code);
  add_kernel_commands(app, code, tests);
  add_selftest_commands(app, code, tests);
  add_list_commands(app, code);
  add_doctor_command(app, code);
  try {
    check_command_name(app, std::vector<std::string>(argv + 1, argv + argc));
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) return app.exit(error);  // --help, --version
    tell("taut: {}\n", error.what());
    return static_cast<int>(Exit::kUsage);
  }
  return *code;
}

// What cuBLASLt chose in earlier processes is used in this one, and what it chooses here is kept at its end.
void remember_products(Device device) {
  static Device used;
  used = device;
  static const bool once = [] {
    try {
      read_products(used, products_file());
    } catch (const Error& error) {
      tell("taut: warning: {}; products are timed anew\n", error.what());
    }
    return std::atexit([] {
             try {
               keep_products(used, products_file());
             } catch (const std::exception& error) {
               tell("taut: warning: {}; products are timed again next time\n", error.what());
             }
           }) == 0;
  }();
  static_cast<void>(once);
}

}  // namespace

CommonPtr add_common(CLI::App& command) {
  auto common = std::make_shared<Common>();
  command.add_option("-o,--output-format", common->format, "of results on standard output: md, csv, json, jsonl, sql");
  command.add_option("-t,--threads", common->threads, "threads; no result depends on it")->check(CLI::Range(1, 256));
  command.add_option("--device", common->device, "cpu, simt, cuda, cuda:INDEX or auto");
  command.add_option("--progress", common->progress, "on standard error: auto, plain, none");
  return common;
}

void add_settings(CLI::App& command, const CommonPtr& common, bool with_preset) {
  command.add_option("settings", common->settings, "key=value, as listed by `taut ls settings`");
  command.add_option("-c,--config", common->file, "TOML file of settings");
  if (with_preset) command.add_option("--preset", common->preset, "settings by name, see `taut ls presets`");
}

void begin(const Common& common) {
  if (begin_on_any_device(common).kind != DeviceKind::kCpu && common.device != "auto")
    fail(Exit::kUnavailable, "[--device] this command runs on the cpu, got '{}'; hint: --device cpu", common.device);
}

Device begin_on_any_device(const Common& common) {
  const Device device = device_by_name(common.device.c_str());
  format_by_name(common.format);
  progress_mode_by_name(common.progress);
  if (common.threads > 0) set_num_threads(common.threads);
  return device;
}

Device begin_on_device(const Common& common) {
  const Device device = begin_on_any_device(common);
  require_device(device);
  if (device.kind == DeviceKind::kCuda) remember_products(device);
  return device;
}

namespace {

// Text of a study file or of the preset of that name.
struct StudyText {
  std::string name, text;
  Source source;
};

StudyText study_text(const std::string& file_or_preset) {
  const bool is_name = file_or_preset.find_first_of("/.") == std::string::npos;
  if (is_name && !std::filesystem::exists(file_or_preset)) {
    const Preset& p = preset(file_or_preset);
    return {p.name, p.text, Source::kPreset};
  }
  return {file_or_preset, read_toml_file(file_or_preset), Source::kFile};
}

}  // namespace

Config settings_of(const Common& common) {
  Config config;
  if (!common.file.empty()) {
    const StudyText study = study_text(common.file);
    config.set_all(parse_toml(study.text, study.name).values, study.source);
  }
  config.set_from_environment();
  config.set_arguments(common.settings);
  if (common.threads == 0 && config.integer("threads") > 0)
    set_num_threads(static_cast<int>(config.integer("threads")));
  return config;
}

PlanRow run_of(const Common& common) {
  TAUT_CHECK(common.preset.empty() || common.file.empty(),
             "[--preset] and -c both name settings; hint: give one of them");
  std::vector<std::string> arguments = common.settings;
  if (common.threads > 0) arguments.push_back(fmt::format("threads={}", common.threads));
  if (!common.preset.empty()) {
    const Preset& p = preset(common.preset);
    return single_run(p.text, p.name, Source::kPreset, arguments);
  }
  if (common.file.empty()) return single_run("", "settings", Source::kFile, arguments);
  const StudyText study = study_text(common.file);
  return single_run(study.text, study.name, study.source, arguments);
}

Plan plan_of(const std::string& file_or_preset, const Common& common) {
  const StudyText study = study_text(file_or_preset);
  Plan plan = make_plan(study.text, study.name, study.source, common.settings);
  refuse_unread_attack_settings(plan);
  return plan;
}

int run_command_line(int argc, char** argv, const Selftests& tests) {
  std::signal(SIGXFSZ, SIG_IGN);  // a file beyond the limit is a write that fails, as on a full disk
  occupy_standard_descriptors();
  std::set_terminate(end_without_memory);
  try {
    return parse_and_run(argc, argv, tests);
  } catch (const Error& error) {
    return complain("", error.what(), error.code());
  } catch (const std::bad_alloc&) {
    return complain("", "out of memory; hint: smaller train.batch and eval.batch, or fewer threads", Exit::kMemory);
  } catch (const std::filesystem::filesystem_error& error) {
    return complain("", error.what(), Exit::kIo);
  } catch (const std::exception& error) {
    return complain("a defect of this program: ", error.what(), Exit::kNumeric);
  }
}

}  // namespace taut::study
