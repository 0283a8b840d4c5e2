#include "data/import/archive.h"

#include <archive.h>
#include <archive_entry.h>
#include <locale.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <filesystem>

#include "data/formats.h"
#include "data/import/entry_path.h"
#include "kernels/error.h"
#include "tensor/files/unpacking.h"

namespace taut {
namespace fs = std::filesystem;
namespace {

constexpr size_t kBlock = 1 << 20;

std::string printable(std::string_view text) {
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<uint8_t>(c);
    out += byte < 0x20 || byte >= 0x7F ? fmt::format("\\x{:02x}", byte) : std::string(1, c);
  }
  return out.substr(0, 300);
}

// What every reader checks of the entries it meets.
class Sentry {
 public:
  Sentry(std::string archive, int64_t packed) : archive_(std::move(archive)), packed_(packed) {}

  [[noreturn]] void refuse(std::string_view entry, const std::string& why) const {
    fail(Exit::kBadData, "[{}] entry '{}' {}", archive_, printable(entry), why);
  }

  // The path to use.
  std::string path(std::string_view raw) const {
    std::string clean = normalised_entry_path(raw);
    if (clean.empty()) return clean;
    if (const std::string fault = entry_path_fault(clean); !fault.empty()) refuse(raw, fault);
    return clean;
  }

  void count(std::string_view entry, int64_t bytes) {
    if (bytes < 0 || bytes > ArchiveLimits::kEntryBytes)
      refuse(entry,
             fmt::format("is announced with {} bytes; at most {} are accepted", bytes, ArchiveLimits::kEntryBytes));
    total_ += bytes;
    if (total_ > ArchiveLimits::kTotalBytes || is_bomb(packed_, total_))
      refuse(entry, fmt::format("makes {} bytes out of an archive of {}: a bomb", total_, packed_));
    if (++entries_ > ArchiveLimits::kEntries) refuse(entry, "is one entry too many");
  }

 private:
  std::string archive_;
  int64_t packed_, total_ = 0, entries_ = 0;
};

// While it lives, names that this thread asks libarchive for are UTF-8, whatever the user's locale. Not even that
// where the system has no such locale: then only names in ASCII can be told.
class Utf8Locale {
 public:
  Utf8Locale() : before_(::uselocale(utf8())) {}
  ~Utf8Locale() { ::uselocale(before_); }
  Utf8Locale(const Utf8Locale&) = delete;
  Utf8Locale& operator=(const Utf8Locale&) = delete;

 private:
  static locale_t utf8() {
    static const locale_t locale = ::newlocale(LC_CTYPE_MASK, "C.UTF-8", nullptr);
    return locale;
  }
  locale_t before_;
};

class PackedReader : public ArchiveReader {
 public:
  explicit PackedReader(const fs::path& file)
      : file_(file.string()),
        size_(static_cast<int64_t>(fs::file_size(file))),
        sentry_(file_, size_),
        archive_(archive_read_new(), archive_read_free) {
    const Utf8Locale names;
    archive* a = archive_.get();
    archive_read_support_filter_none(a);
    archive_read_support_filter_gzip(a);
    archive_read_support_filter_bzip2(a);
    archive_read_support_format_tar(a);
    archive_read_support_format_zip_seekable(a);  // by its directory; local headers may tell another story
    check(archive_read_open_filename(a, file_.c_str(), kBlock), "expected a tar, tar.gz or zip archive");
  }

  bool next(ArchiveEntry& entry) override {
    const Utf8Locale names;
    archive_entry* e = nullptr;
    const int status = archive_read_next_header(archive_.get(), &e);
    if (status == ARCHIVE_EOF) return false;
    if (status != ARCHIVE_OK && status != ARCHIVE_WARN)
      check(status, seen_ == 0 ? "expected a tar, tar.gz or zip archive" : "damaged after '" + entry_.path + "'");
    ++seen_;
    const char* raw = archive_entry_pathname(e);  // its bytes, unless the archive itself says that they are UTF-8
    // Null where the archive says so of other bytes; libarchive does not keep them.
    if (raw == nullptr) sentry_.refuse(fmt::format("number {}", seen_), "has a name that is not UTF-8");
    entry_ = {};
    entry_.path = sentry_.path(raw);
    const auto type = archive_entry_filetype(e);
    const bool is_link = archive_entry_hardlink(e) != nullptr || archive_entry_hardlink_utf8(e) != nullptr;
    if (is_link || type == AE_IFLNK) sentry_.refuse(raw, "is a link; links are refused");
    if (type != AE_IFREG && type != AE_IFDIR) sentry_.refuse(raw, "is a device or another special file");
    if (archive_entry_is_encrypted(e) != 0) sentry_.refuse(raw, "is encrypted");
    if (archive_entry_sparse_reset(e) > 0) sentry_.refuse(raw, "is a sparse file");
    entry_.is_folder = type == AE_IFDIR;
    if (entry_.path.empty() && !entry_.is_folder) sentry_.refuse(raw, "has no name");
    if (!entry_.is_folder) {
      if (archive_entry_size_is_set(e) == 0) sentry_.refuse(raw, "has no size");
      entry_.bytes = archive_entry_size(e);
      sentry_.count(raw, entry_.bytes);
    }
    entry = entry_;
    return true;
  }

  std::vector<uint8_t> read() override {
    std::vector<uint8_t> bytes(static_cast<size_t>(entry_.bytes) + 1);  // one more, to notice what was not announced
    size_t at = 0;
    while (at < bytes.size()) {
      const la_ssize_t n = archive_read_data(archive_.get(), bytes.data() + at, bytes.size() - at);
      if (n < 0) check(static_cast<int>(n), "entry '" + printable(entry_.path) + "' is damaged");
      if (n == 0) break;
      at += static_cast<size_t>(n);
    }
    if (static_cast<int64_t>(at) != entry_.bytes)
      sentry_.refuse(entry_.path, fmt::format("is announced with {} bytes and has {}", entry_.bytes,
                                              at > static_cast<size_t>(entry_.bytes) ? "more" : std::to_string(at)));
    bytes.pop_back();
    return bytes;
  }

  int64_t position() const override { return std::min(size_, archive_filter_bytes(archive_.get(), -1)); }
  int64_t size() const override { return size_; }

 private:
  void check(int status, const std::string& what) const {
    if (status == ARCHIVE_OK) return;
    const int code = archive_errno(archive_.get());
    const char* text = archive_error_string(archive_.get());
    fail(code == EIO || code == EACCES || code == EMFILE ? Exit::kIo : Exit::kBadData, "[{}] {}, got: {}", file_, what,
         text != nullptr ? printable(text) : "an unknown fault");
  }

  std::string file_;
  int64_t size_, seen_ = 0;
  Sentry sentry_;
  std::unique_ptr<archive, int (*)(archive*)> archive_;
  ArchiveEntry entry_;
};

// A folder as if it had been packed, without following a link.
class FolderReader : public ArchiveReader {
 public:
  explicit FolderReader(const fs::path& folder) : root_(folder), sentry_(folder.string(), 0) {
    const std::string name = folder_name(fs::absolute(folder));
    for (fs::recursive_directory_iterator it(folder), end; it != end; ++it) {
      const std::string inside = it->path().lexically_relative(folder).generic_string();
      ArchiveEntry entry{sentry_.path(name + "/" + inside), 0, false};
      if (it->is_symlink()) sentry_.refuse(inside, "is a link; links are refused");
      entry.is_folder = it->is_directory();
      if (!entry.is_folder && !it->is_regular_file()) sentry_.refuse(inside, "is a device or another special file");
      if (!entry.is_folder) entry.bytes = static_cast<int64_t>(it->file_size());
      if (entry.bytes > ArchiveLimits::kEntryBytes)
        sentry_.refuse(inside,
                       fmt::format("has {} bytes; at most {} are accepted", entry.bytes, ArchiveLimits::kEntryBytes));
      size_ += entry.bytes;
      entries_.push_back({std::move(entry), it->path()});
    }
    std::ranges::sort(entries_, {}, [](const Found& f) { return f.entry.path; });
  }
  bool next(ArchiveEntry& entry) override {
    if (at_ > 0) position_ += entries_[at_ - 1].entry.bytes;
    if (at_ == entries_.size()) return false;
    entry = entries_[at_++].entry;
    return true;
  }
  std::vector<uint8_t> read() override {
    const Found& f = entries_[at_ - 1];
    std::vector<uint8_t> bytes = read_bytes(f.file, ArchiveLimits::kEntryBytes);
    if (static_cast<int64_t>(bytes.size()) != f.entry.bytes) sentry_.refuse(f.entry.path, "changed while it was read");
    return bytes;
  }
  int64_t position() const override { return position_; }
  int64_t size() const override { return size_; }

 private:
  struct Found {
    ArchiveEntry entry;
    fs::path file;
  };
  fs::path root_;
  Sentry sentry_;
  std::vector<Found> entries_;
  size_t at_ = 0;
  int64_t position_ = 0, size_ = 0;
};

class FileReader : public ArchiveReader {
 public:
  explicit FileReader(const fs::path& file) : file_(file), size_(static_cast<int64_t>(fs::file_size(file))) {}
  bool next(ArchiveEntry& entry) override {
    if (done_) return false;
    done_ = true;
    entry = {Sentry(file_.string(), 0).path(file_.filename().string()), size_, false};
    return true;
  }
  std::vector<uint8_t> read() override { return read_bytes(file_, ArchiveLimits::kEntryBytes); }
  int64_t position() const override { return done_ ? size_ : 0; }
  int64_t size() const override { return size_; }

 private:
  fs::path file_;
  int64_t size_;
  bool done_ = false;
};

}  // namespace

bool is_single_file(const std::string& name) {
  const std::string lower = lower_case(name);
  return std::ranges::any_of(std::array{".txt", ".csv", ".mat", ".bin", "-ubyte", "-ubyte.gz"},
                             [&](const char* end) { return lower.ends_with(end); });
}

std::unique_ptr<ArchiveReader> open_archive(const std::string& path) {
  const fs::path file(path);
  if (!fs::exists(file)) fail(Exit::kMissing, "[{}] expected an archive or a folder, got none", path);
  if (fs::is_directory(file)) return std::make_unique<FolderReader>(file);
  if (!fs::is_regular_file(file)) fail(Exit::kBadData, "[{}] expected an archive or a folder, got neither", path);
  if (is_single_file(file.filename().string())) return std::make_unique<FileReader>(file);
  return std::make_unique<PackedReader>(file);
}

}  // namespace taut
