#include "kernels/lab/ptxas.h"

#include <cxxabi.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <memory>
#include <sstream>

#include "kernels/error.h"
#include "kernels/simt/sites.h"

namespace taut::lab {
namespace {

std::string demangled(const std::string& name) {
  int status = 0;
  char* plain = abi::__cxa_demangle(name.c_str(), nullptr, nullptr, &status);
  const std::string text = status == 0 && plain != nullptr ? plain : name;
  std::free(plain);
  return runner::short_kernel_name(text);
}

bool nvcc_can_compile(const std::string& source) {
  const std::string nvcc = TAUT_NVCC;
  return !nvcc.empty() && access(nvcc.c_str(), X_OK) == 0 &&
         access((std::string(source_tree()) + "/" + source).c_str(), R_OK) == 0;
}

std::string nvcc_command(const std::string& source, const Gpu& gpu, const std::string& what) {
  return fmt::format(
      "'{0}' -std=c++20 -O3 --fmad=false --expt-relaxed-constexpr -arch={1} -I'{2}' -DTAUT_GPU=cuda -DTAUT_MATH=cuda "
      "{4} '{2}/{3}' 2>&1",
      TAUT_NVCC, gpu.arch, source_tree(), source, what);
}

// What a command writes, line by line; returns its exit status.
int run(const std::string& command, const std::function<void(const std::string&)>& line) {
  FILE* const pipe = popen(command.c_str(), "r");
  if (pipe == nullptr) return -1;
  char* text = nullptr;
  size_t size = 0;
  while (getline(&text, &size, pipe) > 0) line(text);
  std::free(text);
  return pclose(pipe);
}

// A file of this process that goes with the object.
class TemporaryFile {
 public:
  TemporaryFile() : path_((std::filesystem::temp_directory_path() / "taut-kernel-XXXXXX").string()) {
    const int fd = mkstemp(path_.data());
    if (fd < 0) fail(Exit::kIo, "[kernel show] no temporary file {} can be made", path_);
    close(fd);
  }
  ~TemporaryFile() { unlink(path_.c_str()); }
  TemporaryFile(const TemporaryFile&) = delete;
  TemporaryFile& operator=(const TemporaryFile&) = delete;
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

void compile(const std::string& source, const Gpu& gpu, const std::string& what, const std::string& to) {
  if (!nvcc_can_compile(source))
    fail(Exit::kUnavailable,
         "[kernel show] expected nvcc and the source tree {}, of which one is not there; hint: "
         "--source and --resources need neither",
         source_tree());
  std::string said;
  if (run(nvcc_command(source, gpu, fmt::format("{} -o '{}'", what, to)),
          [&](const std::string& line) { said += line; }))
    fail(Exit::kUnavailable, "[nvcc] {} does not compile: {}", source, said);
}

std::string tool_beside_nvcc(const std::string& name) {
  std::vector<std::string> folders = {std::filesystem::path(TAUT_NVCC).parent_path().string()};
  std::istringstream path(std::getenv("PATH") == nullptr ? "" : std::getenv("PATH"));
  for (std::string folder; std::getline(path, folder, ':');) folders.push_back(folder);
  for (const std::string& folder : folders)
    if (access((folder + "/" + name).c_str(), X_OK) == 0) return folder + "/" + name;
  fail(Exit::kUnavailable, "[kernel show] expected {} beside nvcc or on the PATH; hint: the CUDA toolkit has it", name);
}

// The first word after `key` in a line, up to one of `ends`.
std::string word_after(const std::string& line, std::string_view key, const char* ends) {
  const size_t at = line.find(key);
  if (at == std::string::npos) return "";
  const size_t begin = at + key.size();
  return line.substr(begin, line.find_first_of(ends, begin) - begin);
}

// Reads what ptxas -v says of the kernels that it compiles for a GPU.
class ResourceReader {
 public:
  explicit ResourceReader(const char* arch) : arch_(arch) {}

  void read(const std::string& line) {
    if (const std::string entry = word_after(line, "Compiling entry function '", "'"); !entry.empty()) {
      kernel_ = word_after(line, "' for '", "'") == arch_ ? demangled(entry) : "";
      return;
    }
    if (kernel_.empty()) return;
    Resources& r = all_[kernel_];
    int64_t stack = 0, stores = 0, loads = 0;
    int registers = 0;
    if (std::sscanf(line.c_str(), " %ld bytes stack frame, %ld bytes spill stores, %ld bytes spill loads", &stack,
                    &stores, &loads) == 3) {
      r.stack_bytes = stack;
      r.spill_bytes = stores + loads;
    }
    if (const size_t at = line.find("Used ");
        at != std::string::npos && std::sscanf(line.c_str() + at, "Used %d", &registers) == 1)
      r.registers = registers;
  }
  const std::map<std::string, Resources>& all() const { return all_; }

 private:
  std::string arch_, kernel_;
  std::map<std::string, Resources> all_;
};

}  // namespace

const char* source_tree() { return TAUT_SOURCE_DIR; }

std::vector<std::string> files_of(const std::string& folder, const char* extension) {
  std::error_code error;
  std::vector<std::string> files;
  for (const auto& entry : std::filesystem::directory_iterator(std::string(source_tree()) + "/" + folder, error))
    if (entry.path().extension() == extension) files.push_back(folder + "/" + entry.path().filename().string());
  std::sort(files.begin(), files.end());
  return files;
}

std::map<std::string, Resources> ptxas_resources(const std::string& source, const Gpu& gpu) {
  ResourceReader kept(gpu.arch);
  std::ifstream file(std::string(TAUT_PTXAS_DIR) + "/" + source);
  for (std::string line; std::getline(file, line);) kept.read(line);
  if (!kept.all().empty() || !nvcc_can_compile(source)) return kept.all();
  ResourceReader asked(gpu.arch);
  run(nvcc_command(source, gpu, "-Xptxas -v -cubin -o /dev/null"), [&](const std::string& line) { asked.read(line); });
  return asked.all();
}

const std::string& nvcc_version() {
  static const std::string version = [] {
    const std::string nvcc = TAUT_NVCC;
    std::string found;
    if (nvcc.empty() || access(nvcc.c_str(), X_OK) != 0) return found;
    run(fmt::format("'{}' --version", nvcc), [&](const std::string& line) {
      if (const std::string word = word_after(line, ", V", " \n"); !word.empty()) found = word;
    });
    return found;
  }();
  return version;
}

std::map<std::string, std::string> ptx_of(const std::string& source, const Gpu& gpu) {
  const TemporaryFile file;
  compile(source, gpu, "-ptx", file.path());
  std::map<std::string, std::string> all;
  std::string kernel;
  run(fmt::format("cat '{}'", file.path()), [&](const std::string& line) {
    if (const std::string entry = word_after(line, ".entry ", "("); !entry.empty()) kernel = demangled(entry);
    if (kernel.empty()) return;
    all[kernel] += line;
    if (line.starts_with("}")) kernel.clear();
  });
  return all;
}

std::map<std::string, std::string> sass_of(const std::string& source, const Gpu& gpu) {
  const std::string cuobjdump = tool_beside_nvcc("cuobjdump");
  const TemporaryFile file;
  compile(source, gpu, "-cubin", file.path());
  std::map<std::string, std::string> all;
  std::string kernel;
  run(fmt::format("'{}' -sass '{}' 2>&1", cuobjdump, file.path()), [&](const std::string& line) {
    if (const std::string entry = word_after(line, "Function : ", " \n"); !entry.empty()) kernel = demangled(entry);
    if (!kernel.empty()) all[kernel] += line;
  });
  return all;
}

}  // namespace taut::lab
