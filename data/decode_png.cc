// PNG through libpng. Errors come back by longjmp, as in decode_jpeg.cc. Gamma, colour profiles and backgrounds are
// ignored, as Pillow ignores them: their chunks are skipped unread.
#include <png.h>

#include <cstdio>
#include <cstring>

#include "data/decode.h"
#include "data/decode_formats.h"
#include "kernels/error.h"

namespace taut {
namespace {

struct Reader {
  const uint8_t* data;
  size_t left;
  char message[256];
};

[[noreturn]] void on_error(png_structp png, png_const_charp text) {
  auto* reader = static_cast<Reader*>(png_get_error_ptr(png));
  std::snprintf(reader->message, sizeof reader->message, "%s", text);
  png_longjmp(png, 1);
}

// Damaged chunks are errors (see png_set_crc_action below); what is left to warn about does not touch the pixels.
void on_warning(png_structp, png_const_charp) {}

void read_bytes(png_structp png, png_bytep out, size_t n) {
  auto* reader = static_cast<Reader*>(png_get_io_ptr(png));
  if (n > reader->left) png_error(png, "the file ends early");
  std::memcpy(out, reader->data, n);
  reader->data += n;
  reader->left -= n;
}

struct Header {
  png_uint_32 width, height;
  int depth, colour;
};

bool read_header(png_structp png, png_infop info, Reader& reader, Header& header) {
  if (setjmp(png_jmpbuf(png)) != 0) return false;
  png_set_read_fn(png, &reader, read_bytes);
  png_set_crc_action(png, PNG_CRC_ERROR_QUIT, PNG_CRC_ERROR_QUIT);
  png_set_keep_unknown_chunks(png, PNG_HANDLE_CHUNK_NEVER, nullptr, -1);
  // Sizes are judged by check_dimensions, whose message names the limit.
  png_set_user_limits(png, PNG_UINT_31_MAX, PNG_UINT_31_MAX);
  png_read_info(png, info);
  png_get_IHDR(png, info, &header.width, &header.height, &header.depth, &header.colour, nullptr, nullptr, nullptr);
  return true;
}

// Sets the conversions; rows then hold 3 bytes a pixel, or 1 for grey, or 2 (big endian) for 16-bit grey without alpha.
bool start(png_structp png, png_infop info, const Header& header, size_t& row_bytes) {
  if (setjmp(png_jmpbuf(png)) != 0) return false;
  if (header.colour == PNG_COLOR_TYPE_PALETTE) png_set_palette_to_rgb(png);
  if (header.colour == PNG_COLOR_TYPE_GRAY && header.depth < 8) png_set_expand_gray_1_2_4_to_8(png);
  if (header.depth == 16 && header.colour != PNG_COLOR_TYPE_GRAY) png_set_strip_16(png);
  png_set_strip_alpha(png);
  png_set_interlace_handling(png);
  png_read_update_info(png, info);
  row_bytes = png_get_rowbytes(png, info);
  return true;
}

bool read_pixels(png_structp png, png_bytepp rows) {
  if (setjmp(png_jmpbuf(png)) != 0) return false;
  png_read_image(png, rows);
  png_read_end(png, nullptr);
  return true;
}

}  // namespace

Image decode_png(std::span<const uint8_t> bytes, std::string_view name) {
  Reader reader{bytes.data(), bytes.size(), ""};
  struct Handle {
    png_structp png = nullptr;
    png_infop info = nullptr;
    ~Handle() { png_destroy_read_struct(&png, &info, nullptr); }
  } handle;
  handle.png = png_create_read_struct(PNG_LIBPNG_VER_STRING, &reader, on_error, on_warning);
  if (handle.png != nullptr) handle.info = png_create_info_struct(handle.png);
  if (handle.info == nullptr) fail(Exit::kMemory, "[{}] expected memory for a PNG decoder, got none", name);
  const auto give_up = [&] { fail(Exit::kBadData, "[{}] expected a valid PNG, got: {}", name, reader.message); };

  Header header{};
  if (!read_header(handle.png, handle.info, reader, header)) give_up();
  check_dimensions(header.height, header.width, name);
  size_t row_bytes = 0;
  if (!start(handle.png, handle.info, header, row_bytes)) give_up();

  Image image(header.height, header.width, 3);
  const bool grey = (header.colour & PNG_COLOR_MASK_COLOR) == 0;
  const bool wide = header.colour == PNG_COLOR_TYPE_GRAY && header.depth == 16;
  const auto width = static_cast<size_t>(image.width), height = static_cast<size_t>(image.height);
  if (row_bytes != width * (wide ? 2 : grey ? 1 : 3)) {
    fail(Exit::kBadData, "[{}] expected rows of {} pixels, got {} bytes a row", name, width, row_bytes);
  }
  std::vector<uint8_t> raw(grey ? row_bytes * height : 0);
  std::vector<png_bytep> rows(height);
  for (size_t y = 0; y < height; ++y) {
    rows[y] = grey ? raw.data() + y * row_bytes : image.row(static_cast<int64_t>(y));
  }
  if (!read_pixels(handle.png, rows.data())) give_up();
  if (grey) {
    for (size_t i = 0; i < width * height; ++i) {
      const uint8_t value = !wide ? raw[i] : raw[2 * i] != 0 ? 255 : raw[2 * i + 1];
      for (size_t c = 0; c < 3; ++c) image.pixels[3 * i + c] = value;
    }
  }
  return image;
}

}  // namespace taut
