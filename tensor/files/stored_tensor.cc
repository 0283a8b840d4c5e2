#include "tensor/files/stored_tensor.h"

#include <algorithm>
#include <cstring>

namespace taut {
namespace {

struct FileType {
  const char* name;
  int64_t bits;
};
constexpr FileType kFileTypes[] = {
    {"BOOL", 8},    {"F4", 4},      {"F6_E2M3", 6}, {"F6_E3M2", 6},     {"U8", 8},          {"I8", 8},
    {"F8_E5M2", 8}, {"F8_E4M3", 8}, {"F8_E8M0", 8}, {"F8_E4M3FNUZ", 8}, {"F8_E5M2FNUZ", 8}, {"I16", 16},
    {"U16", 16},    {"F16", 16},    {"BF16", 16},   {"I32", 32},        {"U32", 32},        {"F32", 32},
    {"C64", 64},    {"F64", 64},    {"I64", 64},    {"U64", 64},
};

// Row by row; `dim` is at most kMaxFileDims deep.
std::byte* gather(const StoredTensor& t, int64_t element, size_t dim, const std::byte* from, std::byte* to) {
  if (dim == t.shape.size()) {
    std::memcpy(to, from, static_cast<size_t>(element));
    return to + element;
  }
  if (dim + 1 == t.shape.size() && t.strides[dim] == 1) {
    std::memcpy(to, from, static_cast<size_t>(element * t.shape[dim]));
    return to + element * t.shape[dim];
  }
  for (int64_t i = 0; i < t.shape[dim]; ++i) to = gather(t, element, dim + 1, from + i * t.strides[dim] * element, to);
  return to;
}

}  // namespace

int64_t bits_of(const std::string& dtype) {
  for (const FileType& t : kFileTypes)
    if (dtype == t.name) return t.bits;
  return 0;
}

int64_t bits_of(const std::string& dtype, const Shape& shape) {
  int64_t bits = bits_of(dtype);
  bool empty = false;
  for (const int64_t n : shape) {
    empty = empty || n == 0;
    if (__builtin_mul_overflow(bits, std::max<int64_t>(n, 1), &bits)) return -1;
  }
  return empty ? 0 : bits;
}

void copy_elements(const StoredTensor& t, std::byte* to) {
  if (t.unpack) {
    t.unpack()({to, static_cast<size_t>(t.bytes)});
  } else if (t.bytes > 0 && t.strides == row_major_strides(t.shape)) {
    std::memcpy(to, t.first, static_cast<size_t>(t.bytes));
  } else if (t.bytes > 0) {
    gather(t, bits_of(t.dtype) / 8, 0, t.first, to);
  }
}

}  // namespace taut
