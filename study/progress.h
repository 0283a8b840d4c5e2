// Progress on standard error: one line that rewrites itself on a terminal, plain lines otherwise, with the time left.
#pragma once

#include <chrono>
#include <string>

namespace taut::study {

enum class ProgressMode { kAuto, kPlain, kNone };
ProgressMode progress_mode_by_name(const std::string& name);  // auto, plain, none; throws Error(kUsage)

// Counts work in units that cost about the same time (here: forward passes of one image).
class Progress {
 public:
  Progress(ProgressMode mode, double total);
  ~Progress();  // ends a line that rewrites itself
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  void set_label(const std::string& label);
  void set_total(double total);  // where it is known only now
  // Work done now; it counts for the speed.
  void advance(double units);
  // Work that was done before, by an earlier process.
  void skip(double units);
  // A line of text that stays, whatever the mode.
  void say(const std::string& line);

 private:
  using Clock = std::chrono::steady_clock;
  void show(bool at_once);
  void clear_line();

  bool terminal_, silent_;
  double total_, done_ = 0, skipped_ = 0;
  std::string label_;
  Clock::time_point start_ = Clock::now(), shown_ = start_;
  bool line_is_open_ = false;
};

double seconds_since(std::chrono::steady_clock::time_point begin);
std::string duration(double seconds);  // "42 s", "3 min 5 s", "2 h 10 min"

}  // namespace taut::study
