#include "kernels/simt/sites.h"

#include <backtrace.h>
#include <cxxabi.h>
#include <fmt/format.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <string_view>
#include <vector>

#include "kernels/simt/shadow.h"

namespace taut::runner {
namespace {

backtrace_state* symbols() {
  static backtrace_state* state = backtrace_create_state(
      nullptr, 0, [](void*, const char*, int) {}, nullptr);
  return state;
}

struct Range {
  uintptr_t begin, end;
};

// Read-only mappings of the program, and the stack of the host thread.
struct Ranges {
  std::vector<Range> constants;
  Range stack{};

  Ranges() {
    std::ifstream maps("/proc/self/maps");
    const auto self = reinterpret_cast<uintptr_t>(&__executable_start);
    std::string line, program;
    std::vector<std::pair<Range, std::string>> all;
    while (std::getline(maps, line)) {
      std::istringstream fields(line);
      std::string range, mode, offset, device, inode, path;
      fields >> range >> mode >> offset >> device >> inode;
      std::getline(fields >> std::ws, path);
      const size_t dash = range.find('-');
      const Range r{std::strtoull(range.c_str(), nullptr, 16), std::strtoull(range.c_str() + dash + 1, nullptr, 16)};
      if (r.begin <= self && self < r.end) program = path;
      if (path == "[stack]") stack = r;
      if (mode[1] == '-') all.emplace_back(r, path);
    }
    for (const auto& [r, path] : all)
      if (path == program && !program.empty()) constants.push_back(r);
  }
};

}  // namespace

std::string describe_site(uintptr_t code) {
  struct Found {
    std::string file;
    int line = 0;
  } found;
  // Innermost first: the line of the kernel, not of what it inlined.
  const auto take = [](void* data, uintptr_t, const char* file, int line, const char*) {
    auto* f = static_cast<Found*>(data);
    const bool inlined = f->file.ends_with(".cuh") || f->file.ends_with(".h");
    if (file != nullptr && (f->line == 0 || inlined)) *f = {file, line};
    return 0;
  };
  backtrace_pcinfo(
      symbols(), code - 1, take, [](void*, const char*, int) {}, &found);
  if (found.line == 0) return fmt::format("code {:#x}", to_short(code));
  const size_t kernels = found.file.rfind("/kernels/");
  return fmt::format("{}:{}", kernels == std::string::npos ? found.file : found.file.substr(kernels + 1), found.line);
}

std::string describe_kernel(const void* kernel) {
  std::string name;
  const auto take = [](void* data, uintptr_t, const char* symbol, uintptr_t, uintptr_t) {
    if (symbol != nullptr) *static_cast<std::string*>(data) = symbol;
  };
  backtrace_syminfo(
      symbols(), reinterpret_cast<uintptr_t>(kernel), take, [](void*, const char*, int) {}, &name);
  int status = 0;
  char* plain = abi::__cxa_demangle(name.c_str(), nullptr, nullptr, &status);
  if (status == 0 && plain != nullptr) name = plain;
  std::free(plain);
  return short_kernel_name(name);
}

std::string short_kernel_name(std::string name) {
  for (const std::string_view scope : {"(anonymous namespace)::", "taut::simt::", "taut::cuda::"})
    for (size_t at; (at = name.find(scope)) != std::string::npos;) name.erase(at, scope.size());
  // Its parameters begin behind its template arguments, in which a value of an enum has parentheses, too.
  for (size_t at = 0, depth = 0; at < name.size(); ++at) {
    if (name[at] == '<') ++depth;
    if (name[at] == '>') --depth;
    if (name[at] != '(' || depth > 0) continue;
    name.resize(at);
    break;
  }
  if (name.starts_with("void ")) name.erase(0, 5);
  if (const size_t space = name.rfind(' '); space != std::string::npos && name.find('<') > space)
    name.erase(0, space + 1);
  if (const size_t scope = name.substr(0, name.find('<')).rfind("::"); scope != std::string::npos)
    name.erase(0, scope + 2);
  return name.empty() ? "kernel" : name;
}

bool is_constant(uintptr_t address) {
  static const Ranges ranges;
  for (const Range& r : ranges.constants)
    if (address - r.begin < r.end - r.begin) return true;
  // Other host threads' launches never read their arguments here: the runner has one host thread.
  return address >= standing.callers_frame && address - standing.callers_frame < 8192;
}

}  // namespace taut::runner
