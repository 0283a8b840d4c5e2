#include "kernels/parallel.h"

#include <atomic>
#include <condition_variable>
#include <exception>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "kernels/arena.h"
#include "kernels/error.h"

namespace taut {
namespace {

thread_local bool inside_loop = false;

// A loop in progress. Ranges are taken from `next` in order; which thread takes which does not matter to the result.
struct Loop {
  void (*body)(void*, int64_t, int64_t);
  void* context;
  int64_t n, grain;
  std::atomic<int64_t> next{0};
  std::exception_ptr error;
  std::mutex error_mutex;

  void run() {
    inside_loop = true;
    for (;;) {
      const int64_t begin = next.fetch_add(grain, std::memory_order_relaxed);
      if (begin >= n) break;
      try {
        body(context, begin, begin + grain < n ? begin + grain : n);
      } catch (...) {
        const std::lock_guard lock(error_mutex);
        if (!error) error = std::current_exception();
        next.store(n, std::memory_order_relaxed);
      }
    }
    inside_loop = false;
  }
};

void pause_briefly() { __builtin_ia32_pause(); }

class Pool {
 public:
  explicit Pool(int threads) {
    for (int i = 1; i < threads; ++i) workers_.emplace_back([this] { work(); });
  }

  ~Pool() {
    {
      const std::lock_guard lock(mutex_);
      stop_ = true;
    }
    wake_.notify_all();
    for (std::thread& t : workers_) t.join();
  }

  int threads() const { return static_cast<int>(workers_.size()) + 1; }

  void run(Loop& loop) {
    const std::lock_guard one_loop(loop_mutex_);
    busy_.store(static_cast<int>(workers_.size()), std::memory_order_relaxed);
    {
      const std::lock_guard lock(mutex_);
      loop_ = &loop;
      generation_.fetch_add(1, std::memory_order_release);
    }
    wake_.notify_all();
    loop.run();
    // The others finish within one range; spinning is shorter than a sleep, yielding keeps a shared core usable.
    for (int spins = 0; busy_.load(std::memory_order_acquire) != 0; ++spins) {
      if (spins < 2000)
        pause_briefly();
      else
        std::this_thread::yield();
    }
  }

 private:
  void work() {
    uint64_t seen = 0;
    for (;;) {
      // A short spin catches the next loop of the same step without a system call.
      for (int spins = 0; spins < 4000 && generation_.load(std::memory_order_acquire) == seen; ++spins) pause_briefly();
      Loop* loop;
      {
        std::unique_lock lock(mutex_);
        wake_.wait(lock, [&] { return stop_ || generation_.load(std::memory_order_relaxed) != seen; });
        if (stop_) return;
        seen = generation_.load(std::memory_order_relaxed);
        loop = loop_;
      }
      loop->run();
      busy_.fetch_sub(1, std::memory_order_release);
    }
  }

  std::vector<std::thread> workers_;
  std::mutex loop_mutex_, mutex_;
  std::condition_variable wake_;
  std::atomic<uint64_t> generation_{0};
  std::atomic<int> busy_{0};
  Loop* loop_ = nullptr;
  bool stop_ = false;
};

struct Owner {
  std::mutex mutex;
  int wanted = 0;
  std::unique_ptr<Pool> pool;

  int count() {
    if (wanted == 0) {
      const unsigned hardware = std::thread::hardware_concurrency();
      wanted = hardware == 0 ? 1 : static_cast<int>(hardware);
    }
    return wanted;
  }
};

Owner& owner() {
  static Owner o;
  return o;
}

Pool& pool() {
  Owner& o = owner();
  const std::lock_guard lock(o.mutex);
  if (!o.pool || o.pool->threads() != o.count()) o.pool = std::make_unique<Pool>(o.count());
  return *o.pool;
}

struct Scratch {
  void* pointer[4] = {};
  size_t size[4] = {};
  ~Scratch() {
    for (void* p : pointer)
      if (p != nullptr) arena_release(p);
  }
};

}  // namespace

int num_threads() {
  Owner& o = owner();
  const std::lock_guard lock(o.mutex);
  return o.count();
}

void set_num_threads(int n) {
  TAUT_CHECK(n >= 1 && n <= 256, "[threads] expected 1 to 256, got {}", n);
  Owner& o = owner();
  const std::lock_guard lock(o.mutex);
  o.wanted = n;
}

void parallel_ranges(int64_t n, int64_t grain, void (*body)(void*, int64_t, int64_t), void* context) {
  if (n <= 0) return;
  if (grain < 1) grain = 1;
  if (inside_loop || n <= grain || num_threads() == 1) {
    for (int64_t begin = 0; begin < n; begin += grain) body(context, begin, begin + grain < n ? begin + grain : n);
    return;
  }
  Loop loop{.body = body, .context = context, .n = n, .grain = grain, .error = {}, .error_mutex = {}};
  pool().run(loop);
  if (loop.error) std::rethrow_exception(loop.error);
}

void* thread_scratch(int slot, size_t bytes) {
  arena_stats();  // the arena outlives every thread's scratch
  thread_local Scratch scratch;
  if (scratch.size[slot] < bytes) {
    if (scratch.pointer[slot] != nullptr) arena_release(scratch.pointer[slot]);
    scratch.pointer[slot] = nullptr;
    scratch.size[slot] = 0;
    scratch.pointer[slot] = arena_allocate(bytes);
    scratch.size[slot] = bytes;
  }
  return scratch.pointer[slot];
}

}  // namespace taut
