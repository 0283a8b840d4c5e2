// Golden cases of kinds `resize` and `jpeg` (the very bytes of Pillow) and `pos_embed`.
#include "data/decode.h"
#include "data/resize.h"
#include "nn/weights.h"
#include "tests/cases/golden.h"

namespace taut::cases {
namespace {

Tensor tensor_of(const Image& image) { return Tensor::from(image.pixels, {image.height, image.width, image.channels}); }

}  // namespace

void run_golden_resize(GoldenCase& c) {
  const std::string filter = c.attrs().at("filter");
  if (c.attrs().at("layout") != "hwc" || (filter != "bilinear" && filter != "bicubic"))
    return c.unsupported(fmt::format("filter '{}' or layout is not known", filter));
  const Tensor x = c.tensor("in.x"), wanted = c.tensor("out.0");
  if (x.ndim() != 3 || wanted.ndim() != 3) fail(Exit::kBadData, "[golden] expected images (h, w, c)");
  Image image(x.size(0), x.size(1), x.size(2));
  const auto pixels = x.span<uint8_t>();
  image.pixels.assign(pixels.begin(), pixels.end());
  const Image out =
      resize(image, wanted.size(0), wanted.size(1), filter == "bilinear" ? Filter::kBilinear : Filter::kBicubic);
  c.compare_exactly("out.0", tensor_of(out));
}

void run_golden_jpeg(GoldenCase& c) {
  const Tensor file = c.tensor("in.file");
  c.compare_exactly("out.0", tensor_of(decode_image(file.span<uint8_t>(), "in.file")));
}

void run_golden_pos_embed(GoldenCase& c) {
  const auto from = c.attrs().at("from").get<std::vector<int64_t>>(),
             to = c.attrs().at("to").get<std::vector<int64_t>>();
  const Tensor p = c.tensor("in.p");
  const Tensor out =
      nn::interpolate_positions(p, c.attrs().at("prefix_tokens"), from.at(0), from.at(1), to.at(0), to.at(1));
  c.compare_absolutely("out.0", out, kGoldenPositions);
}

}  // namespace taut::cases
