// taut data import, ls, show, check: data sets by name, from what their authors distribute.
#include <csignal>
#include <filesystem>

#include "data/import/check.h"
#include "data/import/import.h"
#include "data/import/known.h"
#include "kernels/error.h"
#include "kernels/tell.h"
#include "study/command/command.h"
#include "study/report/contact_sheet.h"
#include "study/run/interrupt.h"
#include "tensor/atomic_file.h"

namespace taut::study {
namespace {

constexpr size_t kShown = 20;  // sentences of a long list on standard error

void tell_all(const std::vector<std::string>& sentences, const std::string& where_all_are) {
  for (size_t i = 0; i < std::min(kShown, sentences.size()); ++i) tell("{}\n", sentences[i]);
  if (sentences.size() > kShown) tell("... and {} more{}\n", sentences.size() - kShown, where_all_are);
}

// A line of progress for one kind of work after another.
class Phases {
 public:
  explicit Phases(ProgressMode mode) : mode_(mode) {}
  void show(const std::string& what, int64_t done, int64_t all) {
    if (progress_ == nullptr || done < done_ || all != all_) {
      progress_ = std::make_unique<Progress>(mode_, static_cast<double>(all));
      done_ = 0;
      all_ = all;
    }
    progress_->set_label(fmt::format("{}, {} of {} MB", what, done / 1'000'000, all / 1'000'000));
    progress_->advance(static_cast<double>(done - done_));
    done_ = done;
    stop_if_interrupted("data import");
  }
  void say(const std::string& line) {
    progress_.reset();
    tell("{}\n", line);
  }

 private:
  ProgressMode mode_;
  std::unique_ptr<Progress> progress_;
  int64_t done_ = 0, all_ = 0;
};

Row import_row(const Manifest& m) {
  return {{"name", m.name},
          {"images", m.images.size()},
          {"train", m.count("train")},
          {"validation", m.count("validation")},
          {"test", m.count("test")},
          {"classes", m.classes.size()},
          {"domains", m.domains.size()},
          {"skipped", m.skipped.size()},
          {"complete", m.complete},
          {"sha256", m.sha256}};
}

struct ImportArguments {
  std::string name, out;
  std::vector<std::string> archives;
  uint64_t seed = 0;
};

void add_import(CLI::App& data) {
  CLI::App* command = data.add_subcommand("import", "archives of a known data set become a folder with a manifest");
  const CommonPtr common = add_common(*command);
  const auto a = std::make_shared<ImportArguments>();
  command->add_option("name", a->name, "a data set of `taut data ls`")->required();
  command->add_option("archives", a->archives, "its archives (tar, tar.gz, zip), folders and lists")->required();
  command->add_option("--out", a->out, "the folder to make")->required();
  command->add_option("--seed", a->seed, "of the split, where there is no official one");
  command->callback([common, a] {
    begin(*common);
    install_interrupt_handlers();
    ::signal(SIGXFSZ, SIG_IGN);  // a limit on the size of files is an error of the write, not the end
    Phases phases(progress_mode_by_name(common->progress));
    ImportOptions options{.name = a->name, .archives = a->archives, .out = a->out, .seed = a->seed};
    options.say = [&](const std::string& line) { phases.say(line); };
    options.progress = [&](const std::string& what, int64_t done, int64_t all) { phases.show(what, done, all); };
    const Manifest m = import_dataset(options);
    const std::string manifest = (std::filesystem::path(a->out) / "manifest.json").string();
    phases.say("split: " + m.split_rule);
    tell_all(m.differences, " in " + manifest);
    std::vector<std::string> skipped;
    for (const SkippedFile& s : m.skipped) skipped.push_back(fmt::format("skipped {}: {}", s.file, s.reason));
    tell_all(skipped, " in " + manifest);
    tell_all(m.notes, "");
    print_rows({import_row(m)}, format_by_name(common->format));
  });
}

void add_check(CLI::App& data, const ExitCode& code) {
  CLI::App* command = data.add_subcommand("check", "are the files of an import still those that were imported?");
  const CommonPtr common = add_common(*command);
  const auto folder = std::make_shared<std::string>();
  command->add_option("folder", *folder, "what `taut data import` made")->required();
  command->callback([common, folder, code] {
    begin(*common);
    Phases phases(progress_mode_by_name(common->progress));
    const CheckResult r = check_import(*folder, [&](int64_t done, int64_t all) { phases.show("checking", done, all); });
    for (const std::string& problem : r.problems) phases.say("problem: " + problem);
    tell_all(r.notes, "");
    print_rows({{{"name", r.name}, {"images", r.images}, {"problems", r.problems.size()}}},
               format_by_name(common->format));
    if (!r.problems.empty()) *code = static_cast<int>(Exit::kBadData);
  });
}

void add_ls(CLI::App& data) {
  CLI::App* command = data.add_subcommand("ls", "the data sets that can be imported by name");
  const CommonPtr common = add_common(*command);
  command->callback([common] {
    begin(*common);
    std::vector<Row> rows;
    const auto known = [](int64_t n) { return n > 0 ? Row(n) : Row(nullptr); };
    for (const KnownDataset& k : known_datasets())
      rows.push_back({{"name", k.name},
                      {"archives", k.archives},
                      {"inside", k.inside},
                      {"classes", known(k.classes)},
                      {"train", known(k.train)},
                      {"test", known(k.test)},
                      {"images", known(k.images)},
                      {"licence", k.licence},
                      {"note", k.note}});
    print_rows(rows, format_by_name(common->format));
  });
}

void add_show(CLI::App& data) {
  struct Arguments {
    std::string folder, html, domain;
    int64_t per_class = 4;
  };
  CLI::App* command = data.add_subcommand("show", "counts of a data set and a contact sheet of its images");
  const CommonPtr common = add_common(*command);
  const auto a = std::make_shared<Arguments>();
  command->add_option("folder", a->folder, "an imported folder, or anything data.path may be")->required();
  command->add_option("--html", a->html, "write the contact sheet to this file");
  command->add_option("--domain", a->domain, "only this domain");
  command->add_option("--per-class", a->per_class, "images of each class on the sheet")->check(CLI::Range(1, 100));
  command->callback([common, a] {
    begin(*common);
    const SheetContents contents = sheet_contents(a->folder, a->domain);
    if (!a->html.empty()) {
      write_file_atomically(a->html, contact_sheet_html(contents, a->per_class));
      tell("wrote {}\n", a->html);
    }
    tell_all(contents.facts, "");
    std::vector<Row> rows;
    for (const SheetCount& c : contents.counts)
      rows.push_back({{"class", c.label},
                      {"name", contents.class_names.at(static_cast<size_t>(c.label))},
                      {"split", c.split},
                      {"domain", c.domain},
                      {"images", c.images}});
    print_rows(rows, format_by_name(common->format));
  });
}

}  // namespace

void add_data_commands(CLI::App& app, const ExitCode& code) {
  CLI::App* data = app.add_subcommand("data", "data sets: import by name, list, show, check");
  data->require_subcommand(1);
  add_import(*data);
  add_ls(*data);
  add_show(*data);
  add_check(*data, code);
}

}  // namespace taut::study
