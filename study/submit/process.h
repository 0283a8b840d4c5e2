// Other programs: how their command lines are written for a shell, and how they are run.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

namespace taut::study {

// Words as a POSIX shell reads them back, with blanks between; quoted where that is needed.
std::string shell_line(const std::vector<std::string>& words);

// The path of this program.
std::string own_program();

struct Output {
  int code = 0;  // exit status, 128 + n after signal n, 127 where the program cannot be started
  std::string out, err;
};

// Runs a program found on the PATH to its end, standard input empty.
Output run_program(const std::vector<std::string>& words);

// Starts a program in a process group of its own, standard output and error appended to `log`, and with `environment`
// ("NAME=value") beside this process's. It gets SIGTERM when the calling thread's process ends, however that ends.
// Throws Error(kIo) where no process or no log can be made.
pid_t start_program(const std::vector<std::string>& words, const std::string& log,
                    const std::vector<std::string>& environment);

}  // namespace taut::study
