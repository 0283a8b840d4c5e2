// A library for LD_PRELOAD. It makes chosen calls into the C library fail, end the process, be cut short or be written
// down, so that a drill can choose the moment to the call. It needs no rights and works wherever a program is linked
// dynamically. The environment says what happens (tests/drills/faults.h has the words); without it nothing does.
//
//   TAUT_FAULT_PATH    only files whose path holds this text
//   TAUT_FAULT_CALLS   commas around and between: ,open,read,write,fsync,close,rename,unlink,mkdir,symlink,ftruncate,
//   TAUT_FAULT_AT      which of those calls, from 1; 0: every one
//   TAUT_FAULT_ON      set: that call and all later ones
//   TAUT_FAULT_ACTION  a number: errno of the failure; kill; half: write half and kill; eintr: every other call fails
//                      so; short: reads and writes move 1 to 7 bytes; hang: make the file TAUT_FAULT_MARK and wait
//                      until it is gone
//   TAUT_FAULT_LOG     append what changes a file system, one line a call
//   TAUT_FAULT_MALLOC  allocation number N since main fails, and with TAUT_FAULT_ON all later ones; 0 counts
//   TAUT_FAULT_FREE    free bytes that every file system claims to have
//   TAUT_FAULT_YEAR    set: the clock of the day jumps a year forth and back at every look
#include <dlfcn.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/time.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <climits>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>

namespace {

template <class Function>
Function* next(const char* name) {
  return reinterpret_cast<Function*>(::dlsym(RTLD_NEXT, name));
}

struct Plan {
  const char* path = std::getenv("TAUT_FAULT_PATH");
  const char* calls = std::getenv("TAUT_FAULT_CALLS");
  const char* action = std::getenv("TAUT_FAULT_ACTION");
  const char* log = std::getenv("TAUT_FAULT_LOG");
  const char* mark = std::getenv("TAUT_FAULT_MARK");
  const char* allocation = std::getenv("TAUT_FAULT_MALLOC");
  const char* room = std::getenv("TAUT_FAULT_FREE");
  long at = std::getenv("TAUT_FAULT_AT") != nullptr ? std::atol(std::getenv("TAUT_FAULT_AT")) : 0;
  long failing = allocation != nullptr ? std::atol(allocation) : 0;
  bool on = std::getenv("TAUT_FAULT_ON") != nullptr;
  bool year = std::getenv("TAUT_FAULT_YEAR") != nullptr;
};

const Plan& plan() {
  static const Plan p;
  return p;
}

std::atomic<long> g_calls{0}, g_allocations{0}, g_looks{0};
std::atomic<bool> g_in_main{false};

struct Path {
  char text[PATH_MAX] = "";

  Path(int folder, const char* name) {
    if (name[0] == '/' || folder == AT_FDCWD) {
      std::snprintf(text, sizeof text, "%s", name);
      return;
    }
    const Path base(folder);
    std::snprintf(text, sizeof text, "%.*s/%s", static_cast<int>(sizeof text / 2), base.text, name);
  }
  explicit Path(int fd) {
    char link[64];
    std::snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    const ssize_t n = ::readlink(link, text, sizeof text - 1);
    text[n < 0 ? 0 : n] = '\0';
  }
  bool watched() const { return plan().path != nullptr && std::strstr(text, plan().path) != nullptr; }
};

[[noreturn]] void die() {
  ::kill(::getpid(), SIGKILL);
  std::abort();
}

enum class Verdict { kGo, kFail, kHalf, kShort };

Verdict judge(const char* call, const Path& path) {
  const Plan& p = plan();
  if (p.calls == nullptr || p.action == nullptr || !path.watched()) return Verdict::kGo;
  char word[32];
  std::snprintf(word, sizeof word, ",%s,", call);
  if (std::strstr(p.calls, word) == nullptr) return Verdict::kGo;
  const long count = ++g_calls;
  if (p.at != 0 && count != p.at && !(p.on && count > p.at)) return Verdict::kGo;
  if (std::strcmp(p.action, "kill") == 0) die();
  if (std::strcmp(p.action, "half") == 0) {
    if (std::strcmp(call, "write") != 0) die();
    return Verdict::kHalf;
  }
  if (std::strcmp(p.action, "short") == 0) return Verdict::kShort;
  if (std::strcmp(p.action, "eintr") == 0) {
    errno = EINTR;
    return count % 2 == 1 ? Verdict::kFail : Verdict::kGo;
  }
  if (std::strcmp(p.action, "hang") == 0) {
    const int fd = next<int(const char*, int, ...)>("open")(p.mark, O_WRONLY | O_CREAT, 0644);
    if (fd >= 0) next<int(int)>("close")(fd);
    for (int i = 0; i < 30000 && ::access(p.mark, F_OK) == 0; ++i) ::usleep(2000);
    return Verdict::kGo;
  }
  errno = std::atoi(p.action);
  return Verdict::kFail;
}

// A line of the log, its fields apart by tabs; one write, so that threads do not mix.
void note(const char* call, unsigned long inode, const char* text, long number, const void* data, size_t size) {
  const Plan& p = plan();
  if (p.log == nullptr) return;
  const int keep = errno;
  const size_t room = 2 * PATH_MAX + 64 + 2 * size;
  char* line = static_cast<char*>(::mmap(nullptr, room, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  auto n = static_cast<size_t>(std::snprintf(line, room - 2 * size, "%s\t%lu\t%s\t%ld\t", call, inode, text, number));
  for (size_t i = 0; i < size; ++i) {
    const unsigned char byte = static_cast<const unsigned char*>(data)[i];
    line[n++] = "0123456789abcdef"[byte >> 4];
    line[n++] = "0123456789abcdef"[byte & 15];
  }
  line[n++] = '\n';
  const int fd = next<int(const char*, int, ...)>("open")(p.log, O_WRONLY | O_CREAT | O_APPEND, 0644);
  if (next<ssize_t(int, const void*, size_t)>("write")(fd, line, n) != static_cast<ssize_t>(n)) std::abort();
  next<int(int)>("close")(fd);
  ::munmap(line, room);
  errno = keep;
}

unsigned long inode_of(int fd) {
  struct stat s {};
  return ::fstat(fd, &s) == 0 ? s.st_ino : 0;
}
unsigned long inode_of(const char* path) {
  struct stat s {};
  return ::lstat(path, &s) == 0 ? s.st_ino : 0;
}

int open_at(int folder, const char* name, int flags, mode_t mode) {
  const Path path(folder, name);
  const bool writes = (flags & O_ACCMODE) != O_RDONLY;
  if (judge(writes ? "open" : "openread", path) == Verdict::kFail) return -1;
  const bool is_new = writes && (flags & O_CREAT) != 0 && path.watched() && inode_of(path.text) == 0;
  const int fd = next<int(int, const char*, int, ...)>("openat")(folder, name, flags, mode);
  if (fd < 0 || !writes || !path.watched()) return fd;
  if (is_new)
    note("create", inode_of(fd), path.text, 0, nullptr, 0);
  else if ((flags & O_TRUNC) != 0)
    note("truncate", inode_of(fd), path.text, 0, nullptr, 0);
  return fd;
}

mode_t mode_of(int flags, va_list list) {
  return (flags & (O_CREAT | O_TMPFILE)) != 0 ? static_cast<mode_t>(va_arg(list, int)) : 0;
}

ssize_t write_at(const char* name, int fd, const void* data, size_t size, off_t offset) {
  const bool positioned = offset >= 0;
  const auto put = [&](size_t n) {
    return positioned ? next<ssize_t(int, const void*, size_t, off_t)>(name)(fd, data, n, offset)
                      : next<ssize_t(int, const void*, size_t)>(name)(fd, data, n);
  };
  const Path path(fd);
  if (!path.watched()) return put(size);
  const Verdict verdict = judge("write", path);
  if (verdict == Verdict::kFail) return -1;
  if (verdict == Verdict::kHalf && put(size / 2) >= 0) die();
  const ssize_t n = put(verdict == Verdict::kShort ? std::min<size_t>(size, 1 + g_calls % 7) : size);
  const off_t end = positioned ? offset + n : ::lseek(fd, 0, SEEK_CUR);
  if (n > 0) note("write", inode_of(fd), "", end - n, data, static_cast<size_t>(n));
  return n;
}

int synced(const char* name, int fd) {
  const Path path(fd);
  struct stat s {};
  const bool folder = ::fstat(fd, &s) == 0 && S_ISDIR(s.st_mode);
  if (judge(folder ? "fsyncdir" : "fsync", path) == Verdict::kFail) return -1;
  const int result = next<int(int)>(name)(fd);
  if (result == 0 && path.watched()) note("fsync", inode_of(fd), path.text, 0, nullptr, 0);
  return result;
}

int removed(int folder, const char* name, const char* function, int flags) {
  const Path path(folder, name);
  if (judge("unlink", path) == Verdict::kFail) return -1;
  int result = 0;
  if (std::strcmp(function, "unlinkat") == 0)
    result = next<int(int, const char*, int)>(function)(folder, name, flags);
  else
    result = next<int(const char*)>(function)(name);
  if (result == 0 && path.watched()) note("unlink", 0, path.text, 0, nullptr, 0);
  return result;
}

int renamed(int from_folder, const char* from, int to_folder, const char* to) {
  const Path a(from_folder, from), b(to_folder, to);
  if (judge("rename", b) == Verdict::kFail) return -1;
  const int result = next<int(int, const char*, int, const char*)>("renameat")(from_folder, from, to_folder, to);
  if (result != 0 || !b.watched()) return result;
  char both[2 * PATH_MAX];
  std::snprintf(both, sizeof both, "%s\t%s", a.text, b.text);
  note("rename", 0, both, 0, nullptr, 0);
  return result;
}

// Whether this allocation is the one that fails.
bool out_of_memory() {
  if (!g_in_main.load(std::memory_order_relaxed) || plan().allocation == nullptr) return false;
  const long count = ++g_allocations;
  const Plan& p = plan();
  const bool fails = p.failing > 0 && (count == p.failing || (p.on && count > p.failing));
  if (fails) errno = ENOMEM;
  return fails;
}

int (*g_main)(int, char**, char**) = nullptr;

int counted_main(int argc, char** argv, char** environment) {
  plan();
  g_in_main = true;
  const int code = g_main(argc, argv, environment);
  g_in_main = false;
  if (plan().allocation != nullptr) note("allocations", 0, "", g_allocations, nullptr, 0);
  return code;
}

// Where the clock stands at this look: the truth, a year later, the truth, a year earlier, ...
time_t leap() {
  constexpr time_t kYear = 365 * 86400;
  const long look = ++g_looks;
  return look % 2 == 0 ? 0 : look % 4 == 1 ? kYear : -kYear;
}

}  // namespace

extern "C" {

void* __libc_malloc(size_t);
void* __libc_calloc(size_t, size_t);
void* __libc_realloc(void*, size_t);
void* __libc_memalign(size_t, size_t);

int __libc_start_main(int (*main)(int, char**, char**), int argc, char** argv, void (*init)(), void (*fini)(),
                      void (*loader_fini)(), void* stack_end) {
  g_main = main;
  using Start = int(int (*)(int, char**, char**), int, char**, void (*)(), void (*)(), void (*)(), void*);
  return next<Start>("__libc_start_main")(counted_main, argc, argv, init, fini, loader_fini, stack_end);
}

int open(const char* name, int flags, ...) {
  va_list list;
  va_start(list, flags);
  const mode_t mode = mode_of(flags, list);
  va_end(list);
  return open_at(AT_FDCWD, name, flags, mode);
}
int open64(const char* name, int flags, ...) {
  va_list list;
  va_start(list, flags);
  const mode_t mode = mode_of(flags, list);
  va_end(list);
  return open_at(AT_FDCWD, name, flags, mode);
}
int openat(int folder, const char* name, int flags, ...) {
  va_list list;
  va_start(list, flags);
  const mode_t mode = mode_of(flags, list);
  va_end(list);
  return open_at(folder, name, flags, mode);
}

ssize_t write(int fd, const void* data, size_t size) { return write_at("write", fd, data, size, -1); }
ssize_t pwrite(int fd, const void* data, size_t size, off_t at) { return write_at("pwrite", fd, data, size, at); }
ssize_t pwrite64(int fd, const void* data, size_t size, off_t at) { return write_at("pwrite", fd, data, size, at); }

ssize_t read(int fd, void* data, size_t size) {
  const Verdict verdict = judge("read", Path(fd));
  if (verdict == Verdict::kFail) return -1;
  if (verdict == Verdict::kShort) size = std::min<size_t>(size, 1 + g_calls % 7);
  return next<ssize_t(int, void*, size_t)>("read")(fd, data, size);
}
ssize_t pread(int fd, void* data, size_t size, off_t at) {
  const Verdict verdict = judge("read", Path(fd));
  if (verdict == Verdict::kFail) return -1;
  if (verdict == Verdict::kShort) size = std::min<size_t>(size, 1 + g_calls % 7);
  return next<ssize_t(int, void*, size_t, off_t)>("pread")(fd, data, size, at);
}

int fsync(int fd) { return synced("fsync", fd); }
int fdatasync(int fd) { return synced("fdatasync", fd); }

// The descriptor is closed whatever is reported, as Linux does.
int close(int fd) {
  const Verdict verdict = judge("close", Path(fd));
  const int reason = errno;
  const int result = next<int(int)>("close")(fd);
  if (verdict != Verdict::kFail) return result;
  errno = reason;
  return -1;
}

int rename(const char* from, const char* to) noexcept { return renamed(AT_FDCWD, from, AT_FDCWD, to); }
int renameat(int a, const char* from, int b, const char* to) noexcept { return renamed(a, from, b, to); }
int unlink(const char* name) noexcept { return removed(AT_FDCWD, name, "unlink", 0); }
int rmdir(const char* name) noexcept { return removed(AT_FDCWD, name, "rmdir", 0); }
int remove(const char* name) noexcept { return removed(AT_FDCWD, name, "remove", 0); }
int unlinkat(int folder, const char* name, int flags) noexcept { return removed(folder, name, "unlinkat", flags); }

int mkdir(const char* name, mode_t mode) noexcept {
  const Path path(AT_FDCWD, name);
  if (judge("mkdir", path) == Verdict::kFail) return -1;
  const int result = next<int(const char*, mode_t)>("mkdir")(name, mode);
  if (result == 0 && path.watched()) note("mkdir", inode_of(name), path.text, 0, nullptr, 0);
  return result;
}

int symlink(const char* target, const char* name) noexcept {
  const Path path(AT_FDCWD, name);
  if (judge("symlink", path) == Verdict::kFail) return -1;
  const int result = next<int(const char*, const char*)>("symlink")(target, name);
  if (result == 0 && path.watched()) note("symlink", inode_of(name), path.text, 0, target, std::strlen(target));
  return result;
}

int ftruncate(int fd, off_t size) noexcept {
  const Path path(fd);
  if (judge("ftruncate", path) == Verdict::kFail) return -1;
  const int result = next<int(int, off_t)>("ftruncate")(fd, size);
  if (result == 0 && path.watched()) note("truncate", inode_of(fd), path.text, size, nullptr, 0);
  return result;
}

int statvfs(const char* path, struct statvfs* s) noexcept {
  const int result = next<int(const char*, struct statvfs*)>("statvfs")(path, s);
  if (result == 0 && plan().room != nullptr) {
    s->f_frsize = 1;
    s->f_bavail = s->f_bfree = static_cast<fsblkcnt_t>(std::atoll(plan().room));
  }
  return result;
}

void* malloc(size_t size) noexcept { return out_of_memory() ? nullptr : __libc_malloc(size); }
void* calloc(size_t n, size_t size) noexcept { return out_of_memory() ? nullptr : __libc_calloc(n, size); }
void* realloc(void* old, size_t size) noexcept { return out_of_memory() ? nullptr : __libc_realloc(old, size); }
void* aligned_alloc(size_t align, size_t size) noexcept {
  return out_of_memory() ? nullptr : __libc_memalign(align, size);
}
int posix_memalign(void** out, size_t align, size_t size) noexcept {
  if (out_of_memory()) return ENOMEM;
  *out = __libc_memalign(align, size);
  return *out == nullptr ? ENOMEM : 0;
}
void* mmap(void* at, size_t size, int protection, int flags, int fd, off_t offset) noexcept {
  if (fd < 0 && out_of_memory()) return MAP_FAILED;
  return next<void*(void*, size_t, int, int, int, off_t)>("mmap")(at, size, protection, flags, fd, offset);
}

int clock_gettime(clockid_t clock, struct timespec* t) noexcept {
  const int result = next<int(clockid_t, struct timespec*)>("clock_gettime")(clock, t);
  if (result == 0 && plan().year && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) t->tv_sec += leap();
  return result;
}
time_t time(time_t* out) noexcept {
  time_t now = next<time_t(time_t*)>("time")(nullptr);
  if (plan().year) now += leap();
  if (out != nullptr) *out = now;
  return now;
}
int gettimeofday(struct timeval* t, void* zone) noexcept {
  const int result = next<int(struct timeval*, void*)>("gettimeofday")(t, zone);
  if (result == 0 && plan().year) t->tv_sec += leap();
  return result;
}

}  // extern "C"
