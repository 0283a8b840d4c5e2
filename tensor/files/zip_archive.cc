#include "tensor/files/zip_archive.h"

#include <zlib.h>

#include <algorithm>
#include <limits>

#include "kernels/error.h"
#include "tensor/files/stored_tensor.h"
#include "tensor/files/unpacking.h"

namespace taut {
namespace {

constexpr uint64_t kEndRecord = 22, kZip64Locator = 20, kZip64EndRecord = 56, kDirectoryEntry = 46, kLocalHeader = 30;
constexpr uint32_t kIn64 = 0xFFFFFFFF;  // the 32-bit field's value is in the zip64 field
constexpr uint64_t kMaxRatio = 1032;    // deflate's largest
constexpr uint16_t kLevelFlags = 6, kSizesFollow = 8, kUtf8Names = 0x800;

// Reads the fields of a record one after the other; the caller has checked its length.
class Fields {
 public:
  explicit Fields(std::span<const std::byte> record) : record_(record) {}
  uint16_t u16() { return next<uint16_t>(); }
  uint32_t u32() { return next<uint32_t>(); }
  uint64_t u64() { return next<uint64_t>(); }

 private:
  template <class T>
  T next() {
    const T value = load<T>(record_.subspan(at_, sizeof(T)).data());
    at_ += sizeof(T);
    return value;
  }
  std::span<const std::byte> record_;
  size_t at_ = 0;
};

// The zip64 field (id 1) of an entry's extra fields: the 64-bit values of those `wanted` that are all ones in 32 bits,
// in order. False if a field is cut off or the values are not there.
bool read_zip64(std::string_view extra, const std::vector<uint64_t*>& wanted) {
  if (wanted.empty()) return true;
  while (extra.size() >= 4) {
    const auto id = load<uint16_t>(extra, 0), length = load<uint16_t>(extra, 2);
    if (length > extra.size() - 4) return false;
    if (id == 1) {
      if (length < 8 * wanted.size()) return false;
      for (size_t i = 0; i < wanted.size(); ++i) *wanted[i] = load<uint64_t>(extra, 4 + 8 * i);
      return true;
    }
    extra.remove_prefix(4 + size_t{length});
  }
  return false;
}

bool escapes(std::string_view name) {
  if (name.empty() || name.find_first_of(std::string_view("\\\0", 2)) != std::string_view::npos) return true;
  for (size_t begin = 0;;) {
    const size_t end = std::min(name.find('/', begin), name.size());
    const std::string_view part = name.substr(begin, end - begin);
    if (part.empty() || part == "." || part == "..") return true;
    if (end == name.size()) return false;
    begin = end + 1;
  }
}

// The checksum of bytes that come after bytes with the checksum `before`.
uint32_t crc_of(const std::byte* data, uint64_t size, uint32_t before = 0) {
  return size == 0 ? before : static_cast<uint32_t>(::crc32_z(before, reinterpret_cast<const Bytef*>(data), size));
}

// One call of zlib's inflate, which takes what it can and moves both spans on.
int inflate_some(z_stream& stream, std::span<const std::byte>& from, std::span<std::byte>& to) {
  constexpr uint64_t kStep = std::numeric_limits<uInt>::max() / 2;
  const auto give = static_cast<uInt>(std::min<uint64_t>(from.size(), kStep));
  const auto take = static_cast<uInt>(std::min<uint64_t>(to.size(), kStep));
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<std::byte*>(from.data()));
  stream.avail_in = give;
  stream.next_out = reinterpret_cast<Bytef*>(to.data());
  stream.avail_out = take;
  const int status = ::inflate(&stream, Z_NO_FLUSH);
  from = from.subspan(give - stream.avail_in);
  to = to.subspan(take - stream.avail_out);
  return status;
}

}  // namespace

ZipArchive::ZipArchive(FileBytes file) : file_(std::move(file)) {
  const Directory directory = find_directory();
  if (directory.entries > directory.size / kDirectoryEntry)
    fail(Exit::kBadData, "[{}] the zip directory of {} bytes cannot hold {} entries", file_.path(), directory.size,
         directory.entries);
  if (directory.entries > 2 * kMaxFileTensors)
    fail(Exit::kBadData, "[{}] expected at most {} zip entries, got {}", file_.path(), 2 * kMaxFileTensors,
         directory.entries);
  uint64_t at = directory.begin;
  const uint64_t end = directory.begin + directory.size;
  for (uint64_t i = 0; i < directory.entries; ++i) {
    const uint64_t entry_at = at;
    ZipEntry entry = parse_entry(entry_at, end, at);
    parse_local_header(entry, load<uint16_t>(file_.data() + entry_at + 8), directory.begin);
    if (!index_.emplace(entry.name, entries_.size()).second)
      fail(Exit::kBadData, "[{}] zip entry '{}': its name appears twice", file_.path(), printable(entry.name));
    entries_.push_back(std::move(entry));
  }
  if (at != end)
    fail(Exit::kBadData, "[{}] the zip directory ends at byte {}, expected {}: it does not hold {} entries",
         file_.path(), at, end, directory.entries);
  check_disjoint();
  check_total();
  for (const ZipEntry& e : entries_)
    if (!e.deflated && crc_of(file_.data() + e.begin, e.size) != e.crc)
      fail(Exit::kBadData, "[{}] zip entry '{}': its checksum is wrong; hint: the file is damaged, fetch it again",
           file_.path(), printable(e.name));
}

const ZipEntry* ZipArchive::find(const std::string& name) const {
  const auto it = index_.find(name);
  return it == index_.end() ? nullptr : &entries_[it->second];
}

ZipArchive::Directory ZipArchive::find_directory() const {
  const uint64_t size = file_.size();
  const uint64_t earliest = size > kEndRecord + 65535 ? size - kEndRecord - 65535 : 0;
  for (uint64_t at = size >= kEndRecord ? size - kEndRecord + 1 : 0; at-- > earliest;) {
    if (load<uint32_t>(file_.data() + at) != 0x06054b50) continue;
    if (load<uint16_t>(file_.data() + at + 20) != size - at - kEndRecord) continue;  // the comment ends with the file
    Fields f(file_.bytes(at, kEndRecord));
    f.u32();
    const uint16_t disk = f.u16(), first_disk = f.u16(), here = f.u16(), all = f.u16();
    Directory d;
    d.entries = all;
    d.size = f.u32();
    d.begin = f.u32();
    if (disk != first_disk || disk != 0 || here != all)
      fail(Exit::kBadData, "[{}] expected a zip archive in one part", file_.path());
    uint64_t end = at;
    const uint64_t locator = at - kZip64Locator;
    if (at >= kZip64Locator && load<uint32_t>(file_.data() + locator) == 0x07064b50) {
      d = zip64_directory(at, d);
      end = load<uint64_t>(file_.data() + locator + 8);
    }
    if (d.size > end || d.begin != end - d.size)
      fail(Exit::kBadData, "[{}] expected the zip directory of {} bytes right before byte {}, it would begin at {}",
           file_.path(), d.size, end, d.begin);
    return d;
  }
  fail(Exit::kBadData, "[{}] the zip directory at the end is missing; hint: the file is cut off", file_.path());
}

// The directory as the zip64 records before `end_record` give it; every 32-bit value is all ones or the same.
ZipArchive::Directory ZipArchive::zip64_directory(uint64_t end_record, const Directory& in_32_bits) const {
  const uint64_t locator = end_record - kZip64Locator;
  Fields l(file_.bytes(locator, kZip64Locator));
  l.u32();
  const uint32_t disk = l.u32();
  const uint64_t at = l.u64();
  const uint32_t disks = l.u32();
  if (disk != 0 || disks != 1 || locator < kZip64EndRecord || at != locator - kZip64EndRecord ||
      load<uint32_t>(file_.data() + at) != 0x06064b50)
    fail(Exit::kBadData, "[{}] expected a zip64 end record right before byte {}, the locator says {}", file_.path(),
         locator, at);
  Fields f(file_.bytes(at, kZip64EndRecord));
  f.u32();
  const uint64_t length = f.u64();
  f.u32();  // versions
  const uint32_t here_disk = f.u32(), first_disk = f.u32();
  const uint64_t here = f.u64();
  Directory d;
  d.entries = f.u64();
  d.size = f.u64();
  d.begin = f.u64();
  if (length != kZip64EndRecord - 12 || here_disk != 0 || first_disk != 0 || here != d.entries)
    fail(Exit::kBadData, "[{}] the zip64 end record at byte {} is damaged", file_.path(), at);
  if ((in_32_bits.entries != 0xFFFF && in_32_bits.entries != d.entries) ||
      (in_32_bits.size != kIn64 && in_32_bits.size != d.size) ||
      (in_32_bits.begin != kIn64 && in_32_bits.begin != d.begin))
    fail(Exit::kBadData, "[{}] the zip64 end record at byte {} and the end record disagree", file_.path(), at);
  return d;
}

// The directory's record at byte `at`; `next` is where the one after it begins.
ZipEntry ZipArchive::parse_entry(uint64_t at, uint64_t end, uint64_t& next) const {
  const std::string& path = file_.path();
  if (end - at < kDirectoryEntry || load<uint32_t>(file_.data() + at) != 0x02014b50)
    fail(Exit::kBadData, "[{}] expected a zip directory entry at byte {}", path, at);
  Fields f(file_.bytes(at, kDirectoryEntry));
  f.u32();
  const uint16_t made_by = f.u16();
  f.u16();
  const uint16_t flags = f.u16(), method = f.u16();
  f.u32();  // date and time
  ZipEntry entry;
  entry.crc = f.u32();
  entry.packed = f.u32();
  entry.size = f.u32();
  const uint16_t name = f.u16(), extra = f.u16(), comment = f.u16(), disk = f.u16();
  f.u16();
  const uint32_t attributes = f.u32();
  entry.header = f.u32();
  const uint64_t length = kDirectoryEntry + name + extra + comment;
  if (length > end - at) fail(Exit::kBadData, "[{}] the zip directory entry at byte {} is cut off", path, at);
  next = at + length;
  entry.name = file_.text(at + kDirectoryEntry, name);
  const auto bad = [&](const std::string& what) {
    fail(Exit::kBadData, "[{}] zip entry '{}': {}", path, printable(entry.name), what);
  };
  if (name > kMaxTensorName || !is_utf8(entry.name) || escapes(entry.name))
    bad("expected a name that is UTF-8 and stays inside a folder");
  std::vector<uint64_t*> in_64;
  for (uint64_t* field : {&entry.size, &entry.packed, &entry.header})
    if (*field == kIn64) in_64.push_back(field);
  if (!read_zip64(file_.text(at + kDirectoryEntry + name, extra), in_64)) bad("its zip64 sizes are missing");
  if (disk != 0) bad("expected a zip archive in one part");
  if (flags & ~(kLevelFlags | kSizesFollow | kUtf8Names))
    bad(fmt::format("{} (flags {:#06x})", flags & 0x2041 ? "it is encrypted" : "it uses features no writer needs",
                    flags));
  entry.deflated = method == 8;
  if (method != 0 && method != 8) bad(fmt::format("expected it stored or deflated, got compression method {}", method));
  if (made_by >> 8 == 3 && (attributes >> 28) != 0 && (attributes >> 28) != 8) bad("expected a plain file");
  if (!entry.deflated && entry.size != entry.packed)
    bad(fmt::format("it is stored, but {} bytes would become {}", entry.packed, entry.size));
  if (entry.deflated && entry.size / kMaxRatio > entry.packed)
    bad(fmt::format("{} deflated bytes cannot become {}", entry.packed, entry.size));
  return entry;
}

void ZipArchive::parse_local_header(ZipEntry& entry, uint16_t flags, uint64_t directory) const {
  const auto bad = [&](const std::string& what) {
    fail(Exit::kBadData, "[{}] zip entry '{}': {}", file_.path(), printable(entry.name), what);
  };
  if (entry.header > directory || directory - entry.header < kLocalHeader ||
      load<uint32_t>(file_.data() + entry.header) != 0x04034b50)
    bad(fmt::format("expected its local header at byte {}", entry.header));
  Fields f(file_.bytes(entry.header, kLocalHeader));
  f.u32();
  f.u16();
  const uint16_t local_flags = f.u16(), method = f.u16();
  f.u32();  // date and time
  const uint32_t crc = f.u32();
  uint64_t packed = f.u32(), size = f.u32();
  const uint16_t name = f.u16(), extra = f.u16();
  entry.begin = entry.header + kLocalHeader + name + extra;
  if (entry.begin > directory || directory - entry.begin < entry.packed)
    bad(fmt::format("its {} bytes from byte {} reach into the directory at {}", entry.packed, entry.begin, directory));
  if (file_.text(entry.header + kLocalHeader, name) != entry.name || method != (entry.deflated ? 8 : 0) ||
      local_flags != flags)
    bad("directory and local header disagree on its name, method or flags");
  if (flags & kSizesFollow && crc == 0 && packed == 0 && size == 0) return;  // they follow the data, and are optional
  std::vector<uint64_t*> in_64;
  for (uint64_t* field : {&size, &packed})
    if (*field == kIn64) in_64.push_back(field);
  const bool told = read_zip64(file_.text(entry.header + kLocalHeader + name, extra), in_64);
  if (!told || crc != entry.crc || packed != entry.packed || size != entry.size)
    bad("directory and local header disagree on its size or checksum");
}

// No two entries share bytes, so that a small file cannot hold much.
void ZipArchive::check_disjoint() const {
  std::vector<const ZipEntry*> in_order;
  for (const ZipEntry& e : entries_) in_order.push_back(&e);
  std::sort(in_order.begin(), in_order.end(),
            [](const ZipEntry* a, const ZipEntry* b) { return a->header < b->header; });
  for (size_t i = 1; i < in_order.size(); ++i)
    if (in_order[i - 1]->begin + in_order[i - 1]->packed > in_order[i]->header)
      fail(Exit::kBadData, "[{}] zip entries '{}' and '{}' overlap", file_.path(), printable(in_order[i - 1]->name),
           printable(in_order[i]->name));
}

// Together they hold less than 2^64 bytes: none is more than kMaxRatio times its own bytes of the file.
void ZipArchive::check_total() const {
  uint64_t total = 0;
  for (const ZipEntry& e : entries_)
    if (is_bomb(static_cast<int64_t>(file_.size()), static_cast<int64_t>(total += e.size)))
      fail(Exit::kBadData,
           "[{}] zip entry '{}': makes {} bytes out of a file of {}: a bomb; hint: numpy.savez stores "
           "arrays as they are",
           file_.path(), printable(e.name), total, file_.size());
}

Inflater::Inflater(FileBytes file, ZipEntry entry)
    : file_(std::move(file)),
      entry_(std::move(entry)),
      stream_(new z_stream{},
              [](z_stream* stream) {
                const int status = ::inflateEnd(stream);
                delete stream;
                return status;
              }),
      from_(file_.bytes(entry_.begin, entry_.packed)) {
  if (::inflateInit2(stream_.get(), -MAX_WBITS) != Z_OK)
    fail(Exit::kMemory, "[{}] cannot start inflating", file_.path());
}

void Inflater::bad(const std::string& what) const {
  fail(Exit::kBadData, "[{}] zip entry '{}': {}; hint: the file is damaged, fetch it again", file_.path(),
       printable(entry_.name), what);
}

void Inflater::read(std::span<std::byte> to) {
  const uint64_t wanted = written_ + to.size();
  std::span<std::byte> rest = to;
  int status = Z_OK;
  while (status == Z_OK && !rest.empty()) status = inflate_some(*stream_, from_, rest);
  if (status != Z_OK && status != Z_STREAM_END) bad("its compressed data is damaged");
  written_ = wanted - rest.size();
  if (!rest.empty()) bad(fmt::format("expected {} bytes, it inflates to {}", wanted, written_));
  crc_ = crc_of(to.data(), to.size(), crc_);
  if (!to.empty() && written_ == entry_.size) check_end(status);
}

void Inflater::check_end(int status) {
  std::byte beyond{};  // where a byte too many would go
  std::span<std::byte> room(&beyond, 1);
  while (status == Z_OK && !room.empty()) status = inflate_some(*stream_, from_, room);
  if (room.empty()) bad(fmt::format("expected {} bytes, it inflates to more", entry_.size));
  if (status != Z_STREAM_END) bad("its compressed data is damaged");
  if (!from_.empty()) bad(fmt::format("{} bytes follow its compressed data", from_.size()));
  if (crc_ != entry_.crc) bad("its checksum is wrong");
}

}  // namespace taut
