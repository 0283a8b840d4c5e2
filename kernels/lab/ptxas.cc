#include "kernels/lab/ptxas.h"

#include <cxxabi.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <memory>

#include "kernels/error.h"
#include "kernels/simt/sites.h"

namespace taut::lab {
namespace {

std::string demangled(const std::string& name) {
  int status = 0;
  char* plain = abi::__cxa_demangle(name.c_str(), nullptr, nullptr, &status);
  const std::string text = status == 0 && plain != nullptr ? plain : name;
  std::free(plain);
  return text;
}

}  // namespace

std::map<std::string, Resources> ptxas_resources(const std::string& source, const Gpu& gpu) {
  std::map<std::string, Resources> all;
  const std::string nvcc = TAUT_NVCC, root = TAUT_SOURCE_DIR;
  if (nvcc.empty() || access((root + "/" + source).c_str(), R_OK) != 0 || access(nvcc.c_str(), X_OK) != 0) return all;
  const std::string command = fmt::format(
      "'{0}' -std=c++20 -O3 --fmad=false --expt-relaxed-constexpr -arch={1} -I'{2}' -DTAUT_GPU=cuda -DTAUT_MATH=cuda "
      "-Xptxas -v -cubin -o /dev/null '{2}/{3}' 2>&1",
      nvcc, gpu.arch, root, source);
  const std::unique_ptr<FILE, int (*)(FILE*)> pipe(popen(command.c_str(), "r"), pclose);
  if (pipe == nullptr) return all;
  char line[4096];
  std::string kernel;
  while (std::fgets(line, sizeof line, pipe.get()) != nullptr) {
    const std::string text = line;
    constexpr std::string_view kEntry = "Compiling entry function '";
    if (const size_t at = text.find(kEntry); at != std::string::npos) {
      const size_t begin = at + kEntry.size();
      kernel = runner::short_kernel_name(demangled(text.substr(begin, text.find('\'', begin) - begin)));
      continue;
    }
    Resources& r = all[kernel];
    int64_t stack = 0, stores = 0, loads = 0;
    int registers = 0;
    if (std::sscanf(line, " %ld bytes stack frame, %ld bytes spill stores, %ld bytes spill loads", &stack, &stores,
                    &loads) == 3) {
      r.stack_bytes = stack;
      r.spill_bytes = stores + loads;
    }
    if (const size_t at = text.find("Used ");
        at != std::string::npos && std::sscanf(line + at, "Used %d", &registers) == 1)
      r.registers = registers;
  }
  all.erase("");
  return all;
}

}  // namespace taut::lab
