#include "kernels/simt/runner.h"

#include <sys/mman.h>

#include <algorithm>
#include <boost/context/detail/fcontext.hpp>
#include <csetjmp>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/error.h"
#include "kernels/simt/counts.h"
#include "kernels/simt/left_out.h"
#include "kernels/simt/memory.h"
#include "kernels/simt/shadow.h"
#include "kernels/simt/sites.h"
#include "kernels/simt/tensor_core.h"

namespace taut::runner {

namespace context = boost::context::detail;

Words words;
Standing standing;
bool watching = false, detecting = false;
int64_t fma_count = 0;

namespace {

constexpr size_t kStack = size_t{128} << 10;
constexpr size_t kGuard = 4096;
constexpr size_t kSharedGap = 32;  // bytes between two arrays of shared memory that nothing may touch

enum class State : uint8_t { kUnstarted, kReady, kRunning, kAtBarrier, kInWarp, kReturned };

struct Lane {
  State state = State::kUnstarted;
  bool on_callers_stack = false;
  int stack = -1;  // of its own, where it waits on one
  context::fcontext_t context = nullptr;
  // What a waiting lane waits in.
  Place place;
  const char* what = "";
  unsigned mask = 0;
  Exchange exchange = nullptr;
};

struct Warp {
  unsigned exist = 0, unstarted = 0, ready = 0, returned = 0, in_warp = 0;
  WarpClock clock;
  uint64_t pair_synced[kWarp][kWarp];
  Slot in[kWarp], out[kWarp];
};

// One runner for the program: kernels of the SIMT device run one after the other.
struct Runner {
  // the launch
  const void* kernel = nullptr;
  void (*call)(void*) = nullptr;
  void* argument = nullptr;
  size_t shared_bytes = 0;
  size_t shared_touched = 0;  // bytes of the runner's shared memory that some block has taken
  // the block
  unsigned threads = 0, returned = 0, at_barrier = 0;
  uint64_t block_index = 0;
  Lane lanes[kMaxThreads];
  Warp warps[kMaxThreads / kWarp];
  unsigned runnable = 0;  // warps with a lane that can go on
  int running = -1, warp = 0;
  Place barrier;
  // stacks
  char* stacks = nullptr;
  std::vector<int> free_stacks;
  int stack = -1;                        // the running one; -1 is the caller's
  context::fcontext_t caller = nullptr;  // where the caller's stack waits for the end of the block
  bool abandoned = false;
  std::jmp_buf escape;
  // switches
  bool detect = true;
  uint64_t seed = 1, random = 1;
  std::string left_out_file;
  int left_out_line = 0;
  int64_t left_out = 0;
  Places* noted = nullptr;
  Totals totals;
};

Runner& runner() {
  static Runner* r = [] {
    auto* fresh = new Runner;
    if (const char* text = std::getenv("TAUT_SIMT_DETECT")) fresh->detect = std::string_view(text) != "0";
    if (const char* text = std::getenv("TAUT_SIMT_SEED")) fresh->seed = std::strtoull(text, nullptr, 10);
    if (const char* text = std::getenv("TAUT_SIMT_LEAVE_OUT"); text != nullptr && std::strchr(text, ':') != nullptr) {
      fresh->left_out_file.assign(text, std::strrchr(text, ':'));
      fresh->left_out_line = std::atoi(std::strrchr(text, ':') + 1);
    }
    const size_t bytes = (kStack + kGuard) * kMaxThreads;
    void* p = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED) fail(Exit::kMemory, "[simt] the system refused {} bytes for stacks", bytes);
    fresh->stacks = static_cast<char*>(p);
    for (int i = 0; i < kMaxThreads; ++i) mprotect(fresh->stacks + i * (kStack + kGuard), kGuard, PROT_NONE);
    return fresh;
  }();
  return *r;
}
Runner* r = nullptr;  // the same, without the guard of a static

uint64_t draw() {  // SplitMix64
  uint64_t z = r->random += 0x9E3779B97F4A7C15u;
  z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
  z = (z ^ z >> 27) * 0x94D049BB133111EBu;
  return z ^ z >> 31;
}

void update_runnable(int w) {
  if ((r->warps[w].unstarted | r->warps[w].ready) != 0)
    r->runnable |= 1u << w;
  else
    r->runnable &= ~(1u << w);
}

// The lane that goes on next; -1 where none can. A warp keeps going until all its lanes wait.
int pick_next() {
  if (r->runnable == 0) return -1;
  if ((r->runnable >> r->warp & 1) == 0) {
    finish_warp_segment();
    unsigned candidates = r->runnable;
    for (auto skip = draw() % static_cast<unsigned>(__builtin_popcount(candidates)); skip > 0; --skip)
      candidates &= candidates - 1;
    r->warp = __builtin_ctz(candidates);
  }
  const Warp& w = r->warps[r->warp];
  return r->warp * kWarp + __builtin_ctz(w.ready != 0 ? w.ready : w.unstarted);
}

void take_standing(int lane) {
  const Warp& w = r->warps[lane / kWarp];
  standing.thread = static_cast<uint32_t>(r->block_index * r->threads + static_cast<unsigned>(lane));
  standing.warp_first = standing.block_first + static_cast<uint32_t>(lane / kWarp * kWarp);
  standing.warp = &w.clock;
  standing.pair_synced = w.pair_synced[lane % kWarp];
  standing.on_callers_stack = r->stack < 0;
  const auto t = static_cast<unsigned>(lane);
  const Dim3 size = words.block_size;
  words.thread = Dim3(t % size.x, t / size.x % size.y, t / (size.x * size.y));
}

// Lane `lane` is what runs now, on the stack that runs now.
void become(int lane) {
  Warp& w = r->warps[lane / kWarp];
  const unsigned bit = 1u << (lane % kWarp);
  w.ready &= ~bit;
  w.unstarted &= ~bit;
  update_runnable(lane / kWarp);
  r->lanes[lane].state = State::kRunning;
  r->running = lane;
  r->warp = lane / kWarp;
  take_standing(lane);
}

std::string where_all_wait() {
  std::string text;
  int told = 0;
  for (unsigned i = 0; i < r->threads && told < 4; ++i) {
    const Lane& lane = r->lanes[i];
    if (lane.state != State::kAtBarrier && lane.state != State::kInWarp) continue;
    if (i > 0 && lane.state == r->lanes[i - 1].state && lane.place == r->lanes[i - 1].place) continue;
    text += fmt::format("{}{} waits in {} at {}:{}", told++ == 0 ? "" : ", ",
                        describe_thread(static_cast<uint32_t>(r->block_index * r->threads + i)), lane.what,
                        lane.place.file, lane.place.line);
  }
  if (r->returned > 0) text += fmt::format(", {} threads have returned", r->returned);
  return text;
}

bool is_left_out(Place place) {
  if (r->noted != nullptr) r->noted->emplace(place.file, place.line);
  if (place.line != r->left_out_line || !std::string_view(place.file).ends_with(r->left_out_file)) return false;
  ++r->left_out;
  return true;
}

void landed(context::transfer_t from) {
  if (from.data != nullptr) *static_cast<context::fcontext_t*>(from.data) = from.fctx;
}

void drive();

void fiber_entry(context::transfer_t from) {
  landed(from);
  drive();
}

// Leaves the running stack for the lane `next`; `keep`, or null, receives where this stack goes on.
void leave_for(int next, context::fcontext_t* keep) {
  Lane& lane = r->lanes[next];
  ++r->totals.switches;
  if (lane.state == State::kUnstarted) {
    const int stack = r->free_stacks.back();
    r->free_stacks.pop_back();
    r->stack = stack;
    char* top = r->stacks + static_cast<size_t>(stack) * (kStack + kGuard) + kGuard + kStack;
    landed(context::jump_fcontext(context::make_fcontext(top, kStack, fiber_entry), keep));
  } else {
    r->stack = lane.stack;
    landed(context::jump_fcontext(lane.context, keep));
  }
  if (r->abandoned) std::longjmp(r->escape, 1);  // only the caller's stack is ever resumed then
}

// The running lane waits until it is ready; what it waits in has been written down.
void wait() {
  const int self = r->running;
  r->lanes[self].stack = r->stack;
  const int next = pick_next();
  if (next < 0) {
    add_finding(Fault::kDivergentBarrier, "no thread can go on: " + where_all_wait());
    abandon_launch();
  }
  if (next != self) {
    leave_for(next, &r->lanes[self].context);
    r->stack = r->lanes[self].stack;
  }
  become(self);
}

void release_barrier() {
  standing.last_barrier = ++standing.now;
  ++r->totals.barriers;
  r->at_barrier = 0;
  for (unsigned w = 0; w * kWarp < r->threads; ++w) {
    r->warps[w].ready = r->warps[w].exist & ~r->warps[w].returned;
    r->warps[w].clock.began = standing.now;
    update_runnable(static_cast<int>(w));
  }
  for (unsigned i = 0; i < r->threads; ++i)
    if (r->lanes[i].state == State::kAtBarrier) r->lanes[i].state = State::kReady;
}

void lane_returned(int i) {
  r->lanes[i].state = State::kReturned;
  r->warps[i / kWarp].returned |= 1u << (i % kWarp);
  ++r->returned;
  if (r->at_barrier > 0 && r->at_barrier + r->returned == r->threads) {
    add_finding(Fault::kDivergentBarrier, "threads returned without reaching a barrier: " + where_all_wait());
    abandon_launch();
  }
}

// Runs lanes on this stack, one after the other, until the block is done (on the caller's stack it returns then) or a
// lane that waits elsewhere is next (a fiber's stack ends there).
void drive() {
  for (;;) {
    const int next = pick_next();
    if (next >= 0 && r->lanes[next].state == State::kUnstarted) {
      become(next);
      r->call(r->argument);
      lane_returned(next);
      continue;
    }
    const bool on_callers = r->stack < 0;
    if (next < 0 && r->returned < r->threads) {
      add_finding(Fault::kDivergentBarrier, "no thread can go on: " + where_all_wait());
      abandon_launch();
    }
    if (on_callers) {
      if (next < 0) return;
      leave_for(next, &r->caller);
      r->stack = -1;
      continue;
    }
    r->free_stacks.push_back(r->stack);  // nothing takes it before this stack is left for good
    if (next >= 0) {
      leave_for(next, nullptr);
    } else {
      ++r->totals.switches;
      r->stack = -1;
      context::jump_fcontext(r->caller, nullptr);
    }
  }
}

void begin_block(uint64_t index) {
  r->block_index = index;
  const Dim3 grid = words.grid_size;
  words.block = Dim3(static_cast<unsigned>(index % grid.x), static_cast<unsigned>(index / grid.x % grid.y),
                     static_cast<unsigned>(index / (uint64_t{grid.x} * grid.y)));
  standing.block_first = static_cast<uint32_t>(index * r->threads);
  standing.block_began = ++standing.now;
  standing.last_barrier = 0;
  r->returned = r->at_barrier = 0;
  r->runnable = 0;
  for (unsigned i = 0; i < r->threads; ++i) r->lanes[i].state = State::kUnstarted;
  for (unsigned w = 0; w * kWarp < r->threads; ++w) {
    Warp& warp = r->warps[w];
    const unsigned lanes = std::min<unsigned>(kWarp, r->threads - w * kWarp);
    warp.exist = warp.unstarted = lanes == kWarp ? ~0u : (1u << lanes) - 1;
    warp.ready = warp.returned = warp.in_warp = 0;
    warp.clock = {.began = standing.block_began};
    std::memset(warp.pair_synced, 0, sizeof warp.pair_synced);
    update_runnable(static_cast<int>(w));
  }
  r->warp = static_cast<int>(draw() % ((r->threads + kWarp - 1) / kWarp));
  set_exists(memory().base, r->shared_touched, false);
  ++r->totals.blocks;
  r->totals.threads += r->threads;
}

// Apart from run_grid, so that no variable lives across setjmp.
[[gnu::noinline]] void run_blocks(uint64_t blocks) {
  for (uint64_t index = 0; index < blocks; ++index) {
    begin_block(index);
    drive();
    finish_warp_segment();
  }
}

}  // namespace

void run_grid(const void* kernel, Dim3 grid, Dim3 block, size_t shared_bytes, void (*call)(void*), void* argument) {
  r = &runner();
  const std::string who = describe_kernel(kernel);
  TAUT_CHECK(grid.count() > 0 && block.count() > 0 && block.count() <= kMaxThreads,
             "[{}] expected a grid of at least one block of 1 to 1024 threads, got {} blocks of {}", who, grid.count(),
             block.count());
  TAUT_CHECK(grid.x < (1u << 31) && grid.y <= 65535 && grid.z <= 65535 && block.z <= 64,
             "[{}] expected a grid within (2^31 - 1, 65535, 65535), got ({}, {}, {})", who, grid.x, grid.y, grid.z);
  TAUT_CHECK(shared_bytes <= 227 * 1024, "[{}] expected at most 227 KiB of shared memory, got {} bytes", who,
             shared_bytes);
  TAUT_CHECK(!watching && r->running < 0, "[{}] a kernel started a kernel", who);
  r->kernel = kernel;
  r->call = call;
  r->argument = argument;
  r->shared_bytes = shared_bytes;
  r->threads = static_cast<unsigned>(block.count());
  r->random = r->seed;
  r->abandoned = false;
  r->free_stacks.clear();
  for (int i = kMaxThreads; i-- > 0;) r->free_stacks.push_back(i);
  r->stack = -1;
  words.grid_size = grid;
  words.block_size = block;
  ++r->totals.launches;
  standing.block_threads = r->threads;
  standing.launch_began = ++standing.now;
  standing.callers_frame = reinterpret_cast<uintptr_t>(__builtin_frame_address(0));
  begin_watching();
  begin_counting(kernel, static_cast<int64_t>(grid.count()), static_cast<int>(r->threads),
                 static_cast<int64_t>(shared_bytes));
  const Totals before = r->totals;
  const int64_t fmas = fma_count, products = tensor_product_count, tensor_fmas = tensor_fma_count;
  detecting = r->detect;
  watching = detecting || counting;
  if (setjmp(r->escape) == 0) run_blocks(grid.count());
  watching = false;
  leave_hook();
  r->running = -1;
  end_counting(before, r->totals, fma_count - fmas, tensor_product_count - products, tensor_fma_count - tensor_fmas);
  throw_findings(who);
}

void abandon_launch() {
  r->abandoned = true;
  if (r->stack < 0) std::longjmp(r->escape, 1);
  context::fcontext_t to = r->caller;
  for (unsigned i = 0; i < r->threads; ++i) {  // the caller's stack may wait inside a lane
    const Lane& lane = r->lanes[i];
    if ((lane.state == State::kReady || lane.state == State::kAtBarrier || lane.state == State::kInWarp) &&
        lane.stack < 0)
      to = lane.context;
  }
  context::jump_fcontext(to, nullptr);
  __builtin_unreachable();
}

void set_detectors(bool on) { runner().detect = on; }
bool detectors() { return runner().detect; }
void set_seed(uint64_t seed) { runner().seed = seed; }
const Totals& totals() { return runner().totals; }

bool is_fiber_stack(uintptr_t address) {
  return address - reinterpret_cast<uintptr_t>(r->stacks) < (kStack + kGuard) * kMaxThreads;
}

std::string describe_thread(uint32_t thread) {
  const uint64_t block = thread / r->threads;
  const unsigned t = thread % r->threads;
  const Dim3 size = words.block_size, grid = words.grid_size;
  return fmt::format("thread ({}, {}, {}) of block ({}, {}, {})", t % size.x, t / size.x % size.y,
                     t / (size.x * size.y), block % grid.x, block / grid.x % grid.y,
                     block / (uint64_t{grid.x} * grid.y));
}

void leave_out_barrier(const char* file, int line) {
  runner().left_out_file = file;
  runner().left_out_line = line;
  runner().left_out = 0;
}
int64_t barriers_left_out() { return runner().left_out; }
void note_barriers(Places* to) { runner().noted = to; }

void block_barrier(Place place) {
  if (is_left_out(place)) return;
  Lane& lane = r->lanes[r->running];
  lane.state = State::kAtBarrier;
  lane.place = place;
  lane.what = "__syncthreads";
  if (r->at_barrier++ == 0) r->barrier = place;
  const bool elsewhere = !(r->barrier == place);
  if (elsewhere || (r->returned > 0 && r->at_barrier + r->returned == r->threads)) {
    add_finding(Fault::kDivergentBarrier,
                (elsewhere ? "threads wait at different barriers: " : "threads returned without reaching a barrier: ") +
                    where_all_wait());
    abandon_launch();
  }
  if (r->at_barrier == r->threads) release_barrier();
  wait();
}

void warp_exchange(const char* what, unsigned mask, const void* in, size_t in_bytes, void* out, size_t out_bytes,
                   Exchange exchange, Place place) {
  if (exchange == nullptr && is_left_out(place)) return;
  const int self = r->running, w = self / kWarp, l = self % kWarp;
  Warp& warp = r->warps[w];
  Lane& lane = r->lanes[self];
  if ((mask >> l & 1) == 0 || (mask & ~warp.exist) != 0 || (mask & warp.returned) != 0) {
    add_finding(Fault::kDivergentBarrier,
                fmt::format("{} at {}:{} by {} names lanes {:#010x}, but the warp has {:#010x}", what, place.file,
                            place.line, describe_thread(standing.thread), mask, warp.exist & ~warp.returned));
    abandon_launch();
  }
  lane.state = State::kInWarp;
  lane.place = place;
  lane.what = what;
  lane.mask = mask;
  lane.exchange = exchange;
  if (in_bytes > 0) std::memcpy(warp.in[l].bytes, in, in_bytes);
  warp.in_warp |= 1u << l;
  if ((mask & ~warp.in_warp) == 0) {
    for (unsigned rest = mask; rest != 0; rest &= rest - 1) {
      const Lane& other = r->lanes[w * kWarp + __builtin_ctz(rest)];
      if (other.mask == mask && other.exchange == exchange && other.place == place) continue;
      add_finding(Fault::kDivergentBarrier, "lanes of one mask call different warp functions: " + where_all_wait());
      abandon_launch();
    }
    ++r->totals.warp_functions;
    if (exchange != nullptr) {
      exchange(mask, warp.in, warp.out);
    } else if (mask == warp.exist) {
      warp.clock.synced = warp.clock.began = ++standing.now;
    } else {
      warp.clock.parted = warp.clock.began = ++standing.now;
      for (unsigned i = mask; i != 0; i &= i - 1)
        for (unsigned j = mask; j != 0; j &= j - 1) warp.pair_synced[__builtin_ctz(i)][__builtin_ctz(j)] = standing.now;
    }
    warp.in_warp &= ~mask;
    warp.ready |= mask;
    for (unsigned rest = mask; rest != 0; rest &= rest - 1)
      r->lanes[w * kWarp + __builtin_ctz(rest)].state = State::kReady;
    update_runnable(w);
  }
  wait();
  if (out_bytes > 0) std::memcpy(out, warp.out[l].bytes, out_bytes);
}

int lane_id() { return r->running % kWarp; }

unsigned lanes_running() {
  const Warp& warp = r->warps[r->running / kWarp];
  return warp.exist & ~warp.returned;
}

void* take_shared(size_t bytes, size_t* cursor) {
  // cursor[0]: bytes of shared memory as on a GPU; cursor[1]: the same with gaps
  const size_t begin = (cursor[0] + 15) / 16 * 16;
  if (begin + bytes > r->shared_bytes) {
    add_finding(Fault::kOutOfBounds,
                fmt::format("{} takes bytes {} to {} of shared memory, the launch gave {}",
                            describe_thread(standing.thread), begin, begin + bytes, r->shared_bytes));
    abandon_launch();
  }
  std::byte* p = memory().base + kSharedGap + cursor[1];
  set_exists(p, bytes, true);
  cursor[0] = begin + bytes;
  cursor[1] += (bytes + 15) / 16 * 16 + kSharedGap;
  r->shared_touched = std::max(r->shared_touched, kSharedGap + cursor[1]);
  return p;
}

}  // namespace taut::runner
