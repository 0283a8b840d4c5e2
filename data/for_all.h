// Work on many images by all threads, with the same error for any number of them.
#pragma once

#include <cstdint>
#include <exception>
#include <vector>

#include "kernels/parallel.h"

namespace taut {

// Runs work(k) for k in [0, n), on all threads or alone on this one; if several throw, the error of the lowest k is
// rethrown, so that which one is reported does not depend on the threads.
template <class Work>
void for_all(int64_t n, bool alone, Work&& work) {
  std::vector<std::exception_ptr> errors(static_cast<size_t>(n));
  const auto range = [&](int64_t begin, int64_t end) {
    for (int64_t k = begin; k < end; ++k) {
      try {
        work(k);
      } catch (...) {
        errors[static_cast<size_t>(k)] = std::current_exception();
      }
    }
  };
  if (alone) {
    range(0, n);
  } else {
    parallel_for(n, 1, range);
  }
  for (const std::exception_ptr& error : errors) {
    if (error) std::rethrow_exception(error);
  }
}

}  // namespace taut
