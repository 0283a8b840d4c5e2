#include "data/import/import.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <set>
#include <unordered_map>

#include "data/decode.h"
#include "data/decode_isolated.h"
#include "data/formats.h"
#include "data/import/archive.h"
#include "data/import/entry_path.h"
#include "data/import/known.h"
#include "data/import/layout.h"
#include "data/import/target.h"
#include "kernels/error.h"
#include "kernels/parallel.h"
#include "tensor/sha256.h"

namespace taut {
namespace fs = std::filesystem;
namespace {

constexpr int64_t kListBytes = int64_t{256} << 20;  // of one list
constexpr int64_t kBatchBytes = int64_t{64} << 20;  // of files in memory at a time
constexpr int64_t kBlock = 4096, kManifestLine = 256;

std::string megabytes(int64_t bytes) { return fmt::format("{:.1f} MB", static_cast<double>(bytes) / 1e6); }

int64_t free_bytes_of(const std::string& folder) {
  struct statvfs s {};
  if (::statvfs(folder.c_str(), &s) != 0)
    fail(Exit::kIo, "[{}] expected a folder, got: {}", folder, std::strerror(errno));
  return static_cast<int64_t>(s.f_bavail) * static_cast<int64_t>(s.f_frsize);
}

// A file read from an archive, and what became of it.
struct Read {
  std::string path;
  std::vector<uint8_t> bytes;
  Layout::Use use = Layout::Use::kImage;
  std::string sha256, fault;
  bool is_there = false;
};

class Import {
 public:
  explicit Import(const ImportOptions& options)
      : options_(options), known_(known_dataset(options.name)), layout_(layout_of(options.name)) {
    TAUT_CHECK(!options.archives.empty(), "[data import] expected at least one archive of {}: {}", known_.name,
               known_.archives);
    TAUT_CHECK(!options.out.empty(), "[--out] expected a folder");
    fs::path out = fs::absolute(options.out).lexically_normal();
    if (!out.has_filename()) out = out.parent_path();
    out_ = out;
    partial_ = out.string() + ".partial";
    for (const std::string& archive : options.archives)
      if (!fs::exists(archive)) fail(Exit::kMissing, "[{}] expected an archive or a folder, got none", archive);
    manifest_.name = known_.name;
    manifest_.layout = "images";
    manifest_.seed = options.seed;
    manifest_.complete = true;
    if (known_.note[0] != '\0') manifest_.notes.emplace_back(known_.note);
  }

  Manifest result() {
    identify_archives();
    if (is_imported()) return read_manifest(out_);
    scan();
    check_space();
    TargetFolder target(partial_.string());
    unpack(target);
    arrange();
    target.keep_only(files_of_manifest());
    write_manifest(partial_, manifest_);
    read_manifest(partial_);  // what nobody could open gets no name
    target.finish(out_.string());
    return std::move(manifest_);
  }

 private:
  void identify_archives() {
    int64_t all = 0, done = 0;
    for (const std::string& path : options_.archives) all += open_archive(path)->size();
    for (const std::string& path : options_.archives) {
      ManifestFile archive{folder_name(fs::absolute(path)), 0, ""};
      Sha256 hash;
      if (fs::is_directory(path)) {
        const auto reader = open_archive(path);
        for (ArchiveEntry entry; reader->next(entry);) {
          if (entry.is_folder) continue;
          const std::vector<uint8_t> bytes = reader->read();
          hash.update(fmt::format("{} {}\n", entry.bytes, entry.path));
          hash.update(bytes.data(), bytes.size());
          options_.progress("reading " + archive.file, done += entry.bytes, all);
        }
        archive.bytes = reader->size();
      } else {
        std::vector<char> part(1 << 20);
        std::ifstream in(path, std::ios::binary);
        while (in.read(part.data(), static_cast<std::streamsize>(part.size())) || in.gcount() > 0) {
          hash.update(part.data(), static_cast<size_t>(in.gcount()));
          archive.bytes += in.gcount();
          options_.progress("reading " + archive.file, done += in.gcount(), all);
        }
        if (!in.eof()) fail(Exit::kIo, "[{}] expected a readable file, got a read error", path);
      }
      archive.sha256 = hash.hex();
      manifest_.archives.push_back(std::move(archive));
    }
  }

  // What decides on the data: the contents of archives, in any order, and the names of files that are entries.
  static std::multiset<std::string> identities(const std::vector<ManifestFile>& archives) {
    std::multiset<std::string> all;
    for (const ManifestFile& a : archives) all.insert(a.sha256 + (is_single_file(a.file) ? " " + a.file : ""));
    return all;
  }

  bool is_imported() {
    if (!fs::exists(out_)) return false;
    TAUT_CHECK(fs::is_directory(out_), "[--out] expected a folder, got the file '{}'", out_.string());
    if (!has_manifest(out_)) {
      TAUT_CHECK(fs::is_empty(out_), "[--out] expected a new or empty folder, got '{}' with other files in it",
                 out_.string());
      return false;
    }
    const Manifest there = read_manifest(out_);
    TAUT_CHECK(there.name == known_.name && identities(there.archives) == identities(manifest_.archives) &&
                   there.seed == options_.seed,
               "[--out] '{}' holds {} from other archives or with another seed; hint: another --out", out_.string(),
               there.name);
    for (const ManifestImage& image : there.images) {
      if (image.record < 0 && (!fs::is_regular_file(out_ / image.file) ||
                               static_cast<int64_t>(fs::file_size(out_ / image.file)) != image.bytes))
        fail(Exit::kBadData, "[{}] expected {} bytes, as the manifest has it; hint: remove {} and import again",
             (out_ / image.file).string(), image.bytes, out_.string());
    }
    options_.say(fmt::format("{} is there already, from the same archives: nothing to do", out_.string()));
    return true;
  }

  // Looks at every name and size, before anything is written.
  void scan() {
    EntryNames names;
    for (const std::string& path : options_.archives) {
      const auto reader = open_archive(path);
      for (ArchiveEntry entry; reader->next(entry);) {
        options_.progress("scanning " + folder_name(fs::absolute(path)), reader->position(), reader->size());
        if (entry.path.empty()) continue;
        if (const std::string fault = names.add(entry.path, entry.is_folder); !fault.empty())
          fail(Exit::kBadData, "[{}] entry '{}' {}", path, entry.path, fault);
        if (entry.is_folder) continue;
        sizes_.emplace(entry.path, entry.bytes);
        const Layout::Use use = use_of(entry);
        all_bytes_ += entry.bytes;
        if (use == Layout::Use::kImage || use == Layout::Use::kRecords)
          needed_ += (entry.bytes + kBlock - 1) / kBlock * kBlock +
                     (use == Layout::Use::kImage ? kManifestLine : entry.bytes / 4);  // a line for each record
      }
    }
    if (sizes_.empty()) fail(Exit::kBadData, "[{}] expected files, got none", options_.archives[0]);
  }

  Layout::Use use_of(const ArchiveEntry& entry) const {
    const std::string name(base_name(entry.path));
    if (entry.path == "manifest.json" || entry.path == "images.csv") return Layout::Use::kNothing;  // ours, in OUT
    if (name.starts_with(".") || name.starts_with("__MACOSX") || entry.path.starts_with("__MACOSX/"))
      return Layout::Use::kNothing;
    return layout_->use(entry.path);
  }

  void check_space() const {
    int64_t there = 0;
    if (fs::exists(partial_)) {
      for (const auto& [path, bytes] : sizes_) {
        std::error_code error;
        const auto size = fs::file_size(partial_ / path, error);
        if (!error && static_cast<int64_t>(size) == bytes) there += bytes;
      }
    }
    fs::path folder = out_.parent_path();
    while (!fs::exists(folder) && folder.has_parent_path() && folder != folder.parent_path())
      folder = folder.parent_path();
    const int64_t free = options_.free_bytes ? options_.free_bytes(folder.string()) : free_bytes_of(folder.string());
    options_.say(fmt::format("{}: {} files, up to {} on disk{}; {} are free in {}", known_.name, sizes_.size(),
                             megabytes(needed_), there > 0 ? ", " + megabytes(there) + " of it there already" : "",
                             megabytes(free), folder.string()));
    if (needed_ - there > free)
      fail(Exit::kIo, "[{}] expected {} free on the disk, got {}; hint: another --out, or make room", out_.string(),
           megabytes(needed_ - there), megabytes(free));
  }

  void unpack(TargetFolder& target) {
    contents_.folder = partial_;
    contents_.seed = options_.seed;
    int64_t done = 0, there = 0;
    std::vector<Read> batch;
    int64_t in_batch = 0;
    const auto flush = [&] {
      there += settle(target, batch);
      done += in_batch;
      batch.clear();
      in_batch = 0;
      options_.progress("unpacking", done, all_bytes_);
    };
    for (const std::string& path : options_.archives) {
      const auto reader = open_archive(path);
      for (ArchiveEntry entry; reader->next(entry);) {
        if (entry.is_folder) continue;
        const auto expected = sizes_.find(entry.path);
        if (expected == sizes_.end() || expected->second != entry.bytes)
          fail(Exit::kBadData, "[{}] entry '{}' was not there before: the archive changed", path, entry.path);
        const Layout::Use use = use_of(entry);
        if (use == Layout::Use::kNothing || entry.bytes > limit_of(use)) {
          manifest_.skipped.push_back({entry.path, use == Layout::Use::kNothing
                                                       ? "not needed"
                                                       : fmt::format("larger than {} bytes", limit_of(use))});
          done += entry.bytes;
          continue;
        }
        if (in_batch + entry.bytes > kBatchBytes) flush();
        batch.push_back({entry.path, reader->read(), use, "", "", false});
        in_batch += entry.bytes;
      }
    }
    flush();
    if (there > 0) options_.say(fmt::format("resumed: {} files were there already", there));
    std::ranges::sort(contents_.images, {}, &ManifestFile::file);
    std::ranges::sort(contents_.records, {}, &ManifestFile::file);
  }

  static int64_t limit_of(Layout::Use use) {
    return use == Layout::Use::kImage  ? DecodeLimits::kFileBytes
           : use == Layout::Use::kList ? kListBytes
                                       : ArchiveLimits::kEntryBytes;
  }

  // Judges the files of a batch on all threads and writes those that are kept. Returns how many were there already.
  int64_t settle(TargetFolder& target, std::vector<Read>& batch) {
    parallel_for(static_cast<int64_t>(batch.size()), 1, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) judge(target, batch[static_cast<size_t>(i)]);
    });
    int64_t there = 0;
    for (Read& file : batch) {
      if (file.use == Layout::Use::kList) {
        contents_.lists.emplace(file.path, std::move(file.bytes));
        continue;
      }
      if (!file.fault.empty()) {
        manifest_.skipped.push_back({file.path, file.fault});
        continue;
      }
      there += file.is_there ? 1 : 0;
      if (!file.is_there) target.write(file.path, file.bytes);
      (file.use == Layout::Use::kRecords ? contents_.records : contents_.images)
          .push_back({file.path, static_cast<int64_t>(file.bytes.size()), file.sha256});
    }
    return there;
  }

  void judge(const TargetFolder& target, Read& file) const {
    if (file.use == Layout::Use::kList) return;
    if (file.use == Layout::Use::kImage) {
      try {
        decode_isolated(file.bytes, file.path);
      } catch (const Error& error) {
        if (error.code() != Exit::kBadData) throw;
        const std::string text = error.what();
        file.fault = text.substr(std::min(text.find("] ") + 2, text.size()));
        return;
      }
    }
    Sha256 hash;
    hash.update(file.bytes.data(), file.bytes.size());
    file.sha256 = hash.hex();
    file.is_there = target.holds(file.path, file.bytes);
  }

  void arrange() {
    layout_->arrange(contents_, manifest_);
    std::ranges::sort(manifest_.skipped, {}, &SkippedFile::file);
    if (manifest_.images.empty())
      fail(Exit::kBadData, "[{}] expected {} ({}), got no image of it; {} files were skipped{}{}", options_.archives[0],
           known_.name, known_.inside, manifest_.skipped.size(),
           manifest_.skipped.empty()
               ? ""
               : fmt::format(", the first, '{}': {}", manifest_.skipped[0].file, manifest_.skipped[0].reason),
           hint_at_inner_archive());
    compare_counts();
  }

  // Archives inside of archives are not opened: their contents would escape what was looked at before.
  std::string hint_at_inner_archive() const {
    for (const SkippedFile& file : manifest_.skipped)
      for (const char* end : {".zip", ".tar", ".tgz", ".tar.gz", ".tar.bz2"})
        if (lower_case(file.file).ends_with(end))
          return fmt::format("; hint: unpack '{}' and import that archive", file.file);
    return "";
  }

  void compare_counts() {
    const auto compare = [&](const char* what, int64_t expected, int64_t got) {
      if (expected == 0 || expected == got) return;
      manifest_.complete = false;
      manifest_.differences.push_back(fmt::format("{} {} are known, {} are here", expected, what, got));
    };
    compare("classes", known_.classes, static_cast<int64_t>(manifest_.classes.size()));
    compare("training images", known_.train, manifest_.count("train"));
    compare("test images", known_.test, manifest_.count("test"));
    compare("images", known_.images, static_cast<int64_t>(manifest_.images.size()));
  }

  std::set<std::string> files_of_manifest() const {
    std::set<std::string> files;
    for (const ManifestImage& image : manifest_.images) files.insert(image.file);
    for (const ManifestFile& file : manifest_.files) files.insert(file.file);
    return files;
  }

  const ImportOptions& options_;
  const KnownDataset& known_;
  std::unique_ptr<Layout> layout_;
  fs::path out_, partial_;
  Manifest manifest_;
  ImportContents contents_;
  std::unordered_map<std::string, int64_t> sizes_;  // of every file of the archives
  int64_t needed_ = 0, all_bytes_ = 0;
};

}  // namespace

Manifest import_dataset(const ImportOptions& options) { return Import(options).result(); }

}  // namespace taut
