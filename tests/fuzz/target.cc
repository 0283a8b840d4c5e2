// A libFuzzer program for one reader: whatever the bytes are, the reader accepts them or throws Error(kBadData).
// Anything else (another exception, a sanitizer's report, memory or time out of all proportion) is a finding.
#include <cstdlib>
#include <ctime>
#include <exception>

#include "kernels/error.h"
#include "tests/fuzz/repair_zip.h"
#include "tests/fuzz/seeds.h"

using namespace taut;
using namespace taut::fuzz;

extern "C" size_t LLVMFuzzerMutate(uint8_t* data, size_t size, size_t max_size);

namespace {
// What is wrong with how the bytes were taken, "" if nothing is.
std::string finding(std::string_view bytes) {
  static const Reader& under_test = reader(TAUT_READER);
  const std::clock_t start = std::clock();
  try {
    under_test.read(FileBytes::copy("input", bytes));
  } catch (const Error& e) {
    if (e.code() != Exit::kBadData) return fmt::format("exit code {}: {}", static_cast<int>(e.code()), e.what());
  } catch (const std::exception& e) {
    return fmt::format("not an Error: {}", e.what());
  }
  // Processor time: libFuzzer's own limit counts the time in which a busy machine ran something else.
  return std::clock() - start > 10 * CLOCKS_PER_SEC ? "it took more than 10 s" : "";
}
}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string what = finding({reinterpret_cast<const char*>(data), size});
  if (what.empty()) return 0;
  fmt::print(stderr, "finding: {}\n", what);
  std::abort();
}

// Changes of an archive rarely keep its checksums; without this the fuzzer would see little behind them.
extern "C" size_t LLVMFuzzerCustomMutator(uint8_t* data, size_t size, size_t max_size, unsigned int seed) {
  const size_t changed = LLVMFuzzerMutate(data, size, max_size);
  if (seed % 4 != 0) repair_checksums({data, changed});
  return changed;
}
