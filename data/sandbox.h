// What a process may still do that works on bytes nobody has checked: compute, take a bounded amount of memory, and
// talk on one socket.
#pragma once

#include <cstdint>

namespace taut {

struct Sandbox {
  static constexpr int kSocket = 3;  // the one descriptor that is left
  bool memory_is_ours = false;       // the bound of memory is the one asked for, not a tighter one of the system
  int filter_error = 0;              // errno where the system refused the filter of system calls; 0: it is on
};

// For a process that was just forked, of one thread and with all signals blocked. `socket` becomes kSocket and every
// other descriptor is closed; `memory` bytes may be taken beyond what the process has; there is no core file. Signals
// stay blocked but for SIGPROF, which ends the process, as setitimer(ITIMER_PROF) has it. A system call that computing,
// memory and talking on kSocket by send and recv do not need ends the process with SIGSYS. Where the filter cannot be
// had the bounds hold all the same. Under the address sanitizer, which needs more of both, there is neither a bound of
// memory nor a filter.
Sandbox enter_sandbox(int socket, int64_t memory);

}  // namespace taut
