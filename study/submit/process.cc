#include "study/submit/process.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>

#include "kernels/error.h"

namespace taut::study {
namespace {

std::vector<char*> pointers(const std::vector<std::string>& words) {
  std::vector<char*> list;
  for (const std::string& w : words) list.push_back(const_cast<char*>(w.c_str()));
  list.push_back(nullptr);
  return list;
}

// What is written into the pipe's other end until that is closed.
std::string drain(std::array<int, 2>& out, std::array<int, 2>& err, std::string& other) {
  std::string text;
  char buffer[4096];
  bool open[2] = {true, true};
  while (open[0] || open[1]) {
    fd_set set;
    FD_ZERO(&set);
    if (open[0]) FD_SET(out[0], &set);
    if (open[1]) FD_SET(err[0], &set);
    if (::select(std::max(out[0], err[0]) + 1, &set, nullptr, nullptr, nullptr) < 0 && errno != EINTR) break;
    const auto take = [&](int fd, bool& is_open, std::string& to) {
      if (!is_open || !FD_ISSET(fd, &set)) return;
      const ssize_t n = ::read(fd, buffer, sizeof buffer);
      if (n > 0) to.append(buffer, static_cast<size_t>(n));
      is_open = n > 0 || (n < 0 && errno == EINTR);
    };
    take(out[0], open[0], text);
    take(err[0], open[1], other);
  }
  return text;
}

}  // namespace

std::string shell_line(const std::vector<std::string>& words) {
  std::string line;
  for (const std::string& word : words) {
    if (!line.empty()) line += ' ';
    const bool plain = !word.empty() && word.find_first_of(" '\"\\$`\n\t;&|<>*?()[]{}#~!") == std::string::npos;
    if (plain) {
      line += word;
      continue;
    }
    line += '\'';
    for (const char c : word) line += c == '\'' ? std::string("'\\''") : std::string(1, c);
    line += '\'';
  }
  return line;
}

std::string own_program() {
  std::error_code error;
  const std::filesystem::path path = std::filesystem::read_symlink("/proc/self/exe", error);
  if (error) fail(Exit::kIo, "[/proc/self/exe] cannot be read: {}", error.message());
  return path.string();
}

Output run_program(const std::vector<std::string>& words) {
  std::array<int, 2> out{}, err{};
  if (::pipe2(out.data(), O_CLOEXEC) != 0) fail(Exit::kIo, "[{}] {}", words[0], std::strerror(errno));
  if (::pipe2(err.data(), O_CLOEXEC) != 0) {
    for (const int fd : out) ::close(fd);
    fail(Exit::kIo, "[{}] {}", words[0], std::strerror(errno));
  }
  const std::vector<char*> argv = pointers(words);
  const pid_t child = ::fork();
  if (child == 0) {
    const int null = ::open("/dev/null", O_RDONLY);
    ::dup2(null, 0);
    ::dup2(out[1], 1);
    ::dup2(err[1], 2);
    ::execvp(argv[0], argv.data());
    ::_exit(127);
  }
  ::close(out[1]);
  ::close(err[1]);
  Output result;
  int status = 0;
  if (child > 0) result.out = drain(out, err, result.err);
  ::close(out[0]);
  ::close(err[0]);
  if (child < 0) fail(Exit::kIo, "[{}] cannot be started: {}", words[0], std::strerror(errno));
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  result.code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  return result;
}

pid_t start_program(const std::vector<std::string>& words, const std::string& log,
                    const std::vector<std::string>& environment) {
  const int fd = ::open(log.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  if (fd < 0) fail(Exit::kIo, "[{}] cannot be opened: {}", log, std::strerror(errno));
  const std::vector<char*> argv = pointers(words);
  const pid_t parent = ::getpid();
  const pid_t child = ::fork();
  if (child == 0) {
    ::setpgid(0, 0);
    ::prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (::getppid() != parent) ::_exit(static_cast<int>(Exit::kInterrupted));  // it ended before the line above
    const int null = ::open("/dev/null", O_RDONLY);
    ::dup2(null, 0);
    ::dup2(fd, 1);
    ::dup2(fd, 2);
    for (const std::string& e : environment) ::putenv(const_cast<char*>(e.c_str()));
    ::execv(argv[0], argv.data());
    ::_exit(127);
  }
  const int reason = errno;
  ::close(fd);
  if (child < 0) fail(Exit::kIo, "[{}] cannot be started: {}", words[0], std::strerror(reason));
  return child;
}

}  // namespace taut::study
