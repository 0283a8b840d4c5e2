// What the tests of the study share: a folder of their own, errors by code and text, a tiny run, the command itself.
#pragma once

#include <doctest/doctest.h>
#include <stdlib.h>
#include <sys/wait.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>
#include <string>
#include <vector>

#include "kernels/error.h"
#include "study/plan.h"
#include "study/text_file.h"

namespace taut::study {

class TempFolder {
 public:
  TempFolder() {
    std::string name = (std::filesystem::temp_directory_path() / "taut-study-XXXXXX").string();
    REQUIRE(::mkdtemp(name.data()) != nullptr);
    path_ = name;
  }
  ~TempFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TempFolder(const TempFolder&) = delete;
  TempFolder& operator=(const TempFolder&) = delete;
  std::string operator/(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

// The code and message of the Error that `body` throws; code kOk where it throws none.
template <class Body>
Error error_of(const Body& body) {
  try {
    body();
  } catch (const Error& error) {
    return error;
  }
  return Error(Exit::kOk, "no error");
}

inline void write_text(const std::string& path, const std::string& text) {
  std::filesystem::create_directories(std::filesystem::path(path).parent_path());
  std::ofstream(path, std::ios::binary) << text;
}

// Everything a run promises to reproduce: relative path -> bytes.
inline std::map<std::string, std::string> promised_files(const std::string& folder) {
  std::map<std::string, std::string> files;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder)) {
    const std::string name = entry.path().filename().string();
    if (!entry.is_regular_file() || entry.is_symlink()) continue;
    if (name == "metrics.jsonl" || name == "result.json" || name.ends_with(".safetensors") || name.starts_with("step-"))
      files[std::filesystem::relative(entry.path(), folder).string()] = read_text_file(entry.path().string());
  }
  return files;
}

// Names left behind by interrupted writes.
inline std::vector<std::string> strays(const std::string& folder) {
  std::vector<std::string> found;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder)) {
    const std::string name = entry.path().filename().string();
    if (name.ends_with(".tmp") || name.find(".tmp-") != std::string::npos || name == "evaluation.json")
      found.push_back(entry.path().string());
  }
  return found;
}

// A run of a fraction of a second: twelve updates, a checkpoint every other one, three evaluations under attack.
inline const char* const kTinyStudy = R"(
model.name = "vit_demo"
model.strategy = "lora"
data.path = "procedural:easy"
data.train_limit = 64
data.validation = 8
attack.eps = "8/255"
attack.alpha = "2/255"
attack.steps = 2
train.steps = 12
train.batch = 4
train.lr = 3e-3
train.weight_decay = 0.01
train.warmup = 2
train.log_every = 1
train.checkpoint_every = 2
eval.schedule = "list"
eval.points = [0, 6]
eval.n = 12
eval.batch = 4
eval.train_n = 4
eval.shifts = ["rotation"]
[study]
strategies = ["lora", "lp"]
[[study.dataset]]
name = "easy"
)";

inline PlanRow tiny_run(std::vector<std::string> arguments = {}) {
  return single_run(kTinyStudy, "tiny.toml", Source::kFile, arguments);
}

struct Outcome {
  int code;
  std::string out, err;
};

inline std::string shell_word(const std::string& word) {
  std::string quoted = "'";
  for (const char c : word) quoted += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return quoted + "'";
}

// Runs the built command with standard output and error apart.
inline Outcome taut(const std::vector<std::string>& arguments, const std::string& environment = "") {
  const TempFolder folder;
  std::string line = environment + " " + shell_word(TAUT_BINARY);
  for (const std::string& a : arguments) line += " " + shell_word(a);
  line += " >" + shell_word(folder / "out") + " 2>" + shell_word(folder / "err");
  const int status = std::system(line.c_str());
  return {WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status), read_text_file(folder / "out"),
          read_text_file(folder / "err")};
}

}  // namespace taut::study
