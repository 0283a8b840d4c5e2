#include "data/resize.h"

#include <algorithm>
#include <cmath>

#include "kernels/error.h"

namespace taut {
namespace {

constexpr int kBits = 22;  // 8 bits of sample, 2 of head room in an int32

double weight(Filter filter, double x) {
  x = std::abs(x);
  if (filter == Filter::kBilinear) return x < 1 ? 1 - x : 0;
  constexpr double a = -0.5;
  if (x < 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
  if (x < 2) return (((x - 5) * x + 8) * x - 4) * a;
  return 0;
}

// Output o is the sum of taps[o * width + j] * input[first[o] + j] over j < count[o].
struct Axis {
  int64_t width = 0;  // room for taps of one output
  std::vector<int32_t> taps;
  std::vector<int64_t> first, count;
};

Axis make_axis(int64_t in, int64_t out, Filter filter) {
  const double scale = static_cast<double>(in) / static_cast<double>(out);
  const double filter_scale = std::max(scale, 1.0);
  const double support = (filter == Filter::kBilinear ? 1.0 : 2.0) * filter_scale;
  const double inverse = 1.0 / filter_scale;
  Axis axis;
  axis.width = static_cast<int64_t>(std::ceil(support)) * 2 + 1;
  axis.taps.assign(static_cast<size_t>(axis.width * out), 0);
  axis.first.resize(static_cast<size_t>(out));
  axis.count.resize(static_cast<size_t>(out));
  std::vector<double> row(static_cast<size_t>(axis.width));
  for (int64_t o = 0; o < out; ++o) {
    const double centre = (static_cast<double>(o) + 0.5) * scale;
    const auto low = std::max<int64_t>(0, static_cast<int64_t>(centre - support + 0.5));
    const auto high = std::min<int64_t>(in, static_cast<int64_t>(centre + support + 0.5));
    const int64_t n = high - low;
    double sum = 0;
    for (int64_t j = 0; j < n; ++j) {
      const double w = weight(filter, (static_cast<double>(j + low) - centre + 0.5) * inverse);
      row[static_cast<size_t>(j)] = w;
      sum += w;
    }
    for (int64_t j = 0; j < n; ++j) {
      double w = row[static_cast<size_t>(j)];
      if (sum != 0) w /= sum;
      const double fixed = w * (1 << kBits);
      axis.taps[static_cast<size_t>(o * axis.width + j)] = static_cast<int32_t>(fixed < 0 ? fixed - 0.5 : fixed + 0.5);
    }
    axis.first[static_cast<size_t>(o)] = low;
    axis.count[static_cast<size_t>(o)] = n;
  }
  return axis;
}

uint8_t round_to_byte(int32_t sum) { return static_cast<uint8_t>(std::clamp(sum >> kBits, 0, 255)); }

template <int kChannels>
void horizontal_row(const uint8_t* in, uint8_t* out, const Axis& axis, int64_t width) {
  const int32_t* taps = axis.taps.data();
  for (int64_t o = 0; o < width; ++o, taps += axis.width, out += kChannels) {
    const uint8_t* p = in + axis.first[static_cast<size_t>(o)] * kChannels;
    int32_t sums[kChannels];
    for (int c = 0; c < kChannels; ++c) sums[c] = 1 << (kBits - 1);
    const int64_t n = axis.count[static_cast<size_t>(o)];
    for (int64_t j = 0; j < n; ++j, p += kChannels) {
      for (int c = 0; c < kChannels; ++c) sums[c] += p[c] * taps[j];
    }
    for (int c = 0; c < kChannels; ++c) out[c] = round_to_byte(sums[c]);
  }
}

Image resize_width(const Image& image, int64_t width, Filter filter) {
  const Axis axis = make_axis(image.width, width, filter);
  Image result(image.height, width, image.channels);
  for (int64_t y = 0; y < image.height; ++y) {
    if (image.channels == 3) {
      horizontal_row<3>(image.row(y), result.row(y), axis, width);
    } else {
      horizontal_row<1>(image.row(y), result.row(y), axis, width);
    }
  }
  return result;
}

Image resize_height(const Image& image, int64_t height, Filter filter) {
  const Axis axis = make_axis(image.height, height, filter);
  Image result(height, image.width, image.channels);
  const int64_t n = image.width * image.channels;
  std::vector<int32_t> sums(static_cast<size_t>(n));
  for (int64_t o = 0; o < height; ++o) {
    std::fill(sums.begin(), sums.end(), 1 << (kBits - 1));
    int32_t* sum = sums.data();
    for (int64_t j = 0; j < axis.count[static_cast<size_t>(o)]; ++j) {
      const int32_t tap = axis.taps[static_cast<size_t>(o * axis.width + j)];
      const uint8_t* in = image.row(axis.first[static_cast<size_t>(o)] + j);
      for (int64_t i = 0; i < n; ++i) sum[i] += in[i] * tap;
    }
    uint8_t* out = result.row(o);
    for (int64_t i = 0; i < n; ++i) out[i] = round_to_byte(sum[i]);
  }
  return result;
}

}  // namespace

Image resize(const Image& image, int64_t height, int64_t width, Filter filter) {
  constexpr int64_t kSide = 16384;
  TAUT_CHECK(height >= 1 && width >= 1 && height <= kSide && width <= kSide,
             "[resize] expected 1 to {} pixels a side, got {} x {}", kSide, height, width);
  if (width == image.width) return height == image.height ? image : resize_height(image, height, filter);
  if (height == image.height) return resize_width(image, width, filter);
  // Pillow 13's rule; the rounding in between shows which pass was first.
  const int64_t shorter = image.height - height, narrower = image.width - width;
  if (shorter > 0 && shorter > 2 * narrower) {
    return resize_width(resize_height(image, height, filter), width, filter);
  }
  return resize_height(resize_width(image, width, filter), height, filter);
}

}  // namespace taut
