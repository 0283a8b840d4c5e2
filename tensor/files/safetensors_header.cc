#include "tensor/files/safetensors_header.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <numeric>
#include <set>

#include "kernels/error.h"

namespace taut {
namespace {

constexpr uint64_t kMaxHeader = 100'000'000;  // the reference reader's

// The header, event by event. The level of nesting says what is being read: 1 the names, 2 the fields of an entry (or
// the metadata), 3 a list of numbers.
class HeaderReader : public nlohmann::json_sax<nlohmann::json> {
 public:
  explicit HeaderReader(const std::string& path) : path_(path) {}

  std::vector<StoredTensor> tensors;
  std::vector<int64_t> begins;  // of the tensors, in the data section
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
      if (key.size() > kMaxTensorName) bad("its name is longer than {} bytes", kMaxTensorName);
      if (!names_.insert(key).second) bad("its name appears twice");
      if (names_.size() > kMaxFileTensors) bad("expected at most {} tensors", kMaxFileTensors);
      in_metadata_ = key == "__metadata__";
      entry_ = {};
      entry_.name = key;
      offsets_.clear();
      fields_.clear();
      return true;
    }
    field_ = key;
    if (in_metadata_) {
      if (metadata.contains(key)) bad("key '{}' appears twice", printable(key));
    } else {
      if (key != "dtype" && key != "shape" && key != "data_offsets") bad("unknown field '{}'", printable(key));
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
      if (entry_.shape.size() == kMaxFileDims) bad("expected at most {} dimensions", kMaxFileDims);
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
  bool number_integer(int64_t value) override {  // of numbers with a sign
    bad("expected unsigned integers, got {}", value == 0 ? "-0" : std::to_string(value));
  }
  bool number_float(double, const std::string& text) override { bad("expected unsigned integers, got {}", text); }
  bool null() override {
    if (level_ != 1 || !in_metadata_) bad("expected no null");
    return true;  // no metadata, as the reference reader takes it
  }
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
    fail(Exit::kBadData, "[{}] tensor '{}': {}", path_, printable(name_), what);
  }

  void finish_entry() {
    if (fields_.size() != 3) bad("expected the fields dtype, shape and data_offsets");
    if (offsets_.size() != 2) bad("expected two data_offsets, got {}", offsets_.size());
    if (offsets_[1] < offsets_[0]) bad("data_offsets end before they begin");
    if (bits_of(entry_.dtype) == 0) bad("unknown dtype '{}'", printable(entry_.dtype));
    const int64_t bits = bits_of(entry_.dtype, entry_.shape);
    if (bits < 0) bad("its shape {} overflows", to_string(entry_.shape));
    entry_.bytes = offsets_[1] - offsets_[0];
    if (bits % 8 != 0 || bits / 8 != entry_.bytes)
      bad("{} of shape {} takes {} bits, data_offsets give {} bytes", entry_.dtype, to_string(entry_.shape), bits,
          entry_.bytes);
    entry_.strides = row_major_strides(entry_.shape);
    tensors.push_back(std::move(entry_));
    begins.push_back(offsets_[0]);
  }

  const std::string& path_;
  int level_ = 0;
  bool list_ = false, in_metadata_ = false;
  std::string name_, field_;
  std::set<std::string> names_, fields_;
  StoredTensor entry_;
  std::vector<int64_t> offsets_;
};

}  // namespace

bool looks_like_safetensors(const FileBytes& file) {
  if (file.size() < 9) return false;
  // Eight printable bytes are a text, perhaps JSON; as a length they would be far over kMaxHeader.
  const std::string_view length = file.text(0, 8);
  if (std::all_of(length.begin(), length.end(),
                  [](char c) { return (c >= ' ' && c <= '~') || c == '\n' || c == '\r' || c == '\t'; }))
    return false;
  const std::string_view start = file.text(8, std::min<uint64_t>(file.size() - 8, 64));
  const size_t first = start.find_first_not_of(" \t\n\r");
  return first != std::string_view::npos && start[first] == '{';
}

FileContents parse_safetensors(FileBytes bytes) {
  const std::string& path = bytes.path();
  const uint64_t size = bytes.size();
  if (size < 8) fail(Exit::kBadData, "[{}] expected a safetensors file, got {} bytes", path, size);
  const uint64_t header = load<uint64_t>(bytes.data());
  if (header > kMaxHeader || header > size - 8)
    fail(Exit::kBadData, "[{}] expected a safetensors file; its header would have {} bytes, the file has {}", path,
         header, size);
  const std::string_view text = bytes.text(8, header);
  // The parser takes a NUL for the end of its input and skips a byte order mark; the format knows neither.
  const size_t nul = text.find('\0');
  if (nul != std::string_view::npos) fail(Exit::kBadData, "[{}] the header is not valid JSON, at byte {}", path, nul);
  if (text.empty() || text[0] == '\xEF') fail(Exit::kBadData, "[{}] expected a JSON object as header", path);
  HeaderReader reader(path);
  nlohmann::json::sax_parse(text.begin(), text.end(), &reader);

  std::vector<size_t> in_order(reader.tensors.size());
  std::iota(in_order.begin(), in_order.end(), size_t{0});
  std::sort(in_order.begin(), in_order.end(), [&](size_t a, size_t b) {
    return std::pair(reader.begins[a], reader.tensors[a].bytes) < std::pair(reader.begins[b], reader.tensors[b].bytes);
  });
  int64_t end = 0;
  for (const size_t i : in_order) {
    if (reader.begins[i] != end)
      fail(Exit::kBadData, "[{}] tensor '{}': expected its data at byte {}, got {}: a hole or an overlap", path,
           printable(reader.tensors[i].name), end, reader.begins[i]);
    end += reader.tensors[i].bytes;
  }
  const uint64_t have = size - 8 - header;
  if (static_cast<uint64_t>(end) != have)
    fail(Exit::kBadData, "[{}] expected {} bytes of tensors, got {}; hint: the file is {}", path, end, have,
         have < static_cast<uint64_t>(end) ? "cut off" : "followed by something else");
  for (size_t i = 0; i < in_order.size(); ++i) reader.tensors[i].first = bytes.data() + 8 + header + reader.begins[i];
  return {std::move(bytes), "safetensors", std::move(reader.tensors), std::move(reader.metadata)};
}

}  // namespace taut
