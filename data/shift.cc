#include "data/shift.h"

#include <algorithm>
#include <cmath>

#include "kernels/error.h"
#include "kernels/math.h"
#include "tensor/random.h"

namespace taut {
namespace {

constexpr float kPi = 3.14159265358979f;

uint8_t to_byte(float value) { return static_cast<uint8_t>(std::clamp(value, 0.0f, 255.0f) + 0.5f); }

Random stream(uint64_t seed, uint64_t kind, int64_t index) {
  return Random(seed, Purpose::kShift, kind, static_cast<uint64_t>(index));
}

}  // namespace

Image rotate(const Image& image, float radians) {
  Image result(image.height, image.width, image.channels);
  const float c = scalar::cos(radians), s = scalar::sin(radians);
  const float mid_x = static_cast<float>(image.width - 1) / 2, mid_y = static_cast<float>(image.height - 1) / 2;
  const auto sample = [&](int64_t y, int64_t x, int64_t channel) -> float {
    const bool inside = y >= 0 && y < image.height && x >= 0 && x < image.width;
    return inside ? static_cast<float>(image.row(y)[x * image.channels + channel]) : 0.0f;
  };
  for (int64_t y = 0; y < image.height; ++y) {
    for (int64_t x = 0; x < image.width; ++x) {
      // Rows go down, so turning the picture counter-clockwise reads the source clockwise.
      const float dx = static_cast<float>(x) - mid_x, dy = static_cast<float>(y) - mid_y;
      const float from_x = c * dx - s * dy + mid_x, from_y = s * dx + c * dy + mid_y;
      const float left = std::floor(from_x), top = std::floor(from_y);
      const float fx = from_x - left, fy = from_y - top;
      const auto x0 = static_cast<int64_t>(left), y0 = static_cast<int64_t>(top);
      for (int64_t k = 0; k < image.channels; ++k) {
        const float upper = (1 - fx) * sample(y0, x0, k) + fx * sample(y0, x0 + 1, k);
        const float lower = (1 - fx) * sample(y0 + 1, x0, k) + fx * sample(y0 + 1, x0 + 1, k);
        result.row(y)[x * image.channels + k] = to_byte((1 - fy) * upper + fy * lower);
      }
    }
  }
  return result;
}

Image put_on_texture(const Image& image, float frequency, float direction, float phase) {
  Image result = image;
  const float wave_x = kPi * frequency * scalar::cos(direction), wave_y = kPi * frequency * scalar::sin(direction);
  for (int64_t y = 0; y < image.height; ++y) {
    const float v = (2 * static_cast<float>(y) + 1) / static_cast<float>(image.height) - 1;
    for (int64_t x = 0; x < image.width; ++x) {
      const float u = (2 * static_cast<float>(x) + 1) / static_cast<float>(image.width) - 1;
      const uint8_t texture = to_byte(255 * (0.2f + 0.2f * scalar::sin(wave_x * u + wave_y * v + phase)));
      uint8_t* pixel = result.row(y) + x * image.channels;
      for (int64_t k = 0; k < image.channels; ++k) pixel[k] = std::max(pixel[k], texture);
    }
  }
  return result;
}

DatasetPtr shifted(DatasetPtr base, const std::string& kind, uint64_t seed) {
  TAUT_CHECK(kind == "rotation" || kind == "texture", "[shift] expected rotation or texture, got '{}'", kind);
  const std::string name = base->name() + "-" + kind;
  const std::string identity = fmt::format("{} with seed {}", kind, seed);
  if (kind == "rotation") {
    return transformed(
        std::move(base), name,
        [seed](const Image& image, int64_t i) {
          Random random = stream(seed, 0, i);
          return rotate(image, static_cast<float>(random.uniform(-30, 30)) * (kPi / 180));
        },
        identity);
  }
  return transformed(
      std::move(base), name,
      [seed](const Image& image, int64_t i) {
        Random random = stream(seed, 1, i);
        const auto frequency = static_cast<float>(random.uniform(2, 6));
        const auto direction = static_cast<float>(random.uniform(0, kPi));
        return put_on_texture(image, frequency, direction, static_cast<float>(random.uniform(0, 2 * kPi)));
      },
      identity);
}

}  // namespace taut
