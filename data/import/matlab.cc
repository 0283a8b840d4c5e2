#include "data/import/matlab.h"

#include <matio.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <cmath>
#include <memory>
#include <string_view>

#include "data/formats.h"
#include "kernels/error.h"
#include "tensor/descriptor.h"

namespace taut {
namespace {

constexpr std::string_view kMagic = "MATLAB 5.0 MAT-file";
constexpr size_t kHeaderBytes = 128, kMaxAnswer = size_t{256} << 20;
constexpr int64_t kMaxItems = 10'000'000, kMaxLabel = 100'000, kMaxName = 1024;

bool write_all(int fd, const void* data, size_t size) {
  const auto* p = static_cast<const char*>(data);
  while (size > 0) {
    const ssize_t n = ::write(fd, p, size);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return false;
    p += n;
    size -= static_cast<size_t>(n);
  }
  return true;
}

using Variable = std::unique_ptr<matvar_t, void (*)(matvar_t*)>;

// ---- in the process of its own: the answer is "label file" a line, or "!" and what is wrong -------------------------

int64_t elements_of(const matvar_t& v) {
  int64_t n = 1;
  for (int d = 0; d < v.rank; ++d) {
    if (v.dims[d] > static_cast<size_t>(kMaxItems)) return -1;
    n *= static_cast<int64_t>(v.dims[d]);
    if (n > kMaxItems) return -1;
  }
  return n;
}

std::string text_of(const matvar_t* v) {
  if (v == nullptr || v->class_type != MAT_C_CHAR || v->data == nullptr) return {};
  const int64_t n = elements_of(*v);
  if (n < 1 || n > kMaxName || static_cast<size_t>(n) * static_cast<size_t>(v->data_size) > v->nbytes) return {};
  std::string text;
  for (int64_t i = 0; i < n; ++i) {
    uint32_t c = 0;
    if (v->data_type == MAT_T_UINT16 || v->data_type == MAT_T_UTF16) {
      c = static_cast<const uint16_t*>(v->data)[i];
    } else if (v->data_type == MAT_T_UINT8 || v->data_type == MAT_T_INT8 || v->data_type == MAT_T_UTF8) {
      c = static_cast<const uint8_t*>(v->data)[i];
    }
    if (c < 0x20 || c > 0x7E) return {};  // the names of the data set are ASCII
    text += static_cast<char>(c);
  }
  return text;
}

template <class T>
std::vector<double> converted(const matvar_t& v, int64_t n) {
  if (static_cast<size_t>(n) * sizeof(T) > v.nbytes) return {};
  const T* data = static_cast<const T*>(v.data);
  return {data, data + n};
}

// The n numbers of a variable of any numeric class; empty where it has none or not enough bytes.
std::vector<double> numbers_of(const matvar_t& v, int64_t n) {
  if (v.data == nullptr || v.isComplex) return {};
  switch (v.class_type) {
    case MAT_C_DOUBLE: return converted<double>(v, n);
    case MAT_C_SINGLE: return converted<float>(v, n);
    case MAT_C_UINT8: return converted<uint8_t>(v, n);
    case MAT_C_INT8: return converted<int8_t>(v, n);
    case MAT_C_UINT16: return converted<uint16_t>(v, n);
    case MAT_C_INT16: return converted<int16_t>(v, n);
    case MAT_C_UINT32: return converted<uint32_t>(v, n);
    case MAT_C_INT32: return converted<int32_t>(v, n);
    default: return {};
  }
}

std::string answer_of(const char* path) {
  Mat_LogInitFunc("taut", [](int, char*) {});
  const std::unique_ptr<mat_t, int (*)(mat_t*)> mat(Mat_Open(path, MAT_ACC_RDONLY), Mat_Close);
  if (!mat) return "!expected a MATLAB 5 file";
  const Variable files(Mat_VarRead(mat.get(), "file_list"), Mat_VarFree);
  const Variable labels(Mat_VarRead(mat.get(), "labels"), Mat_VarFree);
  if (!files || files->class_type != MAT_C_CELL || files->data == nullptr)
    return "!expected the cell array 'file_list'";
  if (!labels) return "!expected the numbers 'labels'";
  const int64_t n = elements_of(*files);
  if (n < 1 || static_cast<size_t>(n) * sizeof(void*) > files->nbytes) return "!expected 'file_list' to have elements";
  if (elements_of(*labels) != n)
    return fmt::format("!expected {} labels, as there are files, got {}", n, elements_of(*labels));
  const std::vector<double> numbers = numbers_of(*labels, n);
  if (numbers.empty()) return "!expected the numbers 'labels'";
  std::string answer;
  for (int64_t i = 0; i < n; ++i) {
    const std::string file = text_of(static_cast<matvar_t**>(files->data)[i]);
    const double label = numbers[static_cast<size_t>(i)];
    if (file.empty()) return fmt::format("!element {} of 'file_list' is no name of a file", i + 1);
    if (!(label >= 1 && label <= kMaxLabel) || label != std::floor(label))
      return fmt::format("!element {} of 'labels' is no class: {}", i + 1, label);
    answer += fmt::format("{} {}\n", static_cast<int64_t>(label), file);
  }
  return answer;
}

[[noreturn]] void serve(int file, int out) {
  const rlimit seconds{20, 20}, memory{rlim_t{4} << 30, rlim_t{4} << 30};
  ::setrlimit(RLIMIT_CPU, &seconds);
#ifndef __SANITIZE_ADDRESS__
  ::setrlimit(RLIMIT_AS, &memory);
#endif
  int status = 1;
  try {
    const std::string answer = answer_of(fmt::format("/proc/self/fd/{}", file).c_str());
    if (write_all(out, answer.data(), answer.size())) status = 0;
  } catch (const std::exception&) {
  }
  ::_exit(status);
}

// ---- in ours --------------------------------------------------------------------------------------------------------

std::string ask(std::span<const uint8_t> bytes, const std::string& name) {
  const Descriptor file(::memfd_create("list.mat", MFD_CLOEXEC));
  std::array<int, 2> ends{};
  if (file.get() < 0 || !write_all(file.get(), bytes.data(), bytes.size()) || ::pipe(ends.data()) != 0)
    fail(Exit::kIo, "[{}] cannot hand the list to another process", name);
  const Descriptor in(ends[0]);
  Descriptor out(ends[1]);
  const pid_t child = ::fork();
  if (child < 0) fail(Exit::kIo, "[{}] cannot start another process", name);
  if (child == 0) serve(file.get(), out.get());
  out.reset();
  std::string answer;
  std::array<char, 65536> part{};
  while (answer.size() < kMaxAnswer) {
    const ssize_t n = ::read(in.get(), part.data(), part.size());
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) break;
    answer.append(part.data(), static_cast<size_t>(n));
  }
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
    fail(Exit::kBadData, "[{}] expected a MATLAB 5 file, got one that broke its reader", name);
  return answer;
}

}  // namespace

MatlabList read_matlab_list(std::span<const uint8_t> bytes, const std::string& name) {
  const std::string_view head(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  if (bytes.size() < kHeaderBytes || !head.starts_with(kMagic))
    fail(Exit::kBadData, "[{}] expected a MATLAB 5 file, got something else", name);
  const std::string answer = ask(bytes, name);
  if (answer.starts_with('!')) fail(Exit::kBadData, "[{}] {}", name, answer.substr(1));
  MatlabList list;
  for (const std::string& line : lines_of(std::span(reinterpret_cast<const uint8_t*>(answer.data()), answer.size()))) {
    int64_t label = 0;
    const auto [end, error] = std::from_chars(line.data(), line.data() + line.size(), label);
    if (error != std::errc() || *end != ' ') fail(Exit::kBadData, "[{}] expected a label and a file", name);
    list.labels.push_back(label);
    list.files.emplace_back(end + 1);
  }
  return list;
}

}  // namespace taut
