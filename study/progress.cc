#include "study/progress.h"

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "kernels/error.h"
#include "kernels/tell.h"

namespace taut::study {

ProgressMode progress_mode_by_name(const std::string& name) {
  if (name == "auto") return ProgressMode::kAuto;
  if (name == "plain") return ProgressMode::kPlain;
  TAUT_CHECK(name == "none", "[--progress] expected auto, plain or none, got '{}'", name);
  return ProgressMode::kNone;
}

double seconds_since(std::chrono::steady_clock::time_point begin) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

std::string duration(double seconds) {
  const auto s = static_cast<int64_t>(seconds + 0.5);
  if (s < 60) return fmt::format("{} s", s);
  if (s < 3600) return fmt::format("{} min {} s", s / 60, s % 60);
  return fmt::format("{} h {} min", s / 3600, s % 3600 / 60);
}

Progress::Progress(ProgressMode mode, double total)
    : terminal_(mode == ProgressMode::kAuto && ::isatty(2) != 0), silent_(mode == ProgressMode::kNone), total_(total) {}

Progress::~Progress() { clear_line(); }

void Progress::set_total(double total) { total_ = total; }

void Progress::set_label(const std::string& label) {
  label_ = label;
  show(false);
}

void Progress::advance(double units) {
  done_ += units;
  show(false);
}

void Progress::skip(double units) { skipped_ += units; }

void Progress::say(const std::string& line) {
  clear_line();
  tell("{}\n", line);
}

void Progress::clear_line() {
  if (!line_is_open_) return;
  std::fputs("\r\033[K", stderr);
  line_is_open_ = false;
}

void Progress::show(bool at_once) {
  if (silent_) return;
  const Clock::time_point now = Clock::now();
  const auto pause = terminal_ ? std::chrono::milliseconds(200) : std::chrono::milliseconds(10000);
  if (!at_once && now - shown_ < pause) return;
  shown_ = now;
  const double seconds = std::chrono::duration<double>(now - start_).count();
  const double left = std::max(0.0, total_ - done_ - skipped_);
  const double share = total_ > 0 ? std::min(1.0, (done_ + skipped_) / total_) : 1;
  std::string line = fmt::format("{:3.0f} %  {}", 100 * share, label_);
  if (done_ > 0 && seconds > 1) line += ", " + duration(left * seconds / done_) + " left";
  if (terminal_) {
    clear_line();
    std::fputs(line.c_str(), stderr);
    std::fflush(stderr);
    line_is_open_ = true;
  } else {
    tell("{}\n", line);
  }
}

}  // namespace taut::study
