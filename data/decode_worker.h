// Decoding in other processes: what a file makes of the decoder stays there.
//
// A worker is forked when none is idle, and waits for the next image afterwards, so that there are as many as threads
// decode at a time. It gets the bytes, returns the pixels or the error, and is bounded as WorkerLimits has it
// (data/sandbox.h says how). It ends with this process, and what a terminal or a scheduler sends to the whole group
// does not reach it. A process forked from this one starts workers of its own.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "data/image.h"

namespace taut {

struct WorkerLimits {
  int64_t memory = int64_t{512} << 20;  // bytes of an image, file included
  double seconds = 2;                   // of processor time for an image
  int silence = 300;                    // seconds by the clock without an answer
};

// Several threads may use one.
class DecodeWorkers {
 public:
  using Decode = Image (*)(std::span<const uint8_t> bytes, std::string_view name);

  // `say` gets one line, once, where the system refuses the filter of system calls.
  DecodeWorkers(Decode decode, const WorkerLimits& limits, std::function<void(const std::string& line)> say);
  ~DecodeWorkers();

  // What decode(bytes, name) gives in a worker. Throws its Error where that is kBadData or kMemory; Error(kBadData) for
  // any other exception, for an image that breaks a limit, and where the worker crashed or did what no decoder does;
  // Error(kMemory) where the system ended the worker or grants less memory than the limit; Error(kIo) where none can be
  // started. Whatever became of an image, the next one is decoded.
  Image decode(std::span<const uint8_t> bytes, std::string_view name);

 private:
  class Worker;
  std::unique_ptr<Worker> take(std::string_view name);

  Decode decode_;
  WorkerLimits limits_;
  std::function<void(const std::string&)> say_;
  std::mutex mutex_;
  bool told_ = false;
  std::vector<std::unique_ptr<Worker>> idle_;
};

}  // namespace taut
