// System calls that a signal interrupted.
#pragma once

#include <cerrno>

namespace taut {

// Calls again for as long as a signal came in between; any other failure is the caller's. Not for close, whose
// descriptor is gone by then.
template <class Call>
auto retried(const Call& call) {
  for (;;) {
    const auto result = call();
    if (result >= 0 || errno != EINTR) return result;
  }
}

}  // namespace taut
