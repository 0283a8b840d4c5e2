#include "tensor/files/npy.h"

#include <algorithm>
#include <charconv>

#include "kernels/error.h"

namespace taut {
namespace {

constexpr size_t kMaxHeader = 10'000;  // as NumPy's reader; every plain array needs far less
constexpr size_t kPreamble = 12;       // at most: magic, version, length

struct Header {
  std::string dtype;  // as safetensors spells it
  Shape shape;
  uint64_t length = 0;  // of preamble and header: where the elements begin
};

// The header's text, a Python dict of three entries, read strictly.
class HeaderText {
 public:
  // `at` is where the text begins in the file or entry.
  HeaderText(std::string_view text, std::string where, uint64_t at)
      : text_(text), where_(std::move(where)), begin_(at) {}

  Header parse(const NpyOptions& options) {
    Header header;
    bool has_type = false, has_order = false, has_shape = false;
    expect('{');
    while (!accept('}')) {
      const std::string key = quoted();
      expect(':');
      bool* seen = key == "descr"           ? &has_type
                   : key == "fortran_order" ? &has_order
                   : key == "shape"         ? &has_shape
                                            : nullptr;
      if (seen == nullptr) bad("unknown entry '{}'", printable(key));
      if (*seen) bad("entry '{}' appears twice", key);
      *seen = true;
      if (seen == &has_type) header.dtype = dtype(options);
      if (seen == &has_order) order();
      if (seen == &has_shape) header.shape = shape();
      if (!accept(',') && peek() != '}') bad("expected , or }}");
    }
    if (!has_type || !has_order || !has_shape) bad("expected the entries descr, fortran_order and shape");
    if (peek() != 0 || text_.back() != '\n') bad("expected nothing but spaces and a line feed after the header");
    if (bits_of(header.dtype, header.shape) < 0) bad("the shape {} overflows", to_string(header.shape));
    return header;
  }

  template <class... Args>
  [[noreturn]] void bad(fmt::format_string<Args...> format, Args&&... args) const {
    fail(Exit::kBadData, "{}: the array's header at byte {}: {}", where_, begin_ + at_,
         fmt::format(format, std::forward<Args>(args)...));
  }

 private:
  // The next character that is not a space, 0 at the end.
  char peek() {
    while (at_ < text_.size() && (text_[at_] == ' ' || (text_[at_] == '\n' && at_ + 1 == text_.size()))) ++at_;
    return at_ < text_.size() ? text_[at_] : '\0';
  }
  bool accept(char c) {
    if (peek() != c) return false;
    ++at_;
    return true;
  }
  void expect(char c) {
    if (!accept(c)) bad("expected {}", c);
  }
  std::string quoted() {
    const char quote = peek();
    if (quote != '\'' && quote != '"') bad("expected a text in quotes");
    const size_t end = text_.find(quote, at_ + 1);
    if (end == std::string_view::npos) bad("a text has no end");
    const std::string text(text_.substr(at_ + 1, end - at_ - 1));
    if (text.find('\\') != std::string::npos) bad("expected a text without escapes");
    at_ = end + 1;
    return text;
  }
  std::string dtype(const NpyOptions& options) {
    if (peek() == '[') bad("expected an array of numbers, got a structured dtype");
    const std::string descr = quoted();
    struct Type {
      const char *descr, *dtype;
    };
    constexpr Type kTypes[] = {{"<f4", "F32"}, {"<f2", "F16"}, {"<f8", "F64"}, {"<i8", "I64"},
                               {"<i4", "I32"}, {"|u1", "U8"},  {"|b1", "BOOL"}};
    for (const Type& t : kTypes)
      if (descr == t.descr) return t.dtype;
    const bool bfloat = descr == "|V2" || descr == "<V2";
    if (bfloat && options.v2_is_bf16) return "BF16";
    bad("expected '<f4', '<f2', '<f8', '<i8', '<i4', '|u1' or '|b1', got '{}'{}", printable(descr),
        bfloat ? "; hint: it may be bfloat16; taut weights convert --v2-is-bf16 reads it as that"
        : descr.starts_with('|') && descr.find('O') == 1 ? ": objects are pickles, which are not run"
        : descr.starts_with('>')                         ? "; hint: save x.astype(x.dtype.newbyteorder('<'))"
                                                         : "");
  }
  void order() {
    peek();
    if (text_.substr(at_).starts_with("True")) bad("expected C order; hint: save numpy.ascontiguousarray(x)");
    if (!text_.substr(at_).starts_with("False")) bad("expected True or False");
    at_ += 5;
  }
  Shape shape() {
    Shape shape;
    expect('(');
    while (!accept(')')) {
      if (shape.size() == kMaxFileDims) bad("expected at most {} dimensions", kMaxFileDims);
      peek();
      int64_t n = -1;
      const char* begin = text_.data() + at_;
      const auto [end, error] = std::from_chars(begin, text_.data() + text_.size(), n);
      if (error != std::errc{} || n < 0 || *begin == '-') bad("expected a size");
      at_ += static_cast<size_t>(end - begin);
      shape.push_back(n);
      if (!accept(',') && (peek() != ')' || shape.size() == 1)) bad("expected , or )");
    }
    return shape;
  }

  std::string_view text_;
  std::string where_;
  uint64_t begin_;
  size_t at_ = 0;
};

// `start` is the beginning of the array's `size` bytes: all of them, or at least preamble and longest header.
Header parse_header(std::string_view start, uint64_t size, const std::string& where, const NpyOptions& options) {
  if (!start.starts_with("\x93NUMPY") || start.size() < kPreamble)
    fail(Exit::kBadData, "{}: expected an array of NumPy", where);
  const int version = static_cast<unsigned char>(start[6]);
  if (version < 1 || version > 3 || start[7] != 0)
    fail(Exit::kBadData, "{}: expected format version 1.0, 2.0 or 3.0 at byte 6, got {}.{}", where, version,
         static_cast<unsigned char>(start[7]));
  const uint64_t begin = version == 1 ? 10 : 12;
  const uint64_t length = version == 1 ? load<uint16_t>(start, 8) : load<uint32_t>(start, 8);
  if (length > kMaxHeader || length > size - begin)
    fail(Exit::kBadData, "{}: expected a header of at most {} bytes at byte {}, got {}", where,
         std::min<uint64_t>(kMaxHeader, size - begin), begin, length);
  HeaderText text(start.substr(begin, length), where, begin);
  Header header = text.parse(options);
  header.length = begin + length;
  const uint64_t bytes = static_cast<uint64_t>(bits_of(header.dtype, header.shape)) / 8;
  if (size - header.length != bytes)
    fail(Exit::kBadData, "{}: expected {} bytes of elements from byte {} ({} of {}), got {}", where, bytes,
         header.length, to_string(header.shape), header.dtype, size - header.length);
  return header;
}

StoredTensor array(std::string name, const Header& header, const std::byte* elements) {
  StoredTensor t{.name = std::move(name), .dtype = header.dtype, .shape = header.shape};
  t.bytes = bits_of(t.dtype, t.shape) / 8;
  t.strides = row_major_strides(t.shape);
  t.first = elements;
  return t;
}

}  // namespace

FileContents parse_npy(FileBytes file, const NpyOptions& options) {
  const Header header = parse_header(file.text(0, file.size()), file.size(), fmt::format("[{}]", file.path()), options);
  const std::byte* elements = file.data() + header.length;
  std::string name = stem(file);
  return {std::move(file), "npy", {array(std::move(name), header, elements)}, {}};
}

FileContents parse_npz(const ZipArchive& zip, const NpyOptions& options) {
  FileContents contents{zip.file(), "npz", {}, {}};
  constexpr std::string_view kEnding = ".npy";
  if (zip.entries().empty())
    fail(Exit::kBadData, "[{}] expected arrays of NumPy, got an empty archive", zip.file().path());
  for (const ZipEntry& e : zip.entries()) {
    const std::string where = fmt::format("[{}] zip entry '{}'", zip.file().path(), printable(e.name));
    if (!e.name.ends_with(kEnding)) fail(Exit::kBadData, "{}: expected NAME.npy", where);
    std::vector<std::byte> start;
    std::string_view text;
    if (e.deflated) {
      start.resize(std::min<uint64_t>(e.size, kPreamble + kMaxHeader));
      Inflater(zip.file(), e).read(start);
      text = {reinterpret_cast<const char*>(start.data()), start.size()};
    } else {
      text = zip.stored(e);
    }
    const Header header = parse_header(text, e.size, where, options);
    const std::byte* elements = e.deflated ? nullptr : zip.file().data() + e.begin + header.length;
    StoredTensor t = array(e.name.substr(0, e.name.size() - kEnding.size()), header, elements);
    if (e.deflated)
      t.unpack = [file = zip.file(), e, length = header.length] {
        const auto inflater = std::make_shared<Inflater>(file, e);
        std::vector<std::byte> skipped(length);
        inflater->read(skipped);
        return [inflater](std::span<std::byte> to) { inflater->read(to); };
      };
    contents.tensors.push_back(std::move(t));
  }
  return contents;
}

}  // namespace taut
