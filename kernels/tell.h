// What is said to people, on standard error.
#pragma once

#include <fmt/format.h>

#include <cstdio>
#include <iterator>
#include <utility>

namespace taut {

// Writes formatted text to standard error. Where that is closed or its disk is full, work goes on unheard: results are
// in files, and codes say how it ended.
template <class... Args>
void tell(fmt::format_string<Args...> format, Args&&... args) {
  fmt::memory_buffer text;
  fmt::format_to(std::back_inserter(text), format, std::forward<Args>(args)...);
  std::fwrite(text.data(), 1, text.size(), stderr);
}

}  // namespace taut
