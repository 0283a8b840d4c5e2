// IDX, the format of MNIST and Fashion-MNIST: big-endian magic 0x0803 (u8, 3 dimensions), count, height, width, pixels;
// labels have magic 0x0801 and a count. Files may be gzipped. The test set's files begin with t10k. (LeCun et al.
// 1998.)
#include <zlib.h>

#include <algorithm>
#include <array>
#include <memory>

#include "data/formats.h"
#include "kernels/error.h"
#include "tensor/files/unpacking.h"
#include "tensor/sha256.h"

namespace taut {
namespace fs = std::filesystem;
namespace {

constexpr int64_t kMaxSide = 4096, kMaxBytes = int64_t{4} << 30;

// The existing file among the spellings in use, or an empty path.
fs::path find_file(const fs::path& folder, const std::string& part, const char* kind, int dimensions) {
  for (const char dot : {'-', '.'}) {
    for (const char* end : {"", ".gz"}) {
      const fs::path file = folder / fmt::format("{}-{}{}idx{}-ubyte{}", part, kind, dot, dimensions, end);
      if (fs::exists(file)) return file;
    }
  }
  return {};
}

// Reads the header and all the data. Memory grows with what the file holds, not with what its header promises.
std::vector<uint8_t> read_idx(const fs::path& file, std::span<int64_t> dims) {
  const std::unique_ptr<gzFile_s, int (*)(gzFile)> in(gzopen(file.c_str(), "rb"), gzclose);
  if (!in) fail(Exit::kIo, "[{}] expected a readable file, got none", file.string());
  const auto broken = [&](const std::string& got) { fail(Exit::kBadData, "[{}] {}", file.string(), got); };
  const auto read_u32 = [&]() -> int64_t {
    std::array<uint8_t, 4> b;
    if (gzread(in.get(), b.data(), 4) != 4) broken("expected an IDX header, got a file that ends early");
    return int64_t{b[0]} << 24 | b[1] << 16 | b[2] << 8 | b[3];
  };
  const int64_t magic = read_u32(), wanted = 0x0800 + static_cast<int64_t>(dims.size());
  if (magic != wanted) broken(fmt::format("expected the magic number {:#06x}, got {:#06x}", wanted, magic));
  int64_t bytes = 1;
  for (size_t d = 0; d < dims.size(); ++d) {
    dims[d] = read_u32();
    if (dims[d] < 1 || (d > 0 && dims[d] > kMaxSide) || dims[d] > kMaxBytes / bytes) {
      broken(fmt::format("expected images of 1 to {} pixels a side and {} bytes in all, got size {} in dimension {}",
                         kMaxSide, kMaxBytes, dims[d], d));
    }
    bytes *= dims[d];
  }
  const auto packed = static_cast<int64_t>(fs::file_size(file));
  if (gzdirect(in.get()) == 0 && is_bomb(packed, bytes))
    broken(fmt::format("announces {} bytes in a file of {}: cut, or a bomb", bytes, packed));
  std::vector<uint8_t> data;
  constexpr int64_t kChunk = 1 << 20;
  while (static_cast<int64_t>(data.size()) < bytes) {
    const size_t at = data.size();
    const int64_t want = std::min<int64_t>(kChunk, bytes - static_cast<int64_t>(at));
    data.resize(at + static_cast<size_t>(want));
    const int got = gzread(in.get(), data.data() + at, static_cast<unsigned>(want));
    if (got != want) {
      broken(fmt::format("expected {} bytes of data, got {}; hint: the file is truncated or damaged", bytes,
                         at + static_cast<size_t>(std::max(got, 0))));
    }
  }
  uint8_t extra;
  if (gzread(in.get(), &extra, 1) != 0)
    broken(fmt::format("expected {} bytes of data, got more or a damaged end", bytes));
  return data;
}

const std::vector<std::string>& fashion_names() {
  static const std::vector<std::string> names = {"T-shirt", "trouser", "pullover", "dress", "coat",
                                                 "sandal",  "shirt",   "sneaker",  "bag",   "ankle boot"};
  return names;
}

class Idx : public Dataset {
 public:
  Idx(const fs::path& folder, const std::vector<std::string>& parts, int64_t classes)
      : name_(folder_name(folder)), classes_(classes) {
    for (const std::string& part : parts) {
      const fs::path images = find_file(folder, part, "images", 3), labels = find_file(folder, part, "labels", 1);
      if (images.empty() || labels.empty()) {
        fail(Exit::kMissing, "[{}] expected {}-{}-idx{}-ubyte[.gz], got none", folder.string(), part,
             images.empty() ? "images" : "labels", images.empty() ? 3 : 1);
      }
      std::array<int64_t, 3> dims;
      std::array<int64_t, 1> count;
      const std::vector<uint8_t> pixels = read_idx(images, dims), values = read_idx(labels, count);
      if (dims[0] != count[0]) {
        fail(Exit::kBadData, "[{}] expected {} labels, as {} has images, got {}", labels.string(), dims[0],
             images.filename().string(), count[0]);
      }
      if (size() > 0 && (dims[1] != height_ || dims[2] != width_)) {
        fail(Exit::kBadData, "[{}] expected images of {} x {}, got {} x {}", images.string(), height_, width_, dims[1],
             dims[2]);
      }
      for (size_t i = 0; i < values.size(); ++i) {
        if (values[i] >= classes_) {
          fail(Exit::kBadData, "[{}] expected labels below {}, got {} for image {}", labels.string(), classes_,
               values[i], i);
        }
      }
      height_ = dims[1];
      width_ = dims[2];
      starts_.push_back(size());
      files_.push_back(images.string());
      pixels_.insert(pixels_.end(), pixels.begin(), pixels.end());
      labels_.insert(labels_.end(), values.begin(), values.end());
    }
  }

  std::string name() const override { return name_; }
  int64_t size() const override { return static_cast<int64_t>(labels_.size()); }
  int64_t classes() const override { return classes_; }
  std::string class_name(int64_t c) const override {
    const bool fashion = name_.find("fashion") != std::string::npos && classes_ == 10;
    return fashion ? fashion_names().at(static_cast<size_t>(c)) : std::to_string(c);
  }
  int64_t label(int64_t i) const override { return labels_[static_cast<size_t>(checked(i))]; }
  Image image(int64_t i) const override {
    Image image(height_, width_, 1);
    const int64_t bytes = height_ * width_;
    std::copy_n(pixels_.begin() + checked(i) * bytes, bytes, image.pixels.begin());
    return image;
  }
  std::string identity(int64_t i) const override {
    const int64_t bytes = height_ * width_;
    const auto* pixels = reinterpret_cast<const char*>(pixels_.data() + checked(i) * bytes);
    return fmt::format("{} x {}: {}", height_, width_, sha256_of({pixels, static_cast<size_t>(bytes)}));
  }
  bool in_memory() const override { return true; }
  std::string source(int64_t i) const override {
    size_t part = starts_.size() - 1;
    while (checked(i) < starts_[part]) --part;
    return fmt::format("{} image {}", files_[part], i - starts_[part]);
  }

 private:
  int64_t checked(int64_t i) const {
    TAUT_CHECK(i >= 0 && i < size(), "[{}] expected an image number in [0, {}), got {}", name_, size(), i);
    return i;
  }

  std::string name_;
  int64_t classes_, height_ = 0, width_ = 0;
  std::vector<uint8_t> pixels_, labels_;
  std::vector<int64_t> starts_;
  std::vector<std::string> files_;
};

}  // namespace

bool is_idx(const fs::path& folder) {
  return !find_file(folder, "train", "images", 3).empty() || !find_file(folder, "t10k", "images", 3).empty();
}

DatasetPtr open_idx(const fs::path& folder, const std::string& split, int64_t classes) {
  std::vector<std::string> parts;
  if (split == "train" || split == "all") parts.push_back("train");
  if (split == "test" || split == "all") parts.push_back("t10k");
  if (parts.empty())
    fail(Exit::kMissing, "[{}] expected the split train or test of an IDX set, got {}", folder.string(), split);
  return std::make_shared<Idx>(folder, parts, classes);
}

}  // namespace taut
