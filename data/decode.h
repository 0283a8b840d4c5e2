// Image files to RGB, with the same bytes as Pillow's `Image.open(f).convert("RGB")`, in the process that calls. What
// is read from files and archives is decoded through data/decode_isolated.h.
//
// The format is told by the content, never by the file's name: JPEG (libjpeg-turbo, accurate inverse DCT, smooth chroma
// upsampling), PNG (libpng), and BMP, TGA and binary PNM (stb_image). Grey is repeated three times, palettes are looked
// up, alpha is dropped (not blended), 16-bit colour keeps its high byte, 16-bit grey is clipped at 255 as Pillow's mode
// I;16 does, CMYK is read inverted as Adobe writes it. An orientation in the EXIF data is not applied.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "data/image.h"

namespace taut {

// What no image may exceed; a file beyond it is refused before memory is taken for its pixels.
struct DecodeLimits {
  static constexpr int64_t kFileBytes = int64_t{64} << 20;
  static constexpr int64_t kSide = 16384;
  static constexpr int64_t kPixels = 89'000'000;         // Pillow's limit against decompression bombs
  static constexpr int64_t kScans = 100;                 // of a progressive JPEG
  static constexpr int64_t kScanPixels = 1'000'000'000;  // scans x pixels: bounds the time, not only the memory
};

// Decodes one file's bytes to an image of 3 channels. `name` is what errors call it. Throws Error(kBadData) naming it
// for an unknown format, damaged or truncated data (a warning of the JPEG decoder counts), or a limit exceeded.
Image decode_image(std::span<const uint8_t> bytes, std::string_view name);

// Throws Error(kBadData) for a file that is empty or larger than DecodeLimits::kFileBytes.
void check_file_bytes(int64_t bytes, std::string_view name);

// True if the first bytes are those of a format that decode_image reads. TGA has no signature, so its name decides.
bool looks_like_image(std::span<const uint8_t> head, std::string_view name);

}  // namespace taut
