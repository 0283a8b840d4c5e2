// Decoding: the bytes that Pillow gives, and hostile files refused by name.
#include "data/decode.h"

#include <doctest/doctest.h>

#include <set>

#include "data/decode_isolated.h"
#include "tensor/safetensors.h"
#include "tests/data/support.h"

namespace taut::test {
namespace fs = std::filesystem;
namespace {

Image as_image(const Tensor& t) {  // u8 (height, width[, channels])
  Image image(t.shape()[0], t.shape()[1], t.shape().size() > 2 ? t.shape()[2] : 1);
  std::copy_n(t.data<uint8_t>(), image.pixels.size(), image.pixels.begin());
  return image;
}

int check_jpeg_cases(const fs::path& folder) {
  int cases = 0;
  for (const auto& entry : fs::directory_iterator(folder)) {
    if (entry.path().extension() != ".safetensors") continue;
    const SafetensorsFile file = SafetensorsFile::open(entry.path().string());
    if (file.metadata().at("kind") != "jpeg") continue;
    const Tensor bytes = file.read("in.file");
    CAPTURE(entry.path().string());
    CHECK(decode_image({bytes.data<uint8_t>(), static_cast<size_t>(bytes.numel())}, "golden") ==
          as_image(file.read("out.0")));
    ++cases;
  }
  return cases;
}

// The expected pixels, a P6 file that Pillow wrote: "P6\nWIDTH HEIGHT\n255\n" and the samples.
Image read_expected(const fs::path& file) {
  const Bytes bytes = read_all(file);
  int width = 0, height = 0, at = 0;
  REQUIRE(std::sscanf(reinterpret_cast<const char*>(bytes.data()), "P6\n%d %d\n255\n%n", &width, &height, &at) == 2);
  Image image(height, width, 3);
  REQUIRE(bytes.size() == static_cast<size_t>(at) + image.pixels.size());
  std::copy(bytes.begin() + at, bytes.end(), image.pixels.begin());
  return image;
}

Bytes png_header(uint32_t width, uint32_t height) {
  Bytes bytes = encode_png(sample_image(1, 1, 3));
  for (size_t k = 0; k < 4; ++k) {
    bytes[16 + k] = static_cast<uint8_t>(width >> (24 - 8 * k));
    bytes[20 + k] = static_cast<uint8_t>(height >> (24 - 8 * k));
  }
  // The checksum of "IHDR" and its 13 bytes.
  uint32_t crc = 0xFFFFFFFFu;
  for (size_t i = 12; i < 29; ++i) {
    crc ^= bytes[i];
    for (int bit = 0; bit < 8; ++bit) crc = crc >> 1 ^ (crc & 1 ? 0xEDB88320u : 0);
  }
  crc = ~crc;
  for (size_t k = 0; k < 4; ++k) bytes[29 + k] = static_cast<uint8_t>(crc >> (24 - 8 * k));
  return bytes;
}

Caught refuse(const Bytes& bytes, const std::string& name = "x.jpg") {
  return caught([&] { decode_image(bytes, name); });
}

}  // namespace

TEST_CASE("JPEG files decode to Pillow's bytes") {
  CHECK(check_jpeg_cases(golden_folder()) >= 2);
  if (const fs::path folder = shared_folder("golden", "the provided JPEG cases"); !folder.empty()) {
    CHECK(check_jpeg_cases(folder) >= 4);
  }
}

TEST_CASE("every kind of PNG, JPEG, BMP, TGA and PNM decodes to Pillow's convert(RGB)") {
  std::set<std::string> kinds;
  for (const auto& entry : fs::directory_iterator(golden_folder() / "decode")) {
    if (entry.path().extension() == ".ppm") continue;
    CAPTURE(entry.path().string());
    fs::path expected = entry.path();
    CHECK(decode_file(entry.path().string()) == read_expected(expected.replace_extension(".ppm")));
    kinds.insert(entry.path().extension().string());
  }
  CHECK(kinds == std::set<std::string>{".bmp", ".jpg", ".png", ".pnm", ".tga"});
}

TEST_CASE("the content decides, not the name") {
  const Image image = sample_image(11, 7, 3);
  CHECK(decode_image(encode_png(image), "really_a_png.jpg") == image);
  const Bytes jpeg = encode_jpeg(image);
  CHECK(decode_image(jpeg, "a.png") == decode_image(jpeg, "a.jpg"));
  const Image grey = decode_image(encode_png(sample_image(5, 6, 1)), "grey");
  CHECK(grey.channels == 3);
  CHECK(grey.row(2)[9] == sample_image(5, 6, 1).row(2)[3]);
}

TEST_CASE("files that are cut anywhere are refused, by name") {
  const Image image = sample_image(40, 33, 3);
  std::vector<std::pair<std::string, Bytes>> files = {{"baseline.jpg", encode_jpeg(image)},
                                                      {"progressive.jpg", encode_jpeg(image, {.progressive = true})},
                                                      {"rgb.png", encode_png(image)}};
  for (const char* name : {"rgb24.bmp", "plain.tga", "rle.tga", "p6_in.pnm", "p5_in.pnm"}) {
    files.emplace_back(name, read_all(golden_folder() / "decode" / name));
  }
  for (const auto& [name, bytes] : files) {
    CAPTURE(name);
    REQUIRE(refuse(bytes, name).code == Exit::kOk);
    for (size_t size = 0; size + 3 < bytes.size(); size += size < 700 ? 1 : 97) {
      // Pillow pads the last row of a BMP; TGA's footer is not needed for the pixels.
      if (name == "plain.tga" && size >= 18 + 9 * 13 * 3) continue;
      if (name == "rle.tga" && size + 26 >= bytes.size()) continue;
      const Caught error = refuse(Bytes(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(size)), name);
      CAPTURE(size);
      CHECK(error.code == Exit::kBadData);
      CHECK(error.names(name));
    }
  }
}

TEST_CASE("a warning of the JPEG decoder is an error") {
  Bytes bytes = encode_jpeg(sample_image(64, 64, 3));
  const auto middle = static_cast<std::ptrdiff_t>(bytes.size() / 2);
  bytes[static_cast<size_t>(middle)] = 0xFF;  // a marker in the middle of the data: bits are missing before it
  bytes[static_cast<size_t>(middle) + 1] = 0xD9;
  const Caught error = refuse(bytes, "hit.jpg");
  CHECK(error.code == Exit::kBadData);
  CHECK(error.names("hit.jpg"));
}

TEST_CASE("damaged bytes never crash: an image or an Error(kBadData)") {
  const Image image = sample_image(24, 24, 3);
  std::vector<std::pair<std::string, Bytes>> files = {{"a.jpg", encode_jpeg(image, {.progressive = true})},
                                                      {"a.png", encode_png(image)}};
  for (const char* name : {"palette.bmp", "rle.tga", "p6_in.pnm", "palette8_alpha.png", "cmyk.jpg"}) {
    files.emplace_back(name, read_all(golden_folder() / "decode" / name));
  }
  int refused = 0;
  for (const auto& [name, bytes] : files) {
    for (uint32_t k = 0; k < 400; ++k) {
      Bytes damaged = bytes;
      for (uint32_t hit = 0; hit <= k % 3; ++hit) {
        const uint64_t h = hash(&k, sizeof k, 77 + hit);
        damaged[h % damaged.size()] = static_cast<uint8_t>(h >> 40);
      }
      const Caught error = refuse(damaged, name);
      CHECK((error.code == Exit::kOk || error.code == Exit::kBadData));
      refused += error.code == Exit::kBadData ? 1 : 0;
    }
  }
  CHECK(refused > 500);
}

TEST_CASE("bombs and other formats are refused before memory is taken") {
  CHECK(refuse({}, "empty.jpg").names("empty.jpg"));
  CHECK(refuse(png_header(65535, 65535)).names("65535"));
  CHECK(refuse(png_header(16384, 16384)).names("89000000"));
  CHECK(refuse(png_header(16385, 1)).code == Exit::kBadData);
  CHECK(refuse(Bytes((size_t{64} << 20) + 1, 0xFF)).names("bytes"));
  const std::string gif = "GIF89a\x01\x00\x01\x00";
  CHECK(refuse(Bytes(gif.begin(), gif.end())).names("GIF"));
  const std::string page = "<!DOCTYPE html><html>";
  CHECK(refuse(Bytes(page.begin(), page.end()), "page.jpg").names("page.jpg"));
  const std::string liar = "P6 99999999999 1 255\n";
  CHECK(refuse(Bytes(liar.begin(), liar.end())).code == Exit::kBadData);
  const std::string deep = "P6 2 2 65535\n";
  CHECK(refuse(Bytes(deep.begin(), deep.end())).names("65535"));

  // JPEG with 60000 x 60000 pixels in its frame header.
  Bytes wide = encode_jpeg(sample_image(8, 8, 3));
  for (size_t i = 0; i + 8 < wide.size(); ++i) {
    if (wide[i] == 0xFF && wide[i + 1] == 0xC0) {
      wide[i + 5] = wide[i + 7] = 0xEA;
      wide[i + 6] = wide[i + 8] = 0x60;
      break;
    }
  }
  CHECK(refuse(wide).names("60000 x 60000"));

  // A progressive JPEG that repeats its last scan ten thousand times.
  Bytes scans = encode_jpeg(sample_image(16, 16, 1), {.progressive = true});
  size_t last = 0;
  for (size_t i = 0; i + 1 < scans.size(); ++i) {
    if (scans[i] == 0xFF && scans[i + 1] == 0xDA) last = i;
  }
  const Bytes scan(scans.begin() + static_cast<std::ptrdiff_t>(last), scans.end() - 2);
  scans.resize(scans.size() - 2);
  for (int k = 0; k < 10'000; ++k) scans.insert(scans.end(), scan.begin(), scan.end());
  scans.insert(scans.end(), {0xFF, 0xD9});
  CHECK(refuse(scans).code == Exit::kBadData);
}

TEST_CASE("a large progressive JPEG that would take more memory than is granted is refused") {
  // 9400 x 9400 pixels in the frame header: 265 MB of pixels, and as much of coefficients.
  Bytes bytes = encode_jpeg(sample_image(16, 16, 3), {.progressive = true});
  for (size_t i = 0; i + 8 < bytes.size(); ++i) {
    if (bytes[i] != 0xFF || bytes[i + 1] != 0xC2) continue;
    bytes[i + 5] = bytes[i + 7] = 9400 >> 8;
    bytes[i + 6] = bytes[i + 8] = 9400 & 255;
    break;
  }
  const Caught error = refuse(bytes, "large.jpg");
  CHECK(error.code == Exit::kBadData);
  CHECK(error.names("large.jpg"));
  CHECK(error.names("Backing store"));
}

TEST_CASE("a JPEG whose Huffman table claims 4080 symbols is refused") {
  // The table that makes an older stb_image write out of bounds.
  Bytes bytes = encode_jpeg(sample_image(8, 8, 3));
  Bytes table = {0xFF, 0xC4, 0x10, 0x03, 0x00};
  table.insert(table.end(), 16, 255);
  table.insert(table.end(), 4080, 0);
  bytes.insert(bytes.begin() + 2, table.begin(), table.end());
  CHECK(refuse(bytes, "dht.jpg").names("dht.jpg"));
}

TEST_CASE("missing files and folders are told apart from damaged ones") {
  const TemporaryFolder folder;
  CHECK(caught([&] { decode_file((folder.path() / "none.png").string()); }).code == Exit::kMissing);
  CHECK(caught([&] { decode_file(folder.path().string()); }).code == Exit::kBadData);
  const std::string empty = folder.write("empty.png", Bytes{});
  const Caught error = caught([&] { decode_file(empty); });
  CHECK(error.code == Exit::kBadData);
  CHECK(error.names("empty.png"));
}

}  // namespace taut::test
