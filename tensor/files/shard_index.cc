#include "tensor/files/shard_index.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>

#include "kernels/error.h"
#include "tensor/files/stored_tensor.h"

namespace taut {
namespace {

constexpr uint64_t kMaxIndex = 100'000'000;  // bytes

// Event by event, so that nesting costs nothing. Level 1: "metadata" and "weight_map"; level 2: their entries.
class IndexReader : public nlohmann::json_sax<nlohmann::json> {
 public:
  explicit IndexReader(const std::string& path) : path_(path) {}
  ShardIndex index;
  bool has_map = false;

  bool start_object(size_t) override {
    if (level_ == 2) bad("expected no object here");
    ++level_;
    return true;
  }
  bool end_object() override {
    --level_;
    return true;
  }
  bool key(std::string& key) override {
    if (level_ == 1) {
      part_ = key;
      key_.clear();
      if (key != "metadata" && key != "weight_map")
        bad("unknown entry; expected metadata and weight_map, the index of a model in several files");
      if (!parts_.insert(key).second) bad("it appears twice");
      has_map = has_map || key == "weight_map";
    } else {
      key_ = key;
      if (key.size() > kMaxTensorName) bad("the name is longer than {} bytes", kMaxTensorName);
      if (part_ == "metadata" ? index.metadata.contains(key) : index.file_of.contains(key)) bad("it appears twice");
      if (index.file_of.size() == kMaxFileTensors) bad("expected at most {} tensors", kMaxFileTensors);
    }
    return true;
  }
  bool string(std::string& value) override {
    if (level_ != 2) bad("expected an object");
    if (part_ == "metadata") return note(value);
    const bool plain = !value.empty() && value != "." && value != ".." && value.size() <= 255 &&
                       value.find_first_of(std::string_view("/\\\0", 3)) == std::string::npos;
    if (!plain) bad("expected the plain name of a file beside the index, got '{}'", printable(value));
    index.file_of[key_] = value;
    return true;
  }
  bool number_unsigned(uint64_t value) override { return note(std::to_string(value)); }
  bool number_integer(int64_t value) override { return note(std::to_string(value)); }
  bool number_float(double, const std::string& text) override { return note(text); }
  bool boolean(bool value) override { return note(value ? "true" : "false"); }
  bool null() override { return note("null"); }
  bool binary(nlohmann::json::binary_t&) override { bad("expected no binary value"); }
  bool start_array(size_t) override { bad("expected no array"); }
  bool end_array() override { return true; }
  bool parse_error(size_t position, const std::string&, const nlohmann::detail::exception&) override {
    fail(Exit::kBadData, "[{}] the index is not valid JSON, at byte {}", path_, position);
  }

 private:
  template <class... Args>
  [[noreturn]] void bad(fmt::format_string<Args...> format, Args&&... args) const {
    const std::string where =
        level_ == 0 ? "index" : printable(part_) + (key_.empty() ? "" : ", '" + printable(key_) + "'");
    fail(Exit::kBadData, "[{}] {}: {}", path_, where, fmt::format(format, std::forward<Args>(args)...));
  }
  bool note(const std::string& value) {
    if (level_ != 2) bad("expected an object");
    if (part_ != "metadata") bad("expected the name of a file");
    index.metadata[key_] = value;
    return true;
  }

  const std::string& path_;
  int level_ = 0;
  std::string part_, key_;
  std::set<std::string> parts_;
};

}  // namespace

bool looks_like_shard_index(const FileBytes& file) {
  const std::string_view start = file.text(0, std::min<uint64_t>(file.size(), 64));
  const size_t first = start.find_first_not_of(" \t\r\n");
  return first != std::string_view::npos && start[first] == '{';
}

ShardIndex parse_shard_index(const FileBytes& file) {
  if (file.size() > kMaxIndex)
    fail(Exit::kBadData, "[{}] expected an index of at most {} bytes, got {}", file.path(), kMaxIndex, file.size());
  const std::string_view text = file.text(0, file.size());
  // The parser would take a NUL for the end and skip a byte order mark.
  if (const size_t nul = text.find('\0'); nul != std::string_view::npos || !looks_like_shard_index(file))
    fail(Exit::kBadData, "[{}] the index is not valid JSON, at byte {}", file.path(),
         nul == std::string_view::npos ? 0 : nul);
  IndexReader reader(file.path());
  nlohmann::json::sax_parse(text.begin(), text.end(), &reader);
  if (!reader.has_map || reader.index.file_of.empty())
    fail(Exit::kBadData, "[{}] expected the index of a model in several files, with a weight_map", file.path());
  return std::move(reader.index);
}

}  // namespace taut
