#include "tensor/safetensors.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <nlohmann/json.hpp>
#include <numeric>
#include <set>

#include "tensor/atomic_file.h"

namespace taut {
namespace {

constexpr uint64_t kMaxHeader = 100'000'000;  // the reference reader's
constexpr size_t kMaxTensors = 1'000'000;
constexpr size_t kMaxDims = 16;
constexpr size_t kMaxName = 4096;

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

const char* file_type(DType dtype) {
  switch (dtype) {
    case DType::kF32: return "F32";
    case DType::kF64: return "F64";
    case DType::kBF16: return "BF16";
    case DType::kI32: return "I32";
    case DType::kI64: return "I64";
    case DType::kU8: return "U8";
    case DType::kBool: return "BOOL";
  }
  fail(Exit::kUsage, "[safetensors] unknown dtype");
}

std::shared_ptr<const std::byte> map_file(const std::string& path, uint64_t& size) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) {
    const Exit code = errno == ENOENT || errno == ENOTDIR ? Exit::kMissing : Exit::kIo;
    fail(code, "[{}] cannot open: {}", path, std::strerror(errno));
  }
  struct stat status {};
  const bool regular = ::fstat(fd, &status) == 0 && S_ISREG(status.st_mode);
  size = regular ? static_cast<uint64_t>(status.st_size) : 0;
  void* memory = size >= 8 ? ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, fd, 0) : nullptr;
  const int error = errno;
  ::close(fd);
  if (!regular) fail(Exit::kBadData, "[{}] expected a regular file", path);
  if (size < 8) fail(Exit::kBadData, "[{}] expected a safetensors file, got {} bytes", path, size);
  if (memory == MAP_FAILED) fail(Exit::kIo, "[{}] cannot map: {}", path, std::strerror(error));
  return {static_cast<const std::byte*>(memory),
          [size](const std::byte* p) { ::munmap(const_cast<std::byte*>(p), size); }};
}

// The header, event by event. The level of nesting says what is being read: 1 the names, 2 the fields of an entry (or
// the metadata), 3 a list of numbers.
class HeaderReader : public nlohmann::json_sax<nlohmann::json> {
 public:
  explicit HeaderReader(const std::string& path) : path_(path) {}

  std::vector<StoredTensor> tensors;
  std::map<std::string, std::string> metadata;

  bool start_object(size_t) override {
    if (level_ > 1 || (level_ == 1 && list_)) bad("expected no object here");
    ++level_;
    return true;
  }
  bool end_object() override {
    --level_;
    if (level_ == 1 && !in_metadata_) finish_entry();
    return true;
  }
  bool key(std::string& key) override {
    if (level_ == 1) {
      name_ = key;
      if (key.size() > kMaxName) bad("its name is longer than {} bytes", kMaxName);
      if (!names_.insert(key).second) bad("its name appears twice");
      if (names_.size() > kMaxTensors) bad("expected at most {} tensors", kMaxTensors);
      in_metadata_ = key == "__metadata__";
      entry_ = {};
      entry_.name = key;
      offsets_.clear();
      fields_.clear();
      return true;
    }
    field_ = key;
    if (in_metadata_) {
      if (metadata.contains(key)) bad("key '{}' appears twice", key);
    } else {
      if (key != "dtype" && key != "shape" && key != "data_offsets") bad("unknown field '{}'", key);
      if (!fields_.insert(key).second) bad("field '{}' appears twice", key);
    }
    return true;
  }
  bool start_array(size_t) override {
    if (level_ != 2 || in_metadata_ || list_ || field_ == "dtype") bad("expected no array here");
    list_ = true;
    return true;
  }
  bool end_array() override {
    list_ = false;
    return true;
  }
  bool number_unsigned(uint64_t value) override {
    if (!list_) bad("expected no number here");
    if (value > uint64_t{INT64_MAX}) bad("number {} is out of range", value);
    if (field_ == "shape") {
      if (entry_.shape.size() == kMaxDims) bad("expected at most {} dimensions", kMaxDims);
      entry_.shape.push_back(static_cast<int64_t>(value));
    } else {
      if (offsets_.size() == 2) bad("expected two data_offsets");
      offsets_.push_back(static_cast<int64_t>(value));
    }
    return true;
  }
  bool string(std::string& value) override {
    if (level_ == 2 && in_metadata_) {
      metadata[field_] = value;
    } else if (level_ == 2 && field_ == "dtype" && !list_) {
      entry_.dtype = value;
    } else {
      bad("expected no string here");
    }
    return true;
  }
  bool number_integer(int64_t value) override { bad("expected unsigned integers, got {}", value); }
  bool number_float(double, const std::string& text) override { bad("expected unsigned integers, got {}", text); }
  bool null() override { bad("expected no null"); }
  bool boolean(bool) override { bad("expected no boolean"); }
  bool binary(nlohmann::json::binary_t&) override { bad("expected no binary value"); }
  bool parse_error(size_t position, const std::string&, const nlohmann::detail::exception&) override {
    fail(Exit::kBadData, "[{}] the header is not valid JSON, at byte {}", path_, position);
  }

 private:
  template <class... Args>
  [[noreturn]] void bad(fmt::format_string<Args...> format, Args&&... args) {
    const std::string what = fmt::format(format, std::forward<Args>(args)...);
    if (level_ == 0) fail(Exit::kBadData, "[{}] expected a JSON object as header", path_);
    fail(Exit::kBadData, "[{}] tensor '{}': {}", path_, name_, what);
  }

  void finish_entry() {
    if (fields_.size() != 3) bad("expected the fields dtype, shape and data_offsets");
    if (offsets_.size() != 2) bad("expected two data_offsets, got {}", offsets_.size());
    if (offsets_[1] < offsets_[0]) bad("data_offsets end before they begin");
    const auto type = std::find_if(std::begin(kFileTypes), std::end(kFileTypes),
                                   [&](const FileType& t) { return entry_.dtype == t.name; });
    if (type == std::end(kFileTypes)) bad("unknown dtype '{}'", entry_.dtype);
    int64_t bits = type->bits;
    for (const int64_t n : entry_.shape)
      if (__builtin_mul_overflow(bits, n, &bits)) bad("its shape {} overflows", to_string(entry_.shape));
    entry_.begin = offsets_[0];
    entry_.bytes = offsets_[1] - offsets_[0];
    if (bits % 8 != 0 || bits / 8 != entry_.bytes)
      bad("{} of shape {} takes {} bits, data_offsets give {} bytes", entry_.dtype, to_string(entry_.shape), bits,
          entry_.bytes);
    tensors.push_back(std::move(entry_));
  }

  const std::string& path_;
  int level_ = 0;
  bool list_ = false, in_metadata_ = false;
  std::string name_, field_;
  std::set<std::string> names_, fields_;
  StoredTensor entry_;
  std::vector<int64_t> offsets_;
};

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

}  // namespace

SafetensorsFile SafetensorsFile::open(const std::string& path) {
  SafetensorsFile file;
  file.path_ = path;
  uint64_t size = 0;
  file.memory_ = map_file(path, size);
  uint64_t header = 0;
  std::memcpy(&header, file.memory_.get(), 8);
  if (header > kMaxHeader || header > size - 8)
    fail(Exit::kBadData, "[{}] expected a safetensors file; its header would have {} bytes, the file has {}", path,
         header, size);
  const auto* text = reinterpret_cast<const char*>(file.memory_.get()) + 8;
  // The parser takes a NUL for the end of its input and skips a byte order mark; the format knows neither.
  const char* nul = static_cast<const char*>(std::memchr(text, 0, header));
  if (nul != nullptr) fail(Exit::kBadData, "[{}] the header is not valid JSON, at byte {}", path, nul - text);
  if (header == 0 || *text == '\xEF') fail(Exit::kBadData, "[{}] expected a JSON object as header", path);
  HeaderReader reader(file.path_);
  nlohmann::json::sax_parse(text, text + header, &reader);
  file.tensors_ = std::move(reader.tensors);
  file.metadata_ = std::move(reader.metadata);

  std::vector<const StoredTensor*> in_order;
  for (size_t i = 0; i < file.tensors_.size(); ++i) {
    in_order.push_back(&file.tensors_[i]);
    file.index_[file.tensors_[i].name] = i;
  }
  std::sort(in_order.begin(), in_order.end(), [](const StoredTensor* a, const StoredTensor* b) {
    return std::pair(a->begin, a->bytes) < std::pair(b->begin, b->bytes);
  });
  int64_t end = 0;
  for (const StoredTensor* t : in_order) {
    if (t->begin != end)
      fail(Exit::kBadData, "[{}] tensor '{}': expected its data at byte {}, got {}: a hole or an overlap", path,
           t->name, end, t->begin);
    end += t->bytes;
  }
  file.data_begin_ = static_cast<int64_t>(8 + header);
  const uint64_t have = size - 8 - header;
  if (static_cast<uint64_t>(end) != have)
    fail(Exit::kBadData, "[{}] expected {} bytes of tensors, got {}; hint: the file is {}", path, end, have,
         have < static_cast<uint64_t>(end) ? "cut off" : "followed by something else");
  return file;
}

std::vector<std::string> SafetensorsFile::names() const {
  std::vector<std::string> names;
  for (const StoredTensor& t : tensors_) names.push_back(t.name);
  return names;
}

const StoredTensor& SafetensorsFile::info(const std::string& name) const {
  const auto it = index_.find(name);
  if (it == index_.end()) fail(Exit::kBadData, "[{}] expected a tensor '{}', the file has none", path_, name);
  return tensors_[it->second];
}

Tensor SafetensorsFile::read(const std::string& name) const {
  const StoredTensor& stored = info(name);
  const std::byte* from = memory_.get() + data_begin_ + stored.begin;
  if (stored.dtype == "F16") {
    Tensor t = Tensor::empty(stored.shape, DType::kF32);
    for (float& y : t.span<float>()) {
      uint16_t bits;
      std::memcpy(&bits, from, 2);
      from += 2;
      y = half_to_float(bits);
    }
    return t;
  }
  for (const DType dtype :
       {DType::kF32, DType::kF64, DType::kBF16, DType::kI32, DType::kI64, DType::kU8, DType::kBool}) {
    if (stored.dtype != file_type(dtype)) continue;
    if (dtype == DType::kBool && std::any_of(from, from + stored.bytes, [](std::byte b) { return b > std::byte{1}; }))
      fail(Exit::kBadData, "[{}] tensor '{}': a BOOL is neither 0 nor 1", path_, name);
    Tensor t = Tensor::empty(stored.shape, dtype);
    if (stored.bytes > 0) std::memcpy(t.raw(), from, static_cast<size_t>(stored.bytes));
    return t;
  }
  fail(Exit::kBadData, "[{}] tensor '{}': expected F32, F64, F16, BF16, I32, I64, U8 or BOOL, got {}", path_, name,
       stored.dtype);
}

void write_safetensors(const std::string& path, const std::vector<std::pair<std::string, Tensor>>& tensors,
                       const std::map<std::string, std::string>& metadata) {
  std::vector<std::pair<std::string, Tensor>> sorted;
  for (const auto& [name, tensor] : tensors) sorted.emplace_back(name, tensor.contiguous());
  std::sort(sorted.begin(), sorted.end(), [](const auto& a, const auto& b) {
    const int64_t wide_a = size_of(a.second.dtype()), wide_b = size_of(b.second.dtype());
    return wide_a != wide_b ? wide_a > wide_b : a.first < b.first;
  });
  nlohmann::ordered_json header = nlohmann::ordered_json::object();
  if (!metadata.empty()) header["__metadata__"] = metadata;
  int64_t end = 0;
  for (const auto& [name, tensor] : sorted) {
    TAUT_CHECK(name != "__metadata__" && !header.contains(name),
               "[{}] tensor '{}' is given twice or has a reserved name", path, name);
    header[name] = {
        {"dtype", file_type(tensor.dtype())}, {"shape", tensor.shape()}, {"data_offsets", {end, end + tensor.bytes()}}};
    end += tensor.bytes();
  }
  std::string text;
  try {
    text = header.dump();
  } catch (const nlohmann::json::exception&) {
    fail(Exit::kUsage, "[{}] expected names and metadata in UTF-8", path);
  }
  text.append((8 - text.size() % 8) % 8, ' ');
  const uint64_t length = text.size();
  std::vector<std::span<const std::byte>> parts{std::as_bytes(std::span(&length, 1)),
                                                std::as_bytes(std::span(text.data(), text.size()))};
  for (const auto& [name, tensor] : sorted) parts.emplace_back(tensor.raw(), static_cast<size_t>(tensor.bytes()));
  write_file_atomically(path, parts);
}

}  // namespace taut
