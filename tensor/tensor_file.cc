#include "tensor/tensor_file.h"

#include <algorithm>
#include <cmath>

#include "tensor/sha256.h"

namespace taut {
namespace {

float half_to_float(uint16_t h) {
  const int exponent = h >> 10 & 31, fraction = h & 1023;
  double value = 0;
  if (exponent == 31) {
    value = fraction ? std::nan("") : HUGE_VAL;
  } else {
    value = exponent ? std::ldexp(1024 + fraction, exponent - 25) : std::ldexp(fraction, -24);
  }
  return static_cast<float>(h & 0x8000 ? -value : value);
}

// The tensor's elements, of type From in the file, each made a To by `convert`.
template <class From, class To, class Convert>
Tensor converted(const StoredTensor& stored, Convert&& convert) {
  std::vector<From> packed(static_cast<size_t>(numel(stored.shape)));
  copy_elements(stored, reinterpret_cast<std::byte*>(packed.data()));
  Tensor t = Tensor::empty(stored.shape, dtype_of<To>());
  std::transform(packed.begin(), packed.end(), t.span<To>().begin(), convert);
  return t;
}

template <class From, class To>
Tensor widened(const StoredTensor& stored) {
  return converted<From, To>(stored, [](From x) { return static_cast<To>(x); });
}

constexpr std::pair<const char*, DType> kSameTypes[] = {
    {"F32", DType::kF32}, {"F64", DType::kF64}, {"BF16", DType::kBF16}, {"I32", DType::kI32},
    {"I64", DType::kI64}, {"U8", DType::kU8},   {"BOOL", DType::kBool}};
constexpr const char* kConvertedTypes[] = {"F16", "I8", "I16", "U16", "U32"};

}  // namespace

bool is_readable(const std::string& dtype) {
  return std::ranges::any_of(kSameTypes, [&](const auto& type) { return dtype == type.first; }) ||
         std::ranges::any_of(kConvertedTypes, [&](const char* type) { return dtype == type; });
}

TensorFile::TensorFile(FileContents contents) : contents_(std::move(contents)) {
  for (size_t i = 0; i < contents_.tensors.size(); ++i)
    if (const std::string& name = contents_.tensors[i].name; !index_.emplace(name, i).second)
      fail(Exit::kBadData, "[{}] tensor '{}': its name appears twice", path(), printable(name));
}

std::string TensorFile::sha256() const {
  Sha256 sum;
  sum.update(contents_.file.data(), contents_.file.size());
  for (const FileBytes& shard : contents_.shards) sum.update(shard.data(), shard.size());
  return sum.hex();
}

std::vector<std::string> TensorFile::names() const {
  std::vector<std::string> names;
  for (const StoredTensor& t : contents_.tensors) names.push_back(t.name);
  return names;
}

const StoredTensor& TensorFile::info(const std::string& name) const {
  const auto it = index_.find(name);
  if (it == index_.end())
    fail(Exit::kBadData, "[{}] expected a tensor '{}', the file has none", path(), printable(name));
  return contents_.tensors[it->second];
}

Tensor TensorFile::read(const std::string& name) const { return to_tensor(info(name), 0); }

void TensorFile::read_pieces(const std::string& name, const std::function<void(const Tensor& piece)>& take) const {
  constexpr int64_t kPiece = int64_t{1} << 20;
  const StoredTensor& stored = info(name);
  const int64_t n = numel(stored.shape), element = bits_of(stored.dtype) / 8;
  const bool gaps = !stored.unpack && stored.strides != row_major_strides(stored.shape);
  if (gaps || n <= kPiece || !is_readable(stored.dtype)) return take(read(name));
  const auto next = stored.unpack ? stored.unpack() : nullptr;
  std::vector<std::byte> inflated;
  for (int64_t at = 0; at < n; at += kPiece) {
    const int64_t count = std::min(kPiece, n - at);
    StoredTensor piece = {name, stored.dtype, {count}, count * element, {1}, stored.first};
    if (next) {
      inflated.resize(static_cast<size_t>(piece.bytes));
      next(inflated);
      piece.first = inflated.data();
    } else {
      piece.first += at * element;
    }
    take(to_tensor(piece, at));
  }
}

// `first_element`: where in the tensor of this name it starts.
Tensor TensorFile::to_tensor(const StoredTensor& stored, int64_t first_element) const {
  if (stored.dtype == "F16") return converted<uint16_t, float>(stored, half_to_float);
  if (stored.dtype == "I8") return widened<int8_t, int32_t>(stored);
  if (stored.dtype == "I16") return widened<int16_t, int32_t>(stored);
  if (stored.dtype == "U16") return widened<uint16_t, int32_t>(stored);
  if (stored.dtype == "U32") return widened<uint32_t, int64_t>(stored);
  for (const auto& [file_type, dtype] : kSameTypes) {
    if (stored.dtype != file_type) continue;
    Tensor t = Tensor::empty(stored.shape, dtype);
    copy_elements(stored, t.raw());
    if (dtype == DType::kBool)
      for (int64_t i = 0; i < stored.bytes; ++i)
        if (const int value = std::to_integer<int>(t.raw()[i]); value > 1)
          fail(Exit::kBadData, "[{}] tensor '{}': element {} is {}, neither 0 nor 1", path(), printable(stored.name),
               first_element + i, value);
    return t;
  }
  fail(Exit::kBadData,
       "[{}] tensor '{}': expected F32, F64, F16, BF16, I32, I64, I16, I8, U8, U16, U32 or BOOL, got {}", path(),
       printable(stored.name), stored.dtype);
}

}  // namespace taut
