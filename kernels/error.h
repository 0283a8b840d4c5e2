// Errors: one exception type that carries the exit code the command line returns for it.
//
// `TAUT_CHECK` is for what a caller can get wrong. (The bare name CHECK belongs to doctest.) A message opens with the
// op, file or key in brackets, says what was expected and what came, and ends with a hint where one is known.
#pragma once

#include <fmt/format.h>

#include <stdexcept>
#include <string>
#include <utility>

namespace taut {

// Exit codes of the command line, sysexits-compatible.
enum class Exit : int {
  kOk = 0,
  kCheckFailed = 1,   // checks ran and failed
  kUsage = 2,         // usage or configuration error, nothing was written
  kBadData = 65,      // corrupt or inconsistent input
  kMissing = 66,      // input missing
  kUnavailable = 69,  // device or feature unavailable
  kNumeric = 70,      // non-finite loss or gradient
  kMemory = 71,       // out of memory
  kIo = 74,           // I/O error, disk full
  kInterrupted = 75,  // interrupted; a run has written a checkpoint and goes on
};

class Error : public std::runtime_error {
 public:
  Error(Exit code, const std::string& message) : std::runtime_error(message), code_(code) {}
  Exit code() const { return code_; }

 private:
  Exit code_;
};

// Throws Error(code, formatted message).
template <class... Args>
[[noreturn]] void fail(Exit code, fmt::format_string<Args...> format, Args&&... args) {
  throw Error(code, fmt::format(format, std::forward<Args>(args)...));
}

#define TAUT_CHECK(condition, ...) \
  ((condition) ? static_cast<void>(0) : ::taut::fail(::taut::Exit::kUsage, __VA_ARGS__))

}  // namespace taut
