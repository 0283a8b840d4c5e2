#include "data/decoded_cache.h"

#include <fcntl.h>
#include <jpeglib.h>
#include <png.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <memory>
#include <utility>
#include <vector>

#include "data/for_all.h"
#include "data/wrapper.h"
#include "kernels/error.h"
#include "kernels/parallel.h"
#include "kernels/tell.h"
#include "tensor/descriptor.h"
#include "tensor/retried.h"
#include "tensor/sha256.h"

namespace taut {
namespace fs = std::filesystem;
namespace {

constexpr int64_t kBlockBytes = int64_t{1} << 20, kPage = 4096;
constexpr int64_t kHashDigits = 64;
constexpr int64_t kReserve = int64_t{256} << 20;  // of the disk, left to others
constexpr int kStalledSeconds = 60;               // a builder whose file does not grow for so long is not waited for

// Why a file cannot be used or made, in words; never leaves this file.
struct Problem {
  std::string why;
};
[[noreturn]] void give_up(const std::string& what) { throw Problem{fmt::format("{}: {}", what, std::strerror(errno))}; }

// What a file of these images must be.
struct Expected {
  std::string key;  // 64 hexadecimal digits
  int64_t images = 0, height = 0, width = 0, channels = 0;

  int64_t image_bytes() const { return height * width * channels; }
  int64_t block_images() const { return std::max<int64_t>(1, kBlockBytes / image_bytes()); }
  int64_t blocks() const { return (images + block_images() - 1) / block_images(); }
  std::string header() const {  // without the hashes
    return fmt::format("taut decoded images 1\nkey {}\nimages {} of {} x {} x {}\nblocks {} of {} images\n", key,
                       images, height, width, channels, blocks(), block_images());
  }
  int64_t header_bytes() const { return static_cast<int64_t>(header().size()) + (blocks() + 1) * (kHashDigits + 1); }
  int64_t start() const { return (header_bytes() + kPage - 1) / kPage * kPage; }
  int64_t file_bytes() const { return start() + images * image_bytes(); }
  int64_t images_in(int64_t block) const { return std::min(block_images(), images - block * block_images()); }
};

std::string hash_of(const uint8_t* bytes, int64_t n) {
  Sha256 hash;
  hash.update(bytes, static_cast<size_t>(n));
  return hash.hex();
}

// A file whose header is right. Blocks are hashed when they are first asked for.
class Mapping {
 public:
  // Null with `why` set where `path` is not exactly what is expected; `why` stays empty where there is none.
  static std::unique_ptr<Mapping> open(const std::string& path, const Expected& expected, std::string& why) {
    // Not blocking: something else may have the name, a pipe say.
    const Descriptor file(
        retried([&] { return ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW); }));
    struct stat status {};
    if (file.get() < 0 || ::fstat(file.get(), &status) != 0) {
      if (errno != ENOENT) why = std::strerror(errno);
      return nullptr;
    }
    if (!S_ISREG(status.st_mode) || status.st_size != expected.file_bytes()) {
      why = fmt::format("expected {} bytes, got {}", expected.file_bytes(), status.st_size);
      return nullptr;
    }
    const auto size = static_cast<size_t>(expected.file_bytes());
    void* at = ::mmap(nullptr, size, PROT_READ, MAP_SHARED, file.get(), 0);
    if (at == MAP_FAILED) {
      why = std::strerror(errno);
      return nullptr;
    }
    std::unique_ptr<Mapping> mapping(new Mapping(path, expected, static_cast<const uint8_t*>(at), status));
    if (mapping->header_is_right()) return mapping;
    why = "its header is another one";
    return nullptr;
  }

  ~Mapping() { ::munmap(const_cast<uint8_t*>(bytes_), static_cast<size_t>(expected_.file_bytes())); }
  Mapping(const Mapping&) = delete;
  Mapping& operator=(const Mapping&) = delete;

  // Null where the image's block is damaged.
  const uint8_t* pixels(int64_t i) const {
    const int64_t block = i / expected_.block_images();
    std::atomic<char>& state = states_[static_cast<size_t>(block)];
    char known = state.load(std::memory_order_acquire);
    if (known == kUnread) {  // two threads may hash the same block and find the same
      known = block_is_right(block) ? kRight : kDamaged;
      if (state.exchange(known, std::memory_order_acq_rel) == kUnread && known == kDamaged) drop();
    }
    return known == kRight ? bytes_ + expected_.start() + i * expected_.image_bytes() : nullptr;
  }

 private:
  enum : char { kUnread, kRight, kDamaged };

  Mapping(std::string path, const Expected& expected, const uint8_t* bytes, const struct stat& status)
      : path_(std::move(path)),
        expected_(expected),
        bytes_(bytes),
        device_(status.st_dev),
        inode_(status.st_ino),
        states_(static_cast<size_t>(expected.blocks())) {}

  bool header_is_right() const {
    const std::string fields = expected_.header();
    const int64_t hashed = expected_.header_bytes() - kHashDigits - 1;
    return std::memcmp(bytes_, fields.data(), fields.size()) == 0 &&
           std::memcmp(bytes_ + hashed, hash_of(bytes_, hashed).data(), kHashDigits) == 0;
  }

  bool block_is_right(int64_t block) const {
    const uint8_t* begin = bytes_ + expected_.start() + block * expected_.block_images() * expected_.image_bytes();
    const std::string hash = hash_of(begin, expected_.images_in(block) * expected_.image_bytes());
    const auto at = static_cast<int64_t>(expected_.header().size()) + block * (kHashDigits + 1);
    return std::memcmp(bytes_ + at, hash.data(), kHashDigits) == 0;
  }

  void drop() const {
    // On standard error at once: the thread that finds it may be any.
    tell("[{}] is damaged: its images are decoded anew, and the next run replaces it\n", path_);
    struct stat status {};
    if (::lstat(path_.c_str(), &status) == 0 && status.st_dev == device_ && status.st_ino == inode_)
      ::unlink(path_.c_str());
  }

  std::string path_;
  Expected expected_;
  const uint8_t* bytes_;
  dev_t device_;
  ino_t inode_;
  mutable std::vector<std::atomic<char>> states_;
};

class Decoded : public Wrapper {
 public:
  Decoded(DatasetPtr base, const Preprocess& how, const Expected& expected, std::unique_ptr<Mapping> mapping)
      : Wrapper(std::move(base)), how_(how), expected_(expected), mapping_(std::move(mapping)) {}

  Image image(int64_t i) const override {
    const uint8_t* there = pixels(i);
    if (there == nullptr) return preprocess(base_->image(i), how_);
    Image image(expected_.height, expected_.width, expected_.channels);
    std::memcpy(image.pixels.data(), there, image.pixels.size());
    return image;
  }
  const uint8_t* pixels(int64_t i) const override {
    TAUT_CHECK(i >= 0 && i < size(), "[{}] expected an image number in [0, {}), got {}", name(), size(), i);
    return mapping_->pixels(i);
  }
  std::string identity(int64_t) const override { return {}; }  // no cache of a cache
  bool in_memory() const override { return false; }

 private:
  Preprocess how_;
  Expected expected_;
  std::unique_ptr<Mapping> mapping_;
};

void write_at(int fd, const std::string& path, const void* bytes, int64_t n, int64_t at) {
  const auto* from = static_cast<const char*>(bytes);
  while (n > 0) {
    const ssize_t done = ::pwrite(fd, from, static_cast<size_t>(n), at);
    if (done < 0 && errno == EINTR) continue;
    if (done <= 0) give_up(path);
    from += done;
    at += done;
    n -= done;
  }
}

std::string size_text(int64_t bytes) {
  const auto n = static_cast<double>(bytes);
  return n < 1e6   ? fmt::format("{:.0f} kB", n / 1e3)
         : n < 1e9 ? fmt::format("{:.1f} MB", n / 1e6)
                   : fmt::format("{:.1f} GB", n / 1e9);
}

class Builder {
 public:
  Builder(const Dataset& base, const Preprocess& how, const Expected& expected, const DecodedCache& cache)
      : base_(base),
        how_(how),
        expected_(expected),
        cache_(cache),
        final_(fmt::format("{}/{}.images", cache.folder, expected.key.substr(0, 32))),
        part_(fmt::format("{}/{}.part", cache.folder, expected.key.substr(0, 32))),
        file_(-1) {}

  // The file, opened or made. Throws Problem, and what building throws.
  std::unique_ptr<Mapping> result() {
    std::string why;
    if (auto mapping = Mapping::open(final_, expected_, why)) return mapping;
    std::error_code error;
    fs::create_directories(cache_.folder, error);
    if (error) throw Problem{fmt::format("{}: {}", cache_.folder, error.message())};
    lock();
    if (auto mapping = Mapping::open(final_, expected_, why)) {  // another process made it meanwhile
      ::unlink(part_.c_str());
      return mapping;
    }
    if (!why.empty()) say(fmt::format("[{}] is not used and made anew: {}", final_, why));
    try {
      write();
      if (::rename(part_.c_str(), final_.c_str()) != 0) give_up(final_);
    } catch (...) {
      ::unlink(part_.c_str());
      throw;
    }
    sync_folder();
    file_.reset();
    auto mapping = Mapping::open(final_, expected_, why);
    if (mapping == nullptr) throw Problem{fmt::format("{}: {}", final_, why.empty() ? "it vanished" : why)};
    return mapping;
  }

 private:
  void say(const std::string& line) const {
    if (cache_.say) cache_.say(line);
  }
  void follow(int64_t done) const {
    if (cache_.follow) cache_.follow(done, expected_.images);
  }

  // Opens the part and takes its lock. Whoever had it before may have renamed or removed the file in the meantime, so
  // that the name has to be looked at again.
  void lock() {
    bool told = false;
    int64_t size = -1;
    int stalled = 0;
    for (;;) {
      file_.reset(
          retried([&] { return ::open(part_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0666); }));
      struct stat mine {
      }, named{};
      if (file_.get() < 0 || ::fstat(file_.get(), &mine) != 0) give_up(part_);
      if (!S_ISREG(mine.st_mode)) throw Problem{part_ + ": not a file"};
      if (::flock(file_.get(), LOCK_EX | LOCK_NB) == 0) {
        const bool same =
            ::lstat(part_.c_str(), &named) == 0 && named.st_dev == mine.st_dev && named.st_ino == mine.st_ino;
        if (same) return;
        continue;
      }
      if (errno != EWOULDBLOCK && errno != EINTR) give_up(part_);
      if (!std::exchange(told, true)) say(fmt::format("waiting for another process that makes {}", final_));
      stalled = mine.st_size == size ? stalled + 1 : 0;
      size = mine.st_size;
      if (stalled > kStalledSeconds * 10) throw Problem{part_ + ": another process holds it and does not go on"};
      follow(0);
      ::usleep(100'000);
    }
  }

  void write() {
    const int64_t need = expected_.file_bytes();
    struct statvfs disk {};
    if (::statvfs(cache_.folder.c_str(), &disk) != 0) give_up(cache_.folder);
    const auto free = static_cast<int64_t>(static_cast<double>(disk.f_bavail) * static_cast<double>(disk.f_frsize));
    if (need + kReserve > free)
      throw Problem{fmt::format("{} are needed in {} and {} are free (data.cache names another folder)",
                                size_text(need), cache_.folder, size_text(free))};
    say(fmt::format("decoding {} images of {} once into {}: {}, {} are free", expected_.images, base_.name(), final_,
                    size_text(need), size_text(free)));
    if (::ftruncate(file_.get(), 0) != 0) give_up(part_);

    // A few blocks at a time, so that memory is bounded and a signal is soon seen.
    const int64_t block = expected_.block_images(), bytes = expected_.image_bytes();
    const int64_t together = std::max<int64_t>(1, std::min(16 * kBlockBytes / (block * bytes), 2048 / block));
    std::vector<uint8_t> pixels(static_cast<size_t>(std::min(together * block, expected_.images) * bytes));
    std::string header = expected_.header();
    for (int64_t b = 0; b < expected_.blocks(); b += together) {
      const int64_t blocks = std::min(together, expected_.blocks() - b);
      const int64_t first = b * block, n = std::min(blocks * block, expected_.images - first);
      make(first, n, pixels.data());
      write_at(file_.get(), part_, pixels.data(), n * bytes, expected_.start() + first * bytes);
      for (int64_t k = 0; k < blocks; ++k)
        header += hash_of(pixels.data() + k * block * bytes, expected_.images_in(b + k) * bytes) + "\n";
      follow(first + n);
    }
    header += sha256_of(header) + "\n";
    write_at(file_.get(), part_, header.data(), static_cast<int64_t>(header.size()), 0);
    if (retried([&] { return ::fsync(file_.get()); }) != 0) give_up(part_);
  }

  void make(int64_t first, int64_t n, uint8_t* out) const {
    for_all(n, false, [&](int64_t k) {
      const Image image = preprocess(base_.image(first + k), how_);
      if (image.height != expected_.height || image.width != expected_.width || image.channels != expected_.channels)
        fail(Exit::kBadData,
             "[{}] expected an image of {} x {} x {} like the first, got {} x {} x {}; hint: data.resize",
             base_.source(first + k), expected_.height, expected_.width, expected_.channels, image.height, image.width,
             image.channels);
      std::memcpy(out + k * expected_.image_bytes(), image.pixels.data(), image.pixels.size());
    });
  }

  void sync_folder() const {
    const Descriptor folder(retried([&] { return ::open(cache_.folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC); }));
    if (folder.get() < 0 || retried([&] { return ::fsync(folder.get()); }) != 0) give_up(cache_.folder);
  }

  const Dataset& base_;
  const Preprocess& how_;
  const Expected& expected_;
  const DecodedCache& cache_;
  std::string final_, part_;
  Descriptor file_;
};

// Empty where an image has no identity.
std::string key_of(const Dataset& base, const Preprocess& how) {
  Sha256 key;
  key.update(fmt::format("decoded 1, libjpeg-turbo {}, libpng {}, {}, {} images\n", LIBJPEG_TURBO_VERSION_NUMBER,
                         PNG_LIBPNG_VER_STRING, describe(how), base.size()));
  constexpr int64_t kTogether = 1 << 14;
  std::vector<std::string> identities(static_cast<size_t>(std::min(kTogether, base.size())));
  for (int64_t first = 0; first < base.size(); first += kTogether) {
    const int64_t n = std::min(kTogether, base.size() - first);
    parallel_for(n, 64, [&](int64_t begin, int64_t end) {
      for (int64_t k = begin; k < end; ++k) identities[static_cast<size_t>(k)] = base.identity(first + k);
    });
    for (int64_t k = 0; k < n; ++k) {
      const std::string& identity = identities[static_cast<size_t>(k)];
      if (identity.empty()) return {};
      key.update(fmt::format("{} {}\n", identity.size(), identity));
    }
  }
  return key.hex();
}

}  // namespace

DatasetPtr preprocessed(DatasetPtr base, const Preprocess& how, const DecodedCache& cache) {
  TAUT_CHECK(base->size() >= 1, "[{}] expected at least one image, got none", base->name());
  const auto every_time = [&] {
    return transformed(base, base->name(), [how](const Image& image, int64_t) { return preprocess(image, how); });
  };
  if (base->identity(0).empty()) return every_time();
  const Image raw = base->image(0), first = preprocess(raw, how);
  const bool same_size = first.height == raw.height && first.width == raw.width;
  if (base->in_memory() && (same_size || how.kind == Preprocess::Kind::kCentre)) return every_time();

  Expected expected{.key = key_of(*base, how),
                    .images = base->size(),
                    .height = first.height,
                    .width = first.width,
                    .channels = first.channels};
  if (expected.key.empty()) return every_time();
  try {
    auto mapping = Builder(*base, how, expected, cache).result();
    return std::make_shared<Decoded>(std::move(base), how, expected, std::move(mapping));
  } catch (const Problem& problem) {
    if (cache.say)
      cache.say(
          fmt::format("no cache of decoded images of {}: {}; they are decoded every time", base->name(), problem.why));
    return every_time();
  }
}

}  // namespace taut
