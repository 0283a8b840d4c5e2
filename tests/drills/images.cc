// Drill 20: no image, whatever it claims, takes more than 512 MB or 2 seconds of processor time. The verdicts are
// tests/data/decode.cc's; here every kind of file goes the way of a data set's images, through a worker with those
// limits (what they do to a decoder that breaks them is tests/data/decode_worker.cc's).
#include "data/decode_isolated.h"
#include "tests/data/support.h"
#include "tests/drills/faults.h"

namespace taut::study {
namespace {

using test::Bytes;

void put(Bytes& bytes, uint32_t value, int size) {
  for (int i = size - 1; i >= 0; --i) bytes.push_back(static_cast<uint8_t>(value >> 8 * i));
}

uint32_t crc(const uint8_t* data, size_t n) {
  uint32_t c = ~0U;
  for (size_t i = 0; i < n; ++i) {
    c ^= data[i];
    for (int k = 0; k < 8; ++k) c = c >> 1 ^ (c & 1 ? 0xEDB88320U : 0U);
  }
  return ~c;
}

void chunk(Bytes& png, const char* type, const Bytes& data) {
  put(png, static_cast<uint32_t>(data.size()), 4);
  const size_t begin = png.size();
  png.insert(png.end(), type, type + 4);
  png.insert(png.end(), data.begin(), data.end());
  put(png, crc(png.data() + begin, png.size() - begin), 4);
}

// A PNG whose data are `bytes` of zeros, which deflate to a thousandth.
Bytes flat_png(uint32_t width, uint32_t height, int depth, int colour, size_t bytes) {
  Bytes png = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1A, '\n'}, header;
  put(header, width, 4);
  put(header, height, 4);
  header.insert(header.end(), {static_cast<uint8_t>(depth), static_cast<uint8_t>(colour), 0, 0, 0});
  chunk(png, "IHDR", header);
  // gzipped() wraps the same deflate stream in another header, so that only header and sum are exchanged.
  Bytes stream = test::gzipped(Bytes(bytes, 0));
  Bytes data = {0x78, 0x9C};
  data.insert(data.end(), stream.begin() + 10, stream.end() - 8);
  put(data, static_cast<uint32_t>(bytes % 65521) << 16 | 1, 4);  // Adler-32 of zeros
  chunk(png, "IDAT", data);
  chunk(png, "IEND", {});
  return png;
}

Bytes with_size(Bytes jpeg, uint8_t frame, uint32_t height, uint32_t width) {
  for (size_t i = 0; i + 8 < jpeg.size(); ++i) {
    if (jpeg[i] != 0xFF || jpeg[i + 1] != frame) continue;
    jpeg[i + 5] = static_cast<uint8_t>(height >> 8);
    jpeg[i + 6] = static_cast<uint8_t>(height);
    jpeg[i + 7] = static_cast<uint8_t>(width >> 8);
    jpeg[i + 8] = static_cast<uint8_t>(width);
    return jpeg;
  }
  FAIL("no frame header");
  return jpeg;
}

Bytes many_scans(int scans) {
  Bytes jpeg = test::encode_jpeg(test::sample_image(512, 512, 3), {.progressive = true});
  size_t last = 0;
  for (size_t i = 0; i + 1 < jpeg.size(); ++i)
    if (jpeg[i] == 0xFF && jpeg[i + 1] == 0xDA) last = i;
  const Bytes scan(jpeg.begin() + static_cast<std::ptrdiff_t>(last), jpeg.end() - 2);
  jpeg.resize(jpeg.size() - 2);
  for (int k = 0; k < scans; ++k) jpeg.insert(jpeg.end(), scan.begin(), scan.end());
  jpeg.insert(jpeg.end(), {0xFF, 0xD9});
  return jpeg;
}

TEST_CASE("drill 20: bombs, liars and the largest images that are allowed, each in 512 MB and 2 seconds") {
  constexpr int kGood = 0, kBad = static_cast<int>(Exit::kBadData);
  const Bytes jpeg = test::encode_jpeg(test::sample_image(64, 64, 3)),
              progressive = test::encode_jpeg(test::sample_image(64, 64, 3), {.progressive = true});
  const struct {
    const char* name;
    Bytes bytes;
    int code;
  } cases[] = {
      {"PNG of 65535 x 65535 in its header", flat_png(65535, 65535, 8, 2, 1000), kBad},
      {"PNG of 4 GB", flat_png(16384, 16384, 16, 6, 10'000'000), kBad},
      {"PNG of 89 million pixels", flat_png(9433, 9433, 8, 0, 9434UL * 9433), kGood},
      {"PNG of 89 million pixels in colour", flat_png(9433, 9433, 8, 2, (3 * 9433UL + 1) * 9433), kGood},
      {"PNG whose data end early", flat_png(9433, 9433, 8, 2, 1'000'000), kBad},
      {"PNG whose data go on for 200 MB", flat_png(64, 64, 8, 2, 200'000'000), kGood},  // what follows is not read
      {"JPEG of 65500 x 65500 in its header", with_size(jpeg, 0xC0, 65500, 65500), kBad},
      {"JPEG of 9400 x 9400 in its header", with_size(jpeg, 0xC0, 9400, 9400), kBad},
      {"progressive JPEG of 9400 x 9400 in its header", with_size(progressive, 0xC2, 9400, 9400), kBad},
      {"JPEG of no height", with_size(jpeg, 0xC0, 0, 64), kBad},
      {"JPEG of ten thousand scans", many_scans(10'000), kBad},
  };
  for (const auto& c : cases) {
    CAPTURE(c.name);
    const Error error = error_of([&] { decode_isolated(c.bytes, c.name); });
    CAPTURE(error.what());
    CHECK(static_cast<int>(error.code()) == c.code);
    // Refused by the decoder, before a limit had to.
    for (const char* limit : {"the process that decodes it", "got one that takes more"})
      CHECK(std::string(error.what()).find(limit) == std::string::npos);
  }
}

TEST_CASE("drill 20: a damaged image ends a run with 65 and its name, before a result is there") {
  const TinyRun tiny;
  const std::string data = tiny.folder / "data";
  const Bytes png = test::encode_png(test::sample_image(28, 28, 1));
  for (int k = 0; k < 24; ++k)
    write_text(fmt::format("{}/{}/{}.png", data, k % 2, k), std::string(png.begin(), png.end()));
  write_text(data + "/1/3.png", std::string(png.begin(), png.begin() + 60));
  const Outcome o = tiny.train("run", {}, {"data.path=" + data});
  CAPTURE(o.err);
  CHECK(o.code == 65);
  CHECK(o.err.find("1/3.png") != std::string::npos);
  CHECK(!std::filesystem::exists(tiny.folder / "run/result.json"));
}

}  // namespace
}  // namespace taut::study
