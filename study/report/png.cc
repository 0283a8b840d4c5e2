#include "study/report/png.h"

#include <png.h>

#include <algorithm>
#include <cmath>

#include "kernels/error.h"
#include "study/report/markup.h"

namespace taut::study {

std::vector<uint8_t> encode_png(std::span<const float> x, int64_t channels, int64_t height, int64_t width) {
  TAUT_CHECK((channels == 1 || channels == 3) && height >= 1 && width >= 1 && height <= 4096 && width <= 4096 &&
                 static_cast<int64_t>(x.size()) == channels * height * width,
             "[png] expected 1 or 3 channels of height x width values, got {} values for {} x {} x {}", x.size(),
             channels, height, width);
  std::vector<uint8_t> pixels(x.size());  // (height, width, channels)
  for (int64_t c = 0; c < channels; ++c) {
    for (int64_t i = 0; i < height * width; ++i) {
      const float v = x[static_cast<size_t>(c * height * width + i)];
      const float inside = v > 0 ? std::min(v, 1.0f) : 0.0f;  // false for NaN
      pixels[static_cast<size_t>(i * channels + c)] = static_cast<uint8_t>(std::lround(inside * 255.0f));
    }
  }
  png_image image = {};
  image.version = PNG_IMAGE_VERSION;
  image.width = static_cast<png_uint_32>(width);
  image.height = static_cast<png_uint_32>(height);
  image.format = channels == 3 ? PNG_FORMAT_RGB : PNG_FORMAT_GRAY;
  std::vector<uint8_t> bytes(PNG_IMAGE_PNG_SIZE_MAX(image));
  png_alloc_size_t size = bytes.size();
  const int ok = png_image_write_to_memory(&image, bytes.data(), &size, 0, pixels.data(), 0, nullptr);
  if (ok == 0) fail(Exit::kMemory, "[png] {}", image.message);
  bytes.resize(size);
  return bytes;
}

std::string png_data_uri(std::span<const float> x, int64_t channels, int64_t height, int64_t width) {
  return "data:image/png;base64," + base64(encode_png(x, channels, height, width));
}

}  // namespace taut::study
