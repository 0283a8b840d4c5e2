#include "data/decode_worker.h"

#include <malloc.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <csignal>
#include <cstring>
#include <utility>

#include "data/decode.h"
#include "data/sandbox.h"
#include "kernels/error.h"
#include "kernels/fork.h"
#include "tensor/descriptor.h"
#include "tensor/retried.h"

namespace taut {
namespace {

constexpr size_t kArea = size_t{1} << 20, kMaxText = size_t{1} << 16;
constexpr int kNoMemory = static_cast<int>(Exit::kMemory);

// What goes before a message's text and bytes. A request has the name and the file; an answer, the error's text or the
// pixels.
struct Head {
  int32_t code = 0;          // an Exit
  int32_t filter_error = 0;  // Sandbox::filter_error
  int64_t height = 0, width = 0, channels = 0;
  uint64_t text = 0, bytes = 0;
};

// One end. Bytes lie in memory that both ends share, a piece at a time: through a socket they would be copied by the
// kernel, and the two would wait for each other more often.
class Channel {
 public:
  Channel(int socket, uint8_t* area) : socket_(socket), area_(area) {}

  // False where the other end is gone. errno is EAGAIN where it was silent for too long, EPROTO where it broke the
  // rules.
  bool send(Head head, std::string_view text, std::span<const uint8_t> bytes) const {
    head.text = text.size();
    head.bytes = bytes.size();
    std::string front(reinterpret_cast<const char*>(&head), sizeof head);
    front += text;
    size_t done = put_piece(bytes);
    if (!put(front.data(), front.size())) return false;
    for (char next = 0; done < bytes.size();) {
      if (!take(&next, 1)) return false;
      done += put_piece(bytes.subspan(done));
      if (!put(&next, 1)) return false;
    }
    return true;
  }

  bool receive(Head& head, std::string& text, std::vector<uint8_t>& bytes, size_t most) const {
    if (!take(&head, sizeof head)) return false;
    if (head.text > kMaxText || head.bytes > most) {
      errno = EPROTO;
      return false;
    }
    text.resize(head.text);
    if (!take(text.data(), text.size())) return false;
    bytes.clear();
    bytes.reserve(head.bytes);
    for (char next = 0;;) {
      bytes.insert(bytes.end(), area_, area_ + std::min(kArea, head.bytes - bytes.size()));
      if (bytes.size() == head.bytes) return true;
      if (!put(&next, 1) || !take(&next, 1)) return false;
    }
  }

 private:
  size_t put_piece(std::span<const uint8_t> bytes) const {
    const size_t n = std::min(kArea, bytes.size());
    std::copy_n(bytes.begin(), n, area_);
    return n;
  }

  bool put(const void* data, size_t size) const {
    for (const auto* p = static_cast<const char*>(data); size > 0;) {
      const ssize_t n = retried([&] { return ::send(socket_, p, size, MSG_NOSIGNAL); });
      if (n <= 0) return false;
      p += n;
      size -= static_cast<size_t>(n);
    }
    return true;
  }

  bool take(void* data, size_t size) const {
    for (auto* p = static_cast<char*>(data); size > 0;) {
      const ssize_t n = retried([&] { return ::recv(socket_, p, size, MSG_WAITALL); });
      if (n == 0) errno = ECONNRESET;
      if (n <= 0) return false;
      p += n;
      size -= static_cast<size_t>(n);
    }
    return true;
  }

  int socket_;
  uint8_t* area_;
};

// ---- in the worker --------------------------------------------------------------------------------------------------

void allow_processor_time(double seconds) {
  itimerval time{};
  time.it_value.tv_sec = static_cast<time_t>(seconds);
  time.it_value.tv_usec = static_cast<suseconds_t>(std::fmod(seconds, 1) * 1e6);
  ::setitimer(ITIMER_PROF, &time, nullptr);
}

// The answer's code, and the image or the text.
Exit answer(DecodeWorkers::Decode decode, const WorkerLimits& limits, bool memory_is_ours,
            std::span<const uint8_t> bytes, std::string_view name, Image& image, std::string& text) {
  try {
    image = decode(bytes, name);
    return Exit::kOk;
  } catch (const Error& error) {
    text = error.what();
    return error.code() == Exit::kMemory ? Exit::kMemory : Exit::kBadData;
  } catch (const std::bad_alloc&) {
    text = fmt::format("[{}] expected an image that decodes in {} MB{}", name, limits.memory >> 20,
                       memory_is_ours ? ", got one that takes more" : ", got less memory from the system");
    return memory_is_ours ? Exit::kBadData : Exit::kMemory;
  } catch (const std::exception& error) {
    text = fmt::format("[{}] expected an image, got: {}", name, error.what());
    return Exit::kBadData;
  }
}

[[noreturn]] void serve(int socket, uint8_t* area, DecodeWorkers::Decode decode, const WorkerLimits& limits) {
  // The pages of an ordinary image are kept for the next one, those of a large one are not: what an image may take does
  // not depend on the one before.
  ::mallopt(M_MMAP_THRESHOLD, 4 << 20);
  ::mallopt(M_TRIM_THRESHOLD, 16 << 20);
  int code = 0;
  try {
    const Sandbox sandbox = enter_sandbox(socket, limits.memory);
    const Channel channel(Sandbox::kSocket, area);
    for (bool there = true; there;) {
      Head head;
      std::string name, text;
      std::vector<uint8_t> bytes;
      // Before it is received: what is left of the image before is none of this one's. Waiting takes no such time.
      allow_processor_time(limits.seconds);
      if (!channel.receive(head, name, bytes, SIZE_MAX)) break;
      Image image;
      const Exit end = answer(decode, limits, sandbox.memory_is_ours, bytes, name, image, text);
      there = channel.send({.code = static_cast<int32_t>(end),
                            .filter_error = sandbox.filter_error,
                            .height = image.height,
                            .width = image.width,
                            .channels = image.channels},
                           std::string_view(text).substr(0, kMaxText), image.pixels);
    }
  } catch (const std::bad_alloc&) {
    code = kNoMemory;  // not even the file fits
  }
  ::_exit(code);
}

// ---- in the process that asks ---------------------------------------------------------------------------------------

bool is_image(const Head& head) {
  const auto side = [](int64_t n) { return n >= 1 && n <= DecodeLimits::kSide; };
  return side(head.height) && side(head.width) && (head.channels == 1 || head.channels == 3) &&
         head.height * head.width <= DecodeLimits::kPixels &&
         head.bytes == static_cast<uint64_t>(head.height * head.width * head.channels);
}

}  // namespace

class DecodeWorkers::Worker {
 public:
  struct Answer {
    Exit code = Exit::kOk;
    int filter_error = 0;
    std::string text;
    Image image;
  };

  Worker(Decode decode, const WorkerLimits& limits, std::string_view name) : limits_(limits) {
    const auto give_up = [&] {
      fail(errno == ENOMEM ? Exit::kMemory : Exit::kIo, "[{}] cannot start a process that decodes it: {}", name,
           std::strerror(errno));
    };
    void* area = ::mmap(nullptr, kArea, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (area == MAP_FAILED) give_up();
    area_.reset(static_cast<uint8_t*>(area));
    int ends[2];
    if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) give_up();
    socket_.reset(ends[0]);
    const Descriptor other(ends[1]);
    const timeval silence{limits.silence, 0};
    ::setsockopt(socket_.get(), SOL_SOCKET, SO_RCVTIMEO, &silence, sizeof silence);
    // No handler of ours may run there, not even at its beginning.
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    pid_ = fork_without_tensors();
    if (pid_ == 0) serve(other.get(), area_.get(), decode, limits);
    const int reason = errno;
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
    errno = reason;
    if (pid_ < 0) give_up();
  }

  ~Worker() { end(); }
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  // Whether it is there and a child of this very process.
  bool is_alive() {
    if (pid_ > 0 && ::waitpid(pid_, &status_, WNOHANG) != 0) pid_ = -1;
    return pid_ > 0;
  }

  // Throws where there is no answer; the worker is of no more use then.
  Answer ask(std::span<const uint8_t> bytes, std::string_view name) {
    const Channel channel(socket_.get(), area_.get());
    Head head;
    Answer answer;
    if (!channel.send({}, name, bytes) ||
        !channel.receive(head, answer.text, answer.image.pixels, size_t{3} * DecodeLimits::kPixels)) {
      if (errno == EAGAIN) give_up(name, fmt::format("gave no answer for {} seconds", limits_.silence));
      if (errno == EPROTO) give_up(name, "gave an answer that is none");
      give_up_dead(name);
    }
    answer.code = head.code == kNoMemory ? Exit::kMemory : head.code == 0 ? Exit::kOk : Exit::kBadData;
    answer.filter_error = head.filter_error;
    if (answer.code == Exit::kOk && !is_image(head)) give_up(name, "gave an answer that is no image");
    answer.image.height = head.height;
    answer.image.width = head.width;
    answer.image.channels = head.channels;
    return answer;
  }

 private:
  struct Unmap {
    void operator()(uint8_t* area) const { ::munmap(area, kArea); }
  };

  void end() {
    if (!is_alive()) return;
    ::kill(pid_, SIGKILL);  // changes nothing of what it has died of already
    retried([&] { return ::waitpid(pid_, &status_, 0); });
    pid_ = -1;
  }

  [[noreturn]] static void give_up(std::string_view name, const std::string& what) {
    fail(Exit::kBadData,
         "[{}] expected an image, but the process that decodes it {}; hint: the file is damaged or made to do harm: "
         "leave it out, or save it anew with another program",
         name, what);
  }

  [[noreturn]] void give_up_dead(std::string_view name) {
    end();
    const int signal = WIFSIGNALED(status_) ? WTERMSIG(status_) : 0, code = signal == 0 ? WEXITSTATUS(status_) : 0;
    // No limit of ours does the one, and no file the other.
    if (signal == SIGKILL || code == kNoMemory)
      fail(Exit::kMemory, "[{}] the process that decodes it {}: out of memory; hint: fewer threads", name,
           signal == SIGKILL ? "was killed (SIGKILL), as the system does" : "got none from the system");
    if (signal == SIGPROF) give_up(name, fmt::format("took more than {} seconds of processor time", limits_.seconds));
    if (signal == SIGSYS) give_up(name, "made a system call that decoding does not need (SIGSYS)");
    if (signal == 0) give_up(name, fmt::format("ended with code {}", code));
    const char* abbreviation = ::sigabbrev_np(signal);
    give_up(name, fmt::format("crashed (SIG{})", abbreviation != nullptr ? abbreviation : std::to_string(signal)));
  }

  WorkerLimits limits_;
  std::unique_ptr<uint8_t, Unmap> area_;
  Descriptor socket_;
  pid_t pid_ = -1;
  int status_ = 0;
};

DecodeWorkers::DecodeWorkers(Decode decode, const WorkerLimits& limits, std::function<void(const std::string&)> say)
    : decode_(decode), limits_(limits), say_(std::move(say)) {}

DecodeWorkers::~DecodeWorkers() = default;

std::unique_ptr<DecodeWorkers::Worker> DecodeWorkers::take(std::string_view name) {
  {
    const std::lock_guard lock(mutex_);
    while (!idle_.empty()) {
      std::unique_ptr<Worker> worker = std::move(idle_.back());
      idle_.pop_back();
      if (worker->is_alive()) return worker;
    }
  }
  return std::make_unique<Worker>(decode_, limits_, name);
}

Image DecodeWorkers::decode(std::span<const uint8_t> bytes, std::string_view name) {
  std::unique_ptr<Worker> worker = take(name);
  Worker::Answer answer = worker->ask(bytes, name);
  {
    const std::lock_guard lock(mutex_);
    if (answer.filter_error != 0 && !std::exchange(told_, true))
      say_(fmt::format("images are decoded without a filter of system calls ({}); limits of memory and time hold",
                       std::strerror(answer.filter_error)));
    idle_.push_back(std::move(worker));
  }
  if (answer.code != Exit::kOk) throw Error(answer.code, answer.text);
  return std::move(answer.image);
}

}  // namespace taut
