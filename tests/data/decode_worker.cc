// Decoding in other processes: the same images and errors, and a decoder that goes wrong in any way costs one image.
#include "data/decode_worker.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <seccomp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <set>

#include "data/decode.h"
#include "data/decode_isolated.h"
#include "data/sandbox.h"
#include "kernels/parallel.h"
#include "tests/data/support.h"

namespace taut::test {
namespace fs = std::filesystem;
namespace {

#if defined(__SANITIZE_ADDRESS__)
constexpr bool kSanitized = true;  // it takes what memory it likes, and there is no filter
#else
constexpr bool kSanitized = false;
#endif

template <class Value>
Image holding(const Value& value) {
  Image image(1, sizeof value, 1);
  std::memcpy(image.pixels.data(), &value, sizeof value);
  return image;
}

Image endlessly(int64_t depth) {
  volatile char frame[4096] = {};
  frame[depth % 4096] = 1;
  if (depth < 0) return {};
  Image image = endlessly(depth + frame[depth % 4096]);
  image.height += frame[0];
  return image;
}

// Stands for a decoder that a file has taken over, or shows what it is given. `name` says what happens.
Image act(std::span<const uint8_t> bytes, std::string_view name) {
  static volatile int* const null = nullptr;
  if (name == "pid") return holding(::getpid());
  if (name == "hash") return holding(hash(bytes.data(), bytes.size()));
  if (name.starts_with("grey ")) {  // rows of 1024 pixels
    Image image(std::atoll(name.data() + 5), 1024, 1);
    for (size_t i = 0; i < image.pixels.size(); ++i) image.pixels[i] = static_cast<uint8_t>(i * 2654435761U >> 13);
    return image;
  }
  if (name.starts_with("take ")) {  // megabytes, one by one
    std::vector<std::vector<uint8_t>> taken;
    for (int64_t n = std::atoll(name.data() + 5); n > 0; --n) taken.emplace_back(1 << 20, 1);
    return holding(taken.size());
  }
  if (name == "block of 1 GB") return holding(std::vector<uint8_t>(1 << 30).size());
  if (name == "null") return holding(int{*null});
  if (name == "recursion") return endlessly(0);
  if (name == "abort") std::abort();
  if (name == "exit") ::_exit(0);
  if (name == "spin")
    for (;;) asm volatile("");
  if (name == "open") return holding(::open("/etc/passwd", O_RDONLY));
  if (name == "fork") return holding(::fork());
  if (name == "socket") return holding(::socket(AF_INET, SOCK_STREAM, 0));
  if (name == "kill") return holding(::kill(::getppid(), SIGTERM));
  if (name == "write") return holding(::write(STDERR_FILENO, "x", 1));
  if (name == "code") return holding(::mmap(nullptr, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  if (name == "silence") return holding(::recv(Sandbox::kSocket, nullptr, 1, MSG_PEEK));
  if (name == "exception") throw std::out_of_range("beyond the end");
  if (name == "other error") fail(Exit::kInterrupted, "[{}] is no business of a decoder", name);
  if (name == "no memory") fail(Exit::kMemory, "[{}] had none", name);
  Image image(2, 2, 3);
  if (name == "negative") image.height = image.width = -2;
  if (name == "too few pixels") image.pixels.resize(5);
  if (name == "two channels") {
    image.channels = 2;
    image.pixels.resize(8);
  }
  if (name == "too wide") image = Image(1, DecodeLimits::kSide + 1, 1);
  return image;
}

struct Workers {
  explicit Workers(const WorkerLimits& limits = {.seconds = 0.5})
      : pool(act, limits, [this](const std::string& line) { said.push_back(line); }) {}
  pid_t pid() { return value<pid_t>("pid"); }
  template <class Value>
  Value value(const std::string& name, const Bytes& bytes = {}) {
    const Image image = pool.decode(bytes, name);
    Value got{};
    REQUIRE(image.pixels.size() == sizeof got);
    std::memcpy(&got, image.pixels.data(), sizeof got);
    return got;
  }
  Caught error(const std::string& name) {
    return caught([&] { pool.decode({}, name); });
  }
  // What became of the image, and that the next one is decoded.
  void check(const std::string& name, const std::string& text, Exit code = Exit::kBadData) {
    CAPTURE(name);
    const Caught got = error(name);
    CAPTURE(got.text);
    CHECK(got.code == code);
    CHECK(got.names("[" + name + "]"));
    CHECK(got.names(text));
    CHECK(value<uint64_t>("hash") == hash(nullptr, 0));
  }
  bool filtered() {
    pid();
    return said.empty();
  }

  std::vector<std::string> said;
  DecodeWorkers pool;
};

int64_t processor_ticks(pid_t pid) {
  std::ifstream stat("/proc/" + std::to_string(pid) + "/stat");
  std::string field;
  for (int k = 0; k < 14; ++k) stat >> field;
  return std::atoll(field.c_str());
}

bool has_zombie() { return ::waitpid(-1, nullptr, WNOHANG) > 0; }

}  // namespace

TEST_CASE("a worker gives the pixels and the errors of decoding here") {
  int good = 0, bad = 0;
  for (const auto& entry : fs::directory_iterator(golden_folder() / "decode")) {
    if (entry.path().extension() == ".ppm") continue;
    const std::string name = entry.path().filename().string();
    const Bytes bytes = read_all(entry.path());
    CAPTURE(name);
    CHECK(decode_isolated(bytes, name) == decode_image(bytes, name));
    ++good;
    for (const size_t size : {size_t{0}, size_t{9}, bytes.size() / 2}) {
      const std::span<const uint8_t> cut(bytes.data(), size);
      const Caught here = caught([&] { decode_image(cut, name); }), there = caught([&] { decode_isolated(cut, name); });
      CHECK(here.code == there.code);
      CHECK(here.text == there.text);
      bad += here.code == Exit::kBadData;
    }
  }
  CHECK(good >= 20);
  CHECK(bad >= 60);
  const Bytes large((size_t{64} << 20) + 1, 0xFF);
  CHECK(caught([&] { decode_isolated(large, "large.jpg"); }).text ==
        caught([&] { decode_image(large, "large.jpg"); }).text);
}

TEST_CASE("files and images of every size pass whole, the same worker serving all") {
  Workers w;
  const pid_t pid = w.pid();
  for (const size_t size : {0UL, 1UL, (1UL << 20) - 1, 1UL << 20, (1UL << 20) + 1, 5'000'000UL}) {
    Bytes bytes(size);
    for (size_t i = 0; i < size; ++i) bytes[i] = static_cast<uint8_t>(i * 40503U >> 7);
    CAPTURE(size);
    CHECK(w.value<uint64_t>("hash", bytes) == hash(bytes.data(), bytes.size()));
  }
  for (const int64_t rows : {1, 1023, 1024, 1025, 2048, 4000}) {
    const std::string name = "grey " + std::to_string(rows);
    CHECK(w.pool.decode({}, name) == act({}, name));
  }
  w.check("exception", "got: beyond the end");
  w.check("other error", "is no business of a decoder");
  w.check("no memory", "had none", Exit::kMemory);
  CHECK(w.pid() == pid);
}

TEST_CASE("a decoder that goes wrong costs its image and no other, and leaves no process behind") {
  Workers w;
  w.check("null", "crashed (SIGSEGV)");
  w.check("recursion", "crashed (SIGSEGV)");
  w.check("abort", "crashed (SIGABRT)");
  w.check("exit", "ended with code 0");
  w.check("spin", "more than 0.5 seconds of processor time");
  for (const char* answer : {"negative", "too few pixels", "two channels", "too wide"})
    w.check(answer, "gave an answer that is no image");
  if (!kSanitized) {
    w.check("block of 1 GB", "in 512 MB, got one that takes more");
    w.check("take 1000", "in 512 MB, got one that takes more");
    for (int k = 0; k < 3; ++k) {  // what an image may take is not less after others
      CHECK(w.value<size_t>("take 20") == 20);
      CHECK(w.value<size_t>("take 480") == 480);
    }
  }
  CHECK_FALSE(has_zombie());
}

TEST_CASE("decode_filter: a decoder reaches no file, no other process and no other machine" * doctest::skip()) {
  Workers w;
  if (!w.filtered()) {
    std::puts("skipped: no filter of system calls here");
    return;
  }
  CHECK(w.value<int>("open") == -1);  // as malloc asks, this one is told no
  for (const char* call : {"fork", "socket", "kill", "write", "code"})
    w.check(call, "made a system call that decoding does not need (SIGSYS)");
  CHECK_FALSE(has_zombie());
}

TEST_CASE("without a filter of system calls images are decoded all the same, and one line says so") {
  const int status = status_of(in_process([] {
    const scmp_filter_ctx filter = ::seccomp_init(SCMP_ACT_ALLOW);
    ::seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(seccomp), 0);
    ::seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(prctl), 1, SCMP_A0(SCMP_CMP_EQ, PR_SET_SECCOMP));
    if (::seccomp_load(filter) != 0) return 3;
    Workers w;
    const bool contained = w.error("null").names("crashed (SIGSEGV)") &&
                           w.error("spin").names("more than 0.5 seconds of processor time") &&
                           (kSanitized || w.error("take 1000").names("got one that takes more")) &&
                           w.value<int>("open") == -1;  // no descriptor is left for it
    const bool told = w.said.size() == 1 && w.said[0].find("without a filter of system calls") != std::string::npos;
    return contained && told ? 0 : 4;
  }));
  CHECK(status == 0);
}

TEST_CASE("a worker that was killed while it waited is replaced; one killed at work is the machine's fault") {
  Workers w;
  const pid_t first = w.pid();
  ::kill(first, SIGKILL);
  siginfo_t ended{};
  REQUIRE(::waitid(P_PID, static_cast<id_t>(first), &ended, WEXITED | WNOWAIT) == 0);
  CHECK(w.value<uint64_t>("hash") == hash(nullptr, 0));
  const pid_t second = w.pid();
  CHECK(second != first);

  Workers patient({.seconds = 60});
  const pid_t busy = patient.pid();
  const pid_t killer = in_process([&] {
    while (processor_ticks(busy) < 3) ::usleep(5000);  // only the image below takes any
    return ::kill(busy, SIGKILL);
  });
  const Caught error = patient.error("spin");
  CHECK(status_of(killer) == 0);
  CAPTURE(error.text);
  CHECK(error.code == Exit::kMemory);
  CHECK(error.names("[spin] the process that decodes it was killed (SIGKILL)"));
  CHECK(patient.pid() != busy);
  CHECK_FALSE(has_zombie());
}

TEST_CASE("a worker that says nothing is given up") {
  Workers w({.silence = 1});
  w.check("silence", "gave no answer for 1 seconds");
  CHECK_FALSE(has_zombie());
}

TEST_CASE("what a terminal or a scheduler sends to the whole group does not reach a worker") {
  Workers w;
  const pid_t pid = w.pid();
  for (const int signal : {SIGINT, SIGTERM, SIGUSR1, SIGUSR2, SIGHUP, SIGQUIT, SIGTSTP, SIGALRM, SIGXFSZ})
    ::kill(pid, signal);
  CHECK(w.pid() == pid);
}

TEST_CASE("a worker keeps no descriptor of this process, and ends with it") {
  std::array<int, 2> before{};
  REQUIRE(::pipe(before.data()) == 0);
  Workers w;
  w.pid();
  ::close(before[1]);
  char byte = 0;
  CHECK(::read(before[0], &byte, 1) == 0);  // nobody else has the other end
  ::close(before[0]);

  // The workers of a process that was killed become children of this one.
  REQUIRE(::prctl(PR_SET_CHILD_SUBREAPER, 1) == 0);
  std::array<int, 2> ends{};
  REQUIRE(::pipe(ends.data()) == 0);
  const pid_t asking = in_process([&] {
    Workers one, other;
    const std::array<pid_t, 2> pids = {one.pid(), other.pid()};
    if (::write(ends[1], pids.data(), sizeof pids) != sizeof pids) return 1;
    return ::kill(::getpid(), SIGKILL);
  });
  CHECK(status_of(asking) == 128 + SIGKILL);
  std::array<pid_t, 2> pids{};
  REQUIRE(::read(ends[0], pids.data(), sizeof pids) == sizeof pids);
  for (const pid_t pid : pids) CHECK(status_of(pid) == 0);
  for (const int end : ends) ::close(end);
  REQUIRE(::prctl(PR_SET_CHILD_SUBREAPER, 0) == 0);
}

TEST_CASE("a process forked from this one has workers of its own") {
  Workers w;
  const pid_t pid = w.pid();
  const pid_t child = in_process([&] {
    const pid_t other = w.pid();
    return other != pid && w.pid() == other ? 0 : 1;
  });
  CHECK(w.pid() == pid);
  CHECK(status_of(child) == 0);
  CHECK(w.pid() == pid);
}

TEST_CASE("there are at most as many workers as threads") {
  Workers w;
  std::vector<pid_t> pids(400);
  const int before = num_threads();
  set_num_threads(4);
  parallel_for(static_cast<int64_t>(pids.size()), 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) pids[static_cast<size_t>(i)] = w.pid();
  });
  set_num_threads(before);
  const std::set<pid_t> different(pids.begin(), pids.end());
  CHECK(different.size() <= 4);
  CHECK_FALSE(has_zombie());
}

}  // namespace taut::test
