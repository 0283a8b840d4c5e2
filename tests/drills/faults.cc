#include "tests/drills/faults.h"

#include <unistd.h>

#include <cstdlib>

#include "study/run/checkpoint.h"

namespace taut::study {
namespace fs = std::filesystem;

std::string environment_of(const Faults& f) {
  // The library comes before a sanitizer's, which that one would refuse.
  std::string text = "LD_PRELOAD=" + shell_word(TAUT_FAULTS) + " ASAN_OPTIONS=verify_asan_link_order=0";
  const auto add = [&](const char* name, const std::string& value) {
    if (!value.empty()) text += std::string(" TAUT_FAULT_") + name + "=" + shell_word(value);
  };
  add("PATH", f.path);
  add("CALLS", f.calls);
  add("ACTION", f.action);
  add("AT", std::to_string(f.at));
  add("ON", f.on ? "1" : "");
  add("LOG", f.log);
  add("MARK", f.mark);
  add("MALLOC", f.allocation >= 0 ? std::to_string(f.allocation) : "");
  add("FREE", f.room >= 0 ? std::to_string(f.room) : "");
  add("YEAR", f.year ? "1" : "");
  return text;
}

std::vector<Change> read_changes(const std::string& log) {
  const auto value = [](char c) { return c <= '9' ? c - '0' : c - 'a' + 10; };
  std::vector<Change> changes;
  for (const std::string& line : lines_of(read_text_file(log))) {
    std::vector<std::string> fields(1);
    for (const char c : line) {
      if (c == '\t')
        fields.emplace_back();
      else
        fields.back() += c;
    }
    const bool renames = fields.at(0) == "rename";
    REQUIRE(fields.size() == (renames ? 6U : 5U));
    Change change{fields[0], std::stoull(fields[1]), fields[2], renames ? fields[3] : "", 0, ""};
    change.number = std::stoll(fields[fields.size() - 2]);
    const std::string& hex = fields.back();
    for (size_t i = 0; i + 1 < hex.size(); i += 2)
      change.bytes += static_cast<char>(value(hex[i]) * 16 + value(hex[i + 1]));
    changes.push_back(std::move(change));
  }
  return changes;
}

TinyRun::TinyRun(std::string more) { write_text(folder / "tiny.toml", std::move(more) + kTinyStudy); }

std::vector<std::string> TinyRun::arguments(const std::string& name, const std::vector<std::string>& more) const {
  std::vector<std::string> all = {"train", "-c", folder / "tiny.toml"};
  all.insert(all.end(), more.begin(), more.end());
  all.insert(all.end(), {"--out", folder / name, "-t", "1"});
  return all;
}

Outcome TinyRun::train(const std::string& name, const Faults& faults, const std::vector<std::string>& more) const {
  return taut(arguments(name, more), environment_of(faults));
}

std::map<std::string, std::string> TinyRun::calm(const std::string& name) const {
  const Outcome o = taut(arguments(name));
  CAPTURE(o.err);
  REQUIRE(o.code == 0);
  return promised_files(folder / name);
}

pid_t start_taut(const std::vector<std::string>& arguments, const Faults& faults, const std::string& out) {
  std::string line = "exec env " + environment_of(faults) + " " + shell_word(TAUT_BINARY);
  for (const std::string& a : arguments) line += " " + shell_word(a);
  line += " >" + shell_word(out + ".out") + " 2>" + shell_word(out + ".err");
  const pid_t child = ::fork();
  if (child == 0) {
    ::execl("/bin/sh", "sh", "-c", line.c_str(), static_cast<char*>(nullptr));
    ::_exit(127);
  }
  return child;
}

bool holds_soon(const std::function<bool()>& condition) {
  for (int i = 0; i < 12000; ++i) {
    if (condition()) return true;
    ::usleep(5000);
  }
  return false;
}

void copy_run(const std::string& from, const std::string& to) {
  fs::remove_all(to);
  fs::copy(from, to, fs::copy_options::recursive | fs::copy_options::copy_symlinks);
}

int64_t newest_step(const std::string& run) {
  const auto last = read_last_checkpoint(run, [](const std::string& warning) { FAIL_CHECK(warning); });
  return last ? last->step : -1;
}

bool long_form() {
  const char* asked = std::getenv("TAUT_DRILLS");
  return asked != nullptr && std::string(asked) == "long";
}

}  // namespace taut::study
