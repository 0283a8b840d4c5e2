// Resizing and preprocessing.
#include "data/resize.h"

#include <doctest/doctest.h>

#include <nlohmann/json.hpp>

#include "data/preprocess.h"
#include "tensor/safetensors.h"
#include "tests/data/support.h"

namespace taut::test {
namespace fs = std::filesystem;
namespace {

Image as_image(const Tensor& t) {
  Image image(t.shape()[0], t.shape()[1], t.shape()[2]);
  std::copy_n(t.data<uint8_t>(), image.pixels.size(), image.pixels.begin());
  return image;
}

int check_cases(const fs::path& folder) {
  int cases = 0;
  for (const auto& entry : fs::directory_iterator(folder)) {
    if (entry.path().extension() != ".safetensors") continue;
    const SafetensorsFile file = SafetensorsFile::open(entry.path().string());
    if (file.metadata().at("kind") != "resize") continue;
    const bool bicubic = nlohmann::json::parse(file.metadata().at("attrs")).at("filter") == "bicubic";
    const Image want = as_image(file.read("out.0"));
    CAPTURE(entry.path().string());
    CHECK(resize(as_image(file.read("in.x")), want.height, want.width,
                 bicubic ? Filter::kBicubic : Filter::kBilinear) == want);
    ++cases;
  }
  return cases;
}

}  // namespace

TEST_CASE("resizing gives Pillow's bytes") {
  CHECK(check_cases(golden_folder()) >= 5);
  if (const fs::path folder = shared_folder("golden", "the provided resize cases"); !folder.empty()) {
    CHECK(check_cases(folder) >= 12);
  }
}

TEST_CASE("resizing keeps a constant image, copies at equal size, and treats grey as each channel") {
  for (const Filter filter : {Filter::kBilinear, Filter::kBicubic}) {
    Image constant(13, 17, 3);
    std::fill(constant.pixels.begin(), constant.pixels.end(), uint8_t{201});
    for (const auto& [h, w] : {std::pair<int64_t, int64_t>{5, 40}, {1, 1}, {13, 3}, {50, 17}}) {
      for (const uint8_t p : resize(constant, h, w, filter).pixels) CHECK(p == 201);
    }
    const Image image = sample_image(9, 14, 3);
    CHECK(resize(image, 9, 14, filter) == image);
    const Image grey = sample_image(9, 14, 1);
    CHECK(resize(with_channels(grey, 3), 20, 6, filter) == with_channels(resize(grey, 20, 6, filter), 3));
    CHECK(caught([&] { resize(image, 0, 5, filter); }).code == Exit::kUsage);
  }
}

TEST_CASE("the short side is exact, the long side truncated, the crop rounded half to even") {
  // 320 x 213 to short side 256: 256 * 320 / 213 = 384.6, truncated to 384.
  const Image image = sample_image(320, 213, 3);
  const Image tall = resize(image, 384, 256, Filter::kBicubic);
  CHECK(preprocess(image, short_side_then_crop(256, 224)) == centre_crop(tall, 224, 224));
  // (27 - 24) / 2 = 1.5 -> 2; (25 - 24) / 2 = 0.5 -> 0; (29 - 24) / 2 = 2.5 -> 2.
  for (const auto& [side, offset] : {std::pair<int64_t, int64_t>{27, 2}, {25, 0}, {29, 2}, {28, 2}, {24, 0}}) {
    const Image square = sample_image(side, side, 1);
    const Image crop = preprocess(square, centre_crop_to(24));
    CHECK(crop.row(0)[0] == square.row(offset)[offset]);
    CHECK(crop.row(23)[23] == square.row(offset + 23)[offset + 23]);
  }
  const Caught error = caught([&] { preprocess(sample_image(20, 30, 1), centre_crop_to(24)); });
  CHECK(error.code == Exit::kUsage);
}

TEST_CASE("grey and colour convert as Pillow does; floats are u / 255") {
  Image colours(1, 3, 3);
  colours.pixels = {255, 0, 0, 0, 255, 0, 12, 200, 77};
  CHECK(with_channels(colours, 1).pixels == Bytes{76, 150, 130});
  const Image image = sample_image(4, 5, 3);
  std::vector<float> planes(60);
  to_float(image.pixels.data(), 4, 5, 3, planes.data());
  for (int64_t c = 0; c < 3; ++c) {
    for (int64_t i = 0; i < 20; ++i) {
      CHECK(planes[static_cast<size_t>(c * 20 + i)] ==
            static_cast<float>(image.pixels[static_cast<size_t>(3 * i + c)]) / 255.0f);
    }
  }
}

}  // namespace taut::test
