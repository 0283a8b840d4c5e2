// Standard output and error that cannot be written: results that nobody gets are an error, talk that nobody hears is
// none.
#include "tests/drills/faults.h"

namespace taut::study {
namespace {

// The code of the command with its output and error as the shell's words say.
int code_of(const std::string& arguments, const std::string& where) {
  const int status = std::system((shell_word(TAUT_BINARY) + " " + arguments + " " + where).c_str());
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

TEST_CASE("standard error that is full or closed changes neither codes nor bytes") {
  const TinyRun tiny;
  const auto calm = tiny.calm();
  for (const std::string where : {"2>/dev/full", "2>&-"}) {
    CAPTURE(where);
    CHECK(code_of("nonsense", where) == 2);
    CHECK(code_of("eval model.name=vit_demo data.path=/none model.weights=/none.safetensors", where) == 66);
    const std::string out = tiny.folder / "run";
    std::filesystem::remove_all(out);
    CHECK(code_of("train -c " + shell_word(tiny.folder / "tiny.toml") + " -t 1 --out " + shell_word(out),
                  ">/dev/null " + where) == 0);
    CHECK(promised_files(out) == calm);
    for (const char* name : {"/metrics.jsonl", "/log.txt", "/.lock"})  // nothing that was said went into a file
      CHECK(read_text_file(out + name).find("run_id") == std::string::npos);
  }
}

TEST_CASE("standard output that is full or closed is an I/O error") {
  for (const std::string where : {">/dev/full 2>/dev/null", ">&- 2>/dev/null"}) {
    CAPTURE(where);
    for (const char* command : {"ls models", "doctor", "models show vit_demo -o json", "study plan smoke"}) {
      CAPTURE(command);
      CHECK(code_of(command, where) == 74);
    }
  }
}

}  // namespace
}  // namespace taut::study
