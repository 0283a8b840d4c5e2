// A libFuzzer program for one reader: whatever the bytes are, the reader accepts them or throws Error(kBadData).
// Anything else (another exception, a sanitizer's report, memory or time out of proportion) is a finding.
#include <cstdlib>
#include <exception>

#include "kernels/error.h"
#include "tests/fuzz/repair_zip.h"
#include "tests/fuzz/seeds.h"

using namespace taut;
using namespace taut::fuzz;

extern "C" size_t LLVMFuzzerMutate(uint8_t* data, size_t size, size_t max_size);

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const Reader& under_test = reader(TAUT_READER);
  try {
    under_test.read(FileBytes::copy("input", {reinterpret_cast<const char*>(data), size}));
    return 0;
  } catch (const Error& e) {
    if (e.code() == Exit::kBadData) return 0;
    fmt::print(stderr, "exit code {}: {}\n", static_cast<int>(e.code()), e.what());
  } catch (const std::exception& e) {
    fmt::print(stderr, "not an Error: {}\n", e.what());
  }
  std::abort();
}

// Changes of an archive rarely keep its checksums; without this the fuzzer would see little behind them.
extern "C" size_t LLVMFuzzerCustomMutator(uint8_t* data, size_t size, size_t max_size, unsigned int seed) {
  const size_t changed = LLVMFuzzerMutate(data, size, max_size);
  if (seed % 4 != 0) repair_checksums({data, changed});
  return changed;
}
