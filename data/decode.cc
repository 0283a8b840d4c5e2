#include "data/decode.h"

#include <cctype>
#include <cstring>

#include "data/decode_formats.h"
#include "kernels/error.h"

namespace taut {
namespace {

enum class Format { kUnknown, kJpeg, kPng, kStb, kGif, kWebp, kTiff };

bool starts_with(std::span<const uint8_t> bytes, std::string_view prefix, size_t at = 0) {
  return bytes.size() >= at + prefix.size() && std::memcmp(bytes.data() + at, prefix.data(), prefix.size()) == 0;
}

bool has_tga_name(std::string_view name) {
  if (name.size() < 4) return false;
  std::string end(name.substr(name.size() - 4));
  for (char& c : end) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return end == ".tga";
}

Format recognise(std::span<const uint8_t> bytes, std::string_view name) {
  if (starts_with(bytes, "\xff\xd8\xff")) return Format::kJpeg;
  if (starts_with(bytes, "\x89PNG\r\n\x1a\n")) return Format::kPng;
  if (starts_with(bytes, "BM") || starts_with(bytes, "P5") || starts_with(bytes, "P6")) return Format::kStb;
  if (starts_with(bytes, "GIF8")) return Format::kGif;
  if (starts_with(bytes, "RIFF") && starts_with(bytes, "WEBP", 8)) return Format::kWebp;
  if (starts_with(bytes, std::string_view("II*\0", 4)) || starts_with(bytes, std::string_view("MM\0*", 4))) {
    return Format::kTiff;
  }
  return has_tga_name(name) ? Format::kStb : Format::kUnknown;
}

}  // namespace

void check_dimensions(int64_t height, int64_t width, std::string_view name) {
  if (height < 1 || width < 1 || height > DecodeLimits::kSide || width > DecodeLimits::kSide ||
      height * width > DecodeLimits::kPixels) {
    fail(Exit::kBadData, "[{}] expected an image of 1 to {} pixels a side and at most {} in all, got {} x {}", name,
         DecodeLimits::kSide, DecodeLimits::kPixels, height, width);
  }
}

bool looks_like_image(std::span<const uint8_t> head, std::string_view name) {
  const Format format = recognise(head, name);
  return format == Format::kJpeg || format == Format::kPng || format == Format::kStb;
}

void check_file_bytes(int64_t bytes, std::string_view name) {
  if (bytes == 0) fail(Exit::kBadData, "[{}] expected an image, got an empty file", name);
  if (bytes > DecodeLimits::kFileBytes) {
    fail(Exit::kBadData, "[{}] expected an image file of at most {} bytes, got {}", name, DecodeLimits::kFileBytes,
         bytes);
  }
}

Image decode_image(std::span<const uint8_t> bytes, std::string_view name) {
  check_file_bytes(static_cast<int64_t>(bytes.size()), name);
  const char* other = "an unknown format";
  switch (recognise(bytes, name)) {
    case Format::kJpeg: return decode_jpeg(bytes, name);
    case Format::kPng: return decode_png(bytes, name);
    case Format::kStb: return decode_stb(bytes, name);
    case Format::kGif: other = "GIF"; break;
    case Format::kWebp: other = "WebP"; break;
    case Format::kTiff: other = "TIFF"; break;
    case Format::kUnknown: break;
  }
  fail(Exit::kBadData, "[{}] expected a JPEG, PNG, BMP, TGA or binary PNM image, got {}; hint: convert it", name,
       other);
}

}  // namespace taut
