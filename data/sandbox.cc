#include "data/sandbox.h"

#include <fcntl.h>
#include <seccomp.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <initializer_list>

namespace taut {
namespace {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool kSanitized = true;
#else
constexpr bool kSanitized = false;
#endif

// Bytes of address space that this process has; -1 where the system does not tell.
int64_t address_space() {
  char text[32] = "";
  const int fd = ::open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
  const ssize_t n = fd < 0 ? -1 : ::read(fd, text, sizeof text - 1);
  if (fd >= 0) ::close(fd);
  return n <= 0 ? -1 : std::atoll(text) * ::sysconf(_SC_PAGESIZE);
}

void leave_one_descriptor(int socket) {
  if (socket != Sandbox::kSocket) ::dup2(socket, Sandbox::kSocket);
  ::closefrom(Sandbox::kSocket + 1);
  for (int fd = 0; fd < Sandbox::kSocket; ++fd)
    if (!kSanitized || fd != STDERR_FILENO) ::close(fd);
}

void leave_no_signal() {
  std::signal(SIGPROF, SIG_DFL);
  std::signal(SIGABRT, SIG_DFL);  // abort() raises it whatever is blocked
  sigset_t blocked;
  sigfillset(&blocked);
  sigdelset(&blocked, SIGPROF);
  sigprocmask(SIG_SETMASK, &blocked, nullptr);
}

// Lowers a limit, also the one that the process itself could raise again. False where a tighter one was there.
bool limit(__rlimit_resource_t what, rlim_t most) {
  rlimit there{};
  if (::getrlimit(what, &there) != 0 || there.rlim_cur < most) return false;
  const rlimit wanted{most, most};
  return ::setrlimit(what, &wanted) == 0;
}

// 0, or errno.
int filter_system_calls() {
  if (kSanitized) return ENOTSUP;
  const scmp_filter_ctx filter = ::seccomp_init(SCMP_ACT_KILL_PROCESS);
  if (filter == nullptr) return ENOSYS;
  int error = 0;
  const auto rule = [&](uint32_t action, int call, auto... conditions) {
    if (error == 0) error = -::seccomp_rule_add(filter, action, call, sizeof...(conditions), conditions...);
  };
  const auto allow = [&](int call, auto... conditions) { rule(SCMP_ACT_ALLOW, call, conditions...); };
  allow(SCMP_SYS(recvfrom), SCMP_A0(SCMP_CMP_EQ, Sandbox::kSocket));
  allow(SCMP_SYS(sendto), SCMP_A0(SCMP_CMP_EQ, Sandbox::kSocket));
  allow(SCMP_SYS(setitimer), SCMP_A0(SCMP_CMP_EQ, ITIMER_PROF));
  allow(SCMP_SYS(mmap), SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
  allow(SCMP_SYS(mprotect), SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
  for (const int call : {SCMP_SYS(munmap), SCMP_SYS(mremap), SCMP_SYS(madvise), SCMP_SYS(brk), SCMP_SYS(futex),
                         SCMP_SYS(rt_sigprocmask), SCMP_SYS(rt_sigreturn), SCMP_SYS(exit), SCMP_SYS(exit_group)})
    allow(call);
  // What the C library asks on its way: malloc how many processors there are and, in a file, how memory is granted;
  // abort who it is, what it says before, and its signal.
  for (const int call : {SCMP_SYS(sched_getaffinity), SCMP_SYS(getrandom), SCMP_SYS(getpid), SCMP_SYS(gettid)})
    allow(call);
  allow(SCMP_SYS(tgkill), SCMP_A0(SCMP_CMP_EQ, static_cast<scmp_datum_t>(::getpid())), SCMP_A2(SCMP_CMP_EQ, SIGABRT));
  for (const int call : {SCMP_SYS(openat), SCMP_SYS(writev)}) rule(SCMP_ACT_ERRNO(EACCES), call);
  if (error == 0) error = -::seccomp_load(filter);
  ::seccomp_release(filter);
  return error;
}

}  // namespace

Sandbox enter_sandbox(int socket, int64_t memory) {
  Sandbox sandbox;
  leave_no_signal();
  const int64_t there = kSanitized ? -1 : address_space();
  leave_one_descriptor(socket);
  ::prctl(PR_SET_NAME, "taut-decode");
  ::prctl(PR_SET_DUMPABLE, 0);
  if (there >= 0) sandbox.memory_is_ours = limit(RLIMIT_AS, static_cast<rlim_t>(there + memory));
  for (const auto what : {RLIMIT_CORE, RLIMIT_FSIZE, RLIMIT_NOFILE, RLIMIT_NPROC}) limit(what, 0);
  sandbox.filter_error = filter_system_calls();
  return sandbox;
}

}  // namespace taut
