// One thread pool for everything: loops over ranges whose results must not depend on how the range is cut.
#pragma once

#include <cstddef>
#include <cstdint>
#include <type_traits>

namespace taut {

int num_threads();            // at least 1; the processor's count at first
void set_num_threads(int n);  // throws Error(kUsage) unless 1 <= n <= 256

// Calls body(context, begin, end) for disjoint ranges that cover [0, n), each `grain` long but the last, on all threads
// of the pool, the caller included; returns when all are done. Calls from inside a body run serially on that thread.
// The first exception of a body is rethrown in the caller.
void parallel_ranges(int64_t n, int64_t grain, void (*body)(void*, int64_t, int64_t), void* context);

// The same for a callable body(begin, end).
template <class Body>
inline void parallel_for(int64_t n, int64_t grain, Body&& body) {
  using Callable = std::remove_reference_t<Body>;  // const for a const lvalue
  parallel_ranges(
      n, grain, [](void* context, int64_t begin, int64_t end) { (*static_cast<Callable*>(context))(begin, end); },
      const_cast<void*>(static_cast<const void*>(&body)));
}

// Scratch memory of the calling thread, 64-byte aligned, at least `bytes` long, undefined contents. It stays valid
// until this thread's next call with the same slot (0..3): a kernel may not call another that uses its slot while in
// use.
void* thread_scratch(int slot, size_t bytes);

}  // namespace taut
