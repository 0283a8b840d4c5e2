// write_corpus FOLDER: writes FOLDER/READER/NUMBER, the seeds a fuzzer starts from, and checks each one's verdict on
// the way, so that sanitizers see them all. The largest ones would only slow a fuzzer down and are not written.
#include <cstdio>
#include <filesystem>
#include <fstream>

#include "kernels/error.h"
#include "tests/fuzz/seeds.h"

using namespace taut;
using namespace taut::fuzz;

int main(int count, char** arguments) {
  if (count != 2) return static_cast<int>(Exit::kUsage);
  constexpr size_t kLargest = 4096;
  int wrong = 0;
  for (const Reader& reader : readers()) {
    const std::filesystem::path folder = std::filesystem::path(arguments[1]) / reader.name;
    std::filesystem::create_directories(folder);
    size_t number = 0, written = 0;
    for (const Seed& seed : reader.seeds()) {
      bool accepted = true;
      try {
        reader.read(FileBytes::copy("seed", seed.bytes));
      } catch (const Error&) {
        accepted = false;
      }
      if (accepted != seed.reason.empty()) {
        fmt::print(stderr, "{}: {}: {}\n", reader.name, seed.name, accepted ? "accepted" : "refused");
        ++wrong;
      }
      ++number;
      if (seed.bytes.size() > kLargest) continue;
      std::ofstream(folder / std::to_string(number), std::ios::binary) << seed.bytes;
      ++written;
    }
    fmt::print("{}: {} seeds with verdicts, {} written\n", reader.name, number, written);
  }
  return wrong == 0 ? 0 : 1;
}
