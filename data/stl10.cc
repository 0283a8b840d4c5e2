// STL-10's binary format (Coates, Ng, Lee 2011): {train,test}_X.bin, images of 3 planes (red, green, blue) of 96 x 96
// bytes stored column by column, and {train,test}_y.bin, a byte a label from 1.
#include "data/formats.h"
#include "kernels/error.h"
#include "tensor/sha256.h"

namespace taut {
namespace fs = std::filesystem;
namespace {

constexpr int64_t kSide = 96, kPlane = kSide * kSide, kPixels = 3 * kPlane, kClasses = 10;
constexpr int64_t kMaxFile = int64_t{1} << 30;

class Stl10 : public Dataset {
 public:
  Stl10(const fs::path& folder, const std::string& split) {
    for (const char* part : {"train", "test"}) {
      if (split != part && split != "all") continue;
      append(folder / fmt::format("{}_X.bin", part), folder / fmt::format("{}_y.bin", part));
    }
    if (labels_.empty())
      fail(Exit::kMissing, "[{}] expected the split train, test or all, got '{}'", folder.string(), split);
    if (fs::exists(folder / "class_names.txt")) names_ = read_lines(folder / "class_names.txt");
  }

  std::string name() const override { return "stl10"; }
  int64_t size() const override { return static_cast<int64_t>(labels_.size()); }
  int64_t classes() const override { return kClasses; }
  std::string class_name(int64_t c) const override {
    return c < static_cast<int64_t>(names_.size()) ? names_[static_cast<size_t>(c)] : std::to_string(c);
  }
  int64_t label(int64_t i) const override { return labels_.at(static_cast<size_t>(i)); }
  Image image(int64_t i) const override {
    TAUT_CHECK(i >= 0 && i < size(), "[stl10] expected an image number in [0, {}), got {}", size(), i);
    const uint8_t* planes = pixels_.data() + i * kPixels;
    Image image(kSide, kSide, 3);
    for (int64_t c = 0; c < 3; ++c)
      for (int64_t x = 0; x < kSide; ++x)
        for (int64_t y = 0; y < kSide; ++y)
          image.pixels[static_cast<size_t>(3 * (y * kSide + x) + c)] = planes[c * kPlane + x * kSide + y];
    return image;
  }
  std::string identity(int64_t i) const override {
    return sha256_of({reinterpret_cast<const char*>(pixels_.data() + i * kPixels), static_cast<size_t>(kPixels)});
  }
  bool in_memory() const override { return true; }
  std::string source(int64_t i) const override {
    size_t part = starts_.size() - 1;
    while (i < starts_[part].second) --part;
    return fmt::format("{} record {}", starts_[part].first, i - starts_[part].second);
  }

 private:
  void append(const fs::path& images, const fs::path& labels) {
    const std::vector<uint8_t> x = read_bytes(images, kMaxFile), y = read_bytes(labels, kMaxFile);
    if (x.size() != y.size() * kPixels)
      fail(Exit::kBadData, "[{}] expected {} images of {} bytes for the labels of {}, got {} bytes", images.string(),
           y.size(), kPixels, labels.string(), x.size());
    starts_.emplace_back(images.string(), size());
    for (size_t i = 0; i < y.size(); ++i) {
      if (y[i] < 1 || y[i] > kClasses)
        fail(Exit::kBadData, "[{}] expected labels 1 to {}, got {} in record {}", labels.string(), kClasses, y[i], i);
      labels_.push_back(y[i] - 1);
    }
    pixels_.insert(pixels_.end(), x.begin(), x.end());
  }

  std::vector<uint8_t> pixels_;
  std::vector<int64_t> labels_;
  std::vector<std::pair<std::string, int64_t>> starts_;  // files of pixels and their first records, of one at least
  std::vector<std::string> names_;
};

}  // namespace

bool is_stl10(const fs::path& folder) {
  return fs::exists(folder / "train_X.bin") || fs::exists(folder / "test_X.bin");
}

DatasetPtr open_stl10(const fs::path& folder, const std::string& split) {
  return std::make_shared<Stl10>(folder, split);
}

}  // namespace taut
