#include "tests/fuzz/folder.h"

#include <unistd.h>

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>

#include "tensor/files/stored_tensor.h"
#include "tests/fuzz/build_files.h"

namespace taut::fuzz {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kMark = "== ", kTensors = "tensors\n";

// Takes a line off the front.
std::string_view line_of(std::string_view& text) {
  const size_t end = std::min(text.find('\n'), text.size());
  const std::string_view line = text.substr(0, end);
  text.remove_prefix(std::min(end + 1, text.size()));
  return line;
}

// As JSON has it. Most names are plain, and only the others are worth the library's time.
std::string json_text(std::string_view text) {
  const auto is_plain = [](char c) { return c >= ' ' && c <= '~' && c != '"' && c != '\\'; };
  if (std::all_of(text.begin(), text.end(), is_plain)) return fmt::format("\"{}\"", text);
  return nlohmann::json(text).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

}  // namespace

std::vector<FilePart> split_files(std::string_view input) {
  std::vector<FilePart> files;
  const auto next_mark = [&](size_t from) {
    for (size_t at = input.find(kMark, from); at != std::string_view::npos; at = input.find(kMark, at + 1))
      if (at == 0 || input[at - 1] == '\n') return at;
    return std::string_view::npos;
  };
  for (size_t at = next_mark(0); at != std::string_view::npos;) {
    const size_t next = next_mark(at + kMark.size());
    std::string_view part =
        input.substr(at + kMark.size(), next == std::string_view::npos ? next : next - at - kMark.size());
    const std::string_view name = line_of(part);
    if (next != std::string_view::npos && part.ends_with('\n')) part.remove_suffix(1);
    files.push_back({std::string(name), std::string(part)});
    at = next;
  }
  return files;
}

std::string join_files(const std::vector<FilePart>& files) {
  std::string text;
  for (const FilePart& f : files) text += (text.empty() ? "== " : "\n== ") + f.name + "\n" + f.bytes;
  return text;
}

std::string weights_of(std::string_view text) {
  if (!text.starts_with(kTensors) && text != kTensors.substr(0, kTensors.size() - 1)) return std::string(text);
  text.remove_prefix(std::min(kTensors.size(), text.size()));
  constexpr int64_t kMostBytes = 1 << 20;
  std::string header, metadata;
  int64_t end = 0;
  while (!text.empty()) {
    const std::string_view line = line_of(text);
    if (line.starts_with('@')) {
      const size_t key = std::min(line.find(' '), line.size());
      metadata += fmt::format("{}{}:{}", metadata.empty() ? "" : ",", json_text(line.substr(1, key - 1)),
                              json_text(line.substr(std::min(key + 1, line.size()))));
      continue;
    }
    const size_t dtype = line.find(' '), shape = line.find(' ', std::min(dtype, line.size() - 1) + 1);
    if (line.empty() || dtype == std::string_view::npos) continue;
    Shape sizes;
    if (shape != std::string_view::npos) {
      for (const char *at = line.data() + shape + 1, *stop = line.data() + line.size(); at < stop; ++at) {
        int64_t n = 0;
        at = std::from_chars(at, stop, n).ptr;
        sizes.push_back(std::max<int64_t>(n, 0));
      }
    }
    const std::string type(line.substr(dtype + 1, shape == std::string_view::npos ? shape : shape - dtype - 1));
    const int64_t bytes = sizes.size() > kMaxFileDims ? 0 : std::max<int64_t>(bits_of(type, sizes) / 8, 0);
    fmt::format_to(std::back_inserter(header), R"({}{}:{{"dtype":{},"shape":[{}],"data_offsets":[{},{}]}})",
                   header.empty() ? "" : ",", json_text(line.substr(0, dtype)), json_text(type), fmt::join(sizes, ","),
                   end, end + bytes);
    end += std::min(bytes, kMostBytes + 1);
  }
  if (!metadata.empty())
    header = fmt::format(R"("__metadata__":{{{}}}{}{})", metadata, header.empty() ? "" : ",", header);
  return safetensors("{" + header + "}", end > kMostBytes ? 0 : static_cast<size_t>(end));
}

Scratch::Scratch() {
  static int made = 0;
  path_ = fs::temp_directory_path() / fmt::format("taut-fuzz-{}-{}", ::getpid(), made++);
  fs::create_directories(path_);
}
Scratch::~Scratch() {
  std::error_code ignored;
  fs::remove_all(path_, ignored);
}

void Scratch::fill(const std::vector<FilePart>& files) const {
  for (const auto& entry : fs::directory_iterator(path_)) fs::remove_all(entry.path());
  for (const FilePart& f : files) {
    constexpr std::string_view kPlain = "abcdefghijklmnopqrstuvwxyz_./";
    if (f.name.empty() || f.name.size() > 64 || f.name.find_first_not_of(kPlain) != std::string::npos ||
        f.name.find("..") != std::string::npos || f.name.front() == '/' || f.name.back() == '/')
      continue;
    std::error_code taken;  // a mutation may name a file and a folder alike
    if (f.name.find('/') != std::string::npos) fs::create_directories((path_ / f.name).parent_path(), taken);
    std::ofstream(path_ / f.name, std::ios::binary) << f.bytes;
  }
}

}  // namespace taut::fuzz
