// Drill 22: while a pickle is read, good or hostile, the program asks the system for that file, for memory and for
// nothing else: no other file, no process, no socket. Seen by strace; skipped where it is missing or may not trace.
#include <doctest/doctest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <regex>
#include <set>

#include "kernels/error.h"
#include "tensor/atomic_file.h"
#include "tests/fuzz/seeds.h"

namespace fs = std::filesystem;
using namespace taut;

namespace {

int run(const std::string& command) { return WEXITSTATUS(std::system(command.c_str())); }

// The system calls between the two marks of read_weights, one a line.
std::vector<std::string> calls_of_reading(const fs::path& trace) {
  std::ifstream in(trace);
  std::vector<std::string> calls;
  bool inside = false;
  for (std::string line; std::getline(in, line);) {
    if (line.find("\"END\\n\"") != std::string::npos) return calls;
    if (inside) calls.push_back(line);
    if (line.find("\"BEGIN\\n\"") != std::string::npos) inside = true;
  }
  FAIL("the trace has no BEGIN and END");
  return calls;
}

}  // namespace

TEST_CASE("drill 22: reading a torch file asks the system for that file and for memory, nothing else") {
  const fs::path folder = fs::temp_directory_path() / ("taut-strace-" + std::to_string(::getpid()));
  fs::create_directories(folder);
  const std::string log = (folder / "log").string(), trace = (folder / "trace").string();
  const std::string strace = "strace -f -qq -o " + trace + " ";
  if (run(strace + "true >" + log + " 2>&1") != 0) {
    MESSAGE("skipped: system calls while reading (strace is not installed or may not trace)");
    fs::remove_all(folder);
    return;
  }
  const std::set<std::string> memory{"mmap", "munmap", "mremap", "brk", "madvise", "futex", "getrandom"};
  const std::regex call_name(R"(^\s*\d*\s*(\w+)\()");
  int read = 0;
  for (const char* name : {"torch_zip", "torch_legacy", "pickle"}) {
    int of_this = 0;
    for (const fuzz::Seed& seed : fuzz::reader(name).seeds()) {
      // Those that would call something, and a few that are accepted.
      const bool wants_code = seed.name.find("drill 22") == 0 && seed.bytes.size() < 4096;
      if (!wants_code && (!seed.reason.empty() || ++of_this > 5)) continue;
      CAPTURE(seed.name);
      const std::string file = (folder / "file.pt").string();
      write_file_atomically(file, seed.bytes);
      const int code = run(strace + TAUT_READ_WEIGHTS " " + file + " >" + log + " 2>&1");
      const bool accepted = seed.reason.empty() && name != std::string("pickle");  // a bare one is no weights
      CHECK(code == static_cast<int>(accepted ? Exit::kOk : Exit::kBadData));
      int opened = 0;
      for (const std::string& line : calls_of_reading(trace)) {
        INFO(line);
        std::smatch match;
        REQUIRE(std::regex_search(line, match, call_name));
        const std::string call = match[1];
        if (call == "openat") {
          CHECK(line.find("\"" + file + "\", O_RDONLY") != std::string::npos);
          ++opened;
        } else {
          CHECK((memory.contains(call) || call == "fstat" || call == "newfstatat" || call == "close"));
        }
      }
      CHECK(opened == 1);
      ++read;
    }
  }
  CHECK(read > 90);
  fs::remove_all(folder);
}
