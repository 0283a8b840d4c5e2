// 3x3 convolutions of stride 1 in f32 by Winograd's F(4x4, 3x3) (kernels/winograd.h): the image is cut into tiles of
// 4x4 outputs that read 6x6 inputs, and for each of the 36 elements of a transformed tile
//
//   forward   m (tiles, c_out) = v (tiles, c_in) u (c_in, c_out)         y  = At m A
//   input     the forward pass of dy with the weights turned around
//   weight    p (c_in, c_out)  = v (tiles, c_in)T z (tiles, c_out)       dw = Gt p G
//
// with v = Bt d B of the inputs, u = G g Gt of the weights, z = A dy At of the gradients: 36 multiplications where the
// plain sum has 144. Products follow the contract; of the weight gradient, blocks are of at most 64 tiles.
#include "kernels/conv2d_parts.h"
#include "kernels/conv2d_patches.h"
#include "kernels/loops.h"
#include "kernels/parallel.h"
#include "kernels/winograd.h"

namespace taut::TAUT_CPU {
namespace {

constexpr int64_t kElements = 36;   // of a transformed tile
constexpr int64_t kTileBlock = 64;  // the longest chain over tiles
constexpr int64_t kWidth = PackedTaps<float>::kWidth;

// n elements as an odd number of cache lines: 36 arrays that are written side by side must not share the sets of a
// cache.
constexpr int64_t odd_lines(int64_t n) { return (ceil_div(n, kLanes) | 1) * kLanes; }

// Images (n, h, w, c) cut into 4x4 tiles of outputs.
struct Tiling {
  int64_t n, out_h, out_w, down, across;
  Tiling(int64_t n_, int64_t out_h_, int64_t out_w_)
      : n(n_), out_h(out_h_), out_w(out_w_), down(ceil_div(out_h, 4)), across(ceil_div(out_w, 4)) {}
  int64_t count() const { return n * down * across; }
};

// One tile's position.
struct Place {
  int64_t image, y, x;  // of its first output
  Place(const Tiling& t, int64_t tile)
      : image(tile / (t.down * t.across)), y(tile / t.across % t.down * 4), x(tile % t.across * 4) {}
};

// The window of `size` x `size` pixels from (y, x) on, 16 channels of each; zeros outside.
template <int kSize, class Body>
TAUT_INLINE void with_window(const float* image, int64_t h, int64_t w, int64_t c, int64_t y, int64_t x, Body&& body) {
  if (y >= 0 && x >= 0 && y + kSize <= h && x + kSize <= w) {
    const float* const first = image + (y * w + x) * c;
    body([&](int i, int j, int64_t channel, auto lanes)
             __attribute__((always_inline)) { return lanes.load(first + (i * w + j) * c + channel); });
  } else {
    body([&](int i, int j, int64_t channel, auto lanes) __attribute__((always_inline)) {
      const bool inside = y + i >= 0 && y + i < h && x + j >= 0 && x + j < w;
      return inside ? lanes.load(image + ((y + i) * w + x + j) * c + channel) : broadcast(0.0f);
    });
  }
}

// Fetches the pixels of tile t that no tile before it has in its window into L2: from cold memory the transforms would
// wait.
TAUT_INLINE void fetch_pixels(const float* x, int64_t h, int64_t w, int64_t c, const Tiling& tiling, int64_t t) {
  if (t >= tiling.count()) return;
  const Place at(tiling, t);
  const int64_t columns = smaller(4, w - at.x) * c;
  for (int64_t i = 0; i < smaller(4, h - at.y); ++i) {
    const float* const row = x + ((at.image * h + at.y + i) * w + at.x) * c;
    for (int64_t q = 0; q < columns; q += kLanes) __builtin_prefetch(row + q, 0, 2);
  }
}

// v[e stride + channel] = element e of Bt d B; whole vectors are stored.
void transform_image(const float* x, int64_t h, int64_t w, int64_t c, int64_t top, int64_t left, float* v,
                     int64_t stride) {
  with_window<6>(x, h, w, c, top, left, [&](auto&& pixel) {
    for_vectors(0, c, [&](int64_t at, auto lanes) {
      winograd::both_ways<winograd::Image, F>([&](int i, int j) { return pixel(i, j, at, lanes); },
                                              [&](int i, int j, F e) { store(v + (6 * i + j) * stride + at, e); });
    });
  });
}

// The same of A dy At.
void transform_gradient(const float* dy, int64_t h, int64_t w, int64_t c, int64_t top, int64_t left, float* z,
                        int64_t stride) {
  with_window<4>(dy, h, w, c, top, left, [&](auto&& pixel) {
    for_vectors(0, c, [&](int64_t at, auto lanes) {
      winograd::both_ways<winograd::OutputGradient, F>(
          [&](int i, int j) { return pixel(i, j, at, lanes); },
          [&](int i, int j, F e) { store(z + (6 * i + j) * stride + at, e); });
    });
  });
}

// Transformed weights u (36, k, n) as panels: for each panel of columns, for each block of k, for each element,
// [k][width].
struct Weights {
  float* data = nullptr;
  int64_t k, n, kb, padded;
  Weights(int64_t k_, int64_t n_) : k(k_), n(n_), kb(k_block(k_)), padded(whole_vectors(n_)) {}
  int64_t size() const { return kElements * (k * padded + ceil_div(k, kb) * panels() * 2 * kLanes); }
  int64_t panels() const { return ceil_div(padded, kWidth); }
  int64_t width(int64_t panel) const { return smaller(kWidth, padded - panel * kWidth); }
  // From one element to the next, in the block of k that starts with step p0.
  int64_t stride(int64_t panel, int64_t p0) const { return odd_lines(smaller(kb, k - p0) * width(panel)); }
  float* block(int64_t panel, int64_t p0, int64_t element) const {
    const int64_t full = k / kb, rest = k % kb, wide = kWidth;  // blocks of a panel before this one are as wide
    const int64_t before = panel * (full * odd_lines(kb * wide) + (rest > 0 ? odd_lines(rest * wide) : 0));
    return data + kElements * (before + p0 / kb * odd_lines(kb * width(panel))) + element * stride(panel, p0);
  }
  // Stores G g Gt for taps[9] of step p and the 16 columns from j on.
  void put(int64_t p, int64_t j, const F* taps) const {
    const int64_t panel = j / kWidth, p0 = p / kb * kb, distance = stride(panel, p0);
    float* const to = block(panel, p0, 0) + (p - p0) * width(panel) + j % kWidth;
    winograd::both_ways<winograd::Weight, F>([&](int i, int q) { return taps[3 * i + q]; },
                                             [&](int i, int q, F e) { store(to + (6 * i + q) * distance, e); });
  }
};

// u of w (n, k, 3, 3).
void transform_weights(const float* w, const Weights& u) {
  parallel_for(u.padded / kLanes, larger(1, 4096 / (u.k * kLanes)), [&](int64_t begin, int64_t end) {
    F taps[9];
    int64_t have = 0;
    for_transposed(w, 9 * u.k, 9 * u.k, u.n, begin * kLanes, end * kLanes, [&](int64_t p, int64_t j, F v) {
      taps[have++] = v;
      if (have < 9) return;
      have = 0;
      u.put(p / 9, j, taps);
    });
  });
}

// u of w (k, n, 3, 3) turned around: the taps of the input gradient.
void transform_weights_turned(const float* w, const Weights& u) {
  parallel_for(u.k, larger(1, 4096 / u.padded), [&](int64_t begin, int64_t end) {
    alignas(64) float rows[16 * kLanes], block[16 * kLanes];
    for (int64_t p = begin; p < end; ++p) {
      for (int64_t j = 0; j < u.padded; j += kLanes) {
        // 16 columns of 9 taps lie side by side: transposed, tap by tap.
        const int64_t valid = smaller(kLanes, u.n - j);
        const float* const from = w + (p * u.n + j) * 9;
        for (int64_t i = 0; i < kLanes; ++i)
          store(rows + i * kLanes, i < valid ? load_partial(from + i * 9, 9) : broadcast(0.0f));
        pack_transposed_block(rows, kLanes, block, kLanes);
        F taps[9];
        for (int t = 0; t < 9; ++t) taps[t] = load(block + (8 - t) * kLanes);
        u.put(p, j, taps);
      }
    }
  });
}

// Tiles of one task: their transformed inputs should stay in L2, unless it is the weights that leave even L3 (measured
// on Zen 4: 28 to 56 tiles differ by 6 % at most).
int64_t tiles_at_once(const Weights& u) {
  constexpr int64_t kRows = TileSize<float>::kRows;
  if (u.size() > 4'000'000) return 4 * kRows;
  const int64_t fit = 160'000 / (kElements * (whole_vectors(u.k) + 16));
  return larger(2 * kRows, smaller(fit, 3 * kRows) / kRows * kRows);
}

// y (n, out_h, out_w, c_out) = conv(x (n, h, w, u.k), u) + bias for tiles t0 .. t1-1 and panels panel0 .. panel1-1; the
// caller is likely to go on with tile `next`.
void convolve_tiles(const float* x, int64_t h, int64_t w, int64_t padding, const Weights& u, const float* bias,
                    float* y, const Tiling& tiling, int64_t t0, int64_t t1, int64_t next, int64_t panel0,
                    int64_t panel1) {
  const int64_t k = u.k, n = u.n, count = t1 - t0, pitch = whole_vectors(k) + 16, stride = odd_lines(count * pitch);
  float* const v = static_cast<float*>(thread_scratch(0, sizeof(float) * static_cast<size_t>(kElements * stride)));
  float* const m = static_cast<float*>(
      thread_scratch(1, sizeof(float) * static_cast<size_t>(kElements * odd_lines(count * kWidth))));
  for (int64_t t = 0; t < count; ++t) {
    const Place at(tiling, t0 + t);
    transform_image(x + at.image * h * w * k, h, w, k, at.y - padding, at.x - padding, v + t * pitch, stride);
  }
  const auto fetch_outputs = [&](int64_t t, int64_t j) {
    const Place at(tiling, t0 + t);
    for (int64_t i = 0; i < smaller(4, tiling.out_h - at.y); ++i)
      for (int64_t q = 0; q < smaller(4, tiling.out_w - at.x); ++q) {
        const float* const pixel = y + ((at.image * tiling.out_h + at.y + i) * tiling.out_w + at.x + q) * n + j;
        __builtin_prefetch(pixel, 1);
        __builtin_prefetch(pixel + 16, 1);
      }
  };
  const Tiles rows(count, TileSize<float>::kRows);
  for (int64_t panel = panel0; panel < panel1; ++panel) {
    const int64_t width = u.width(panel), stride_m = odd_lines(count * width);
    const auto& kernels = kernels_of<float>(width);
    for (int64_t p0 = 0; p0 < k; p0 += u.kb) {
      const int64_t kc = smaller(u.kb, k - p0);
      for (int64_t e = 0; e < kElements; ++e) {
        const float* const b = u.block(panel, p0, e);
        // The next task's images.
        const int64_t part = (panel - panel0) * kElements + e, parts = (panel1 - panel0) * kElements;
        if (p0 == 0)
          for (int64_t t = part * count / parts; t < (part + 1) * count / parts; ++t)
            fetch_pixels(x, h, w, k, tiling, next + t);
        // The outputs will be written in small pieces all over: fetch them meanwhile.
        if (p0 + kc >= k)
          for (int64_t t = e * count / kElements; t < (e + 1) * count / kElements; ++t)
            fetch_outputs(t, panel * kWidth);
        for (int64_t t = 0; t < rows.count; ++t) {
          const int64_t i = rows.first(t);
          float* const c = m + e * stride_m + i * width;
          kernels[rows.first(t + 1) - i - 1][kApart]({.k = kc,
                                                      .a = v + e * stride + i * pitch + p0,
                                                      .lda = pitch,
                                                      .b = b,
                                                      .ldb = width,
                                                      .before = p0 == 0 ? nullptr : c,
                                                      .ldbefore = width,
                                                      .bias = nullptr,
                                                      .residual = nullptr,
                                                      .c = c,
                                                      .ldc = width,
                                                      .prefetch = {}});
        }
      }
    }
    const int64_t j0 = panel * kWidth;
    for (int64_t t = 0; t < count; ++t) {
      const Place at(tiling, t0 + t);
      float* const to = y + ((at.image * tiling.out_h + at.y) * tiling.out_w + at.x) * n;
      const int64_t down = smaller(4, tiling.out_h - at.y), across = smaller(4, tiling.out_w - at.x);
      const bool whole = down == 4 && across == 4;
      for_vectors(j0, smaller(n, j0 + width), [&](int64_t j, auto lanes) {
        const float* const from = m + t * width + j - j0;
        const auto get = [&](int i, int q) { return load(from + (6 * i + q) * stride_m); };
        const auto put = [&](int i, int q, F e) { lanes.store(to + (i * tiling.out_w + q) * n + j, e); };
        if (bias != nullptr) {
          const F b = lanes.load(bias + j);
          winograd::both_ways<winograd::Output, F>(get, [&](int i, int q, F e) {
            if (i < down && q < across) put(i, q, e + b);
          });
        } else if (whole) {
          winograd::both_ways<winograd::Output, F>(get, put);
        } else {
          winograd::both_ways<winograd::Output, F>(get, [&](int i, int q, F e) {
            if (i < down && q < across) put(i, q, e);
          });
        }
      });
    }
  }
}

void convolve(const float* x, int64_t h, int64_t w, int64_t padding, const Weights& u, const float* bias, float* y,
              const Tiling& tiling) {
  const int64_t threads = num_threads(), tiles = tiling.count(), panels = u.panels();
  if (tiles == 0) return;
  int64_t block = tiles_at_once(u);
  if (threads > 1 && tiles < 4 * threads * block)
    block = larger(TileSize<float>::kRows, smaller(block, ceil_div(tiles, 2 * threads)));
  const int64_t blocks = ceil_div(tiles, block);
  const int64_t parts = threads == 1 || blocks >= threads ? 1 : smaller(panels, ceil_div(threads, blocks));
  parallel_for(blocks * parts, 1, [&](int64_t begin, int64_t end) {
    for (int64_t task = begin; task < end; ++task) {
      const int64_t b = task / parts, part = task % parts;
      convolve_tiles(x, h, w, padding, u, bias, y, tiling, b * tiles / blocks, (b + 1) * tiles / blocks,
                     (b + threads) * tiles / blocks, part * panels / parts, (part + 1) * panels / parts);
    }
  });
}

// dw (c_out, c, 3, 3) = Gt p G, p (36, c, padded).
void gradients_of_weights(const float* p, int64_t stride, int64_t c_in, int64_t c_out, int64_t padded, float* dw) {
  const int64_t rows = ceil_div(c_in, 16);
  parallel_for(padded / kLanes * rows, 1, [&](int64_t begin, int64_t end) {
    alignas(64) float taps[16 * 9 * kLanes];  // [channel][tap][16 outputs]
    for (int64_t task = begin; task < end; ++task) {
      const int64_t j = task / rows * kLanes, c0 = task % rows * 16;
      const int64_t channels = smaller(16, c_in - c0), outputs = smaller(kLanes, c_out - j);
      for (int64_t c = 0; c < channels; ++c) {
        const float* const from = p + (c0 + c) * padded + j;
        winograd::both_ways<winograd::WeightGradient, F>(
            [&](int i, int q) { return load(from + (6 * i + q) * stride); },
            [&](int i, int q, F e) { store(taps + (9 * c + 3 * i + q) * kLanes, e); });
      }
      for (int64_t at = 0; at < 9 * channels; at += 16) {
        float* const to = dw + (j * c_in + c0) * 9 + at;
        const int64_t steps = smaller(16, 9 * channels - at);
        if (outputs == kLanes && steps == 16) {
          pack_transposed_block(taps + at * kLanes, kLanes, to, 9 * c_in);
        } else {
          for (int64_t o = 0; o < outputs; ++o)
            for (int64_t q = 0; q < steps; ++q) to[o * 9 * c_in + q] = taps[(at + q) * kLanes + o];
        }
      }
    }
  });
}

// p (36, c_in, padded) = sum over tiles of v z, a chunk of tiles at a time.
struct WeightGradient {
  const float *dy, *x;
  const ConvShape& s;
  const Tiling tiling;
  const int64_t tiles, kb, padded, panels, pitch_v, pitch_z, chunk, stride_v, stride_z, stride_p;
  float *p = nullptr, *v = nullptr, *z = nullptr;

  WeightGradient(const float* dy_, const float* x_, const ConvShape& s_)
      : dy(dy_),
        x(x_),
        s(s_),
        tiling(s.n, s.out_h(), s.out_w()),
        tiles(tiling.count()),
        kb(larger(1, k_block(tiles, kTileBlock))),
        padded(whole_vectors(s.c_out)),
        panels(ceil_div(padded, kWidth)),
        pitch_v(whole_vectors(s.c_in) + 16),
        pitch_z(padded + 16),
        chunk(smaller(kb * num_threads(), larger(kb, tiles))),
        stride_v(odd_lines(chunk * pitch_v)),
        stride_z(odd_lines(chunk * pitch_z)),
        stride_p(odd_lines(s.c_in * padded)) {}

  void add_tiles() const {
    const Tiles rows(s.c_in, TileSize<float>::kRows);
    for (int64_t t0 = 0; t0 < tiles || t0 == 0; t0 += chunk) {
      const int64_t count = smaller(chunk, tiles - t0);
      parallel_for(count, num_threads() == 1 ? count : 4, [&](int64_t begin, int64_t end) {
        for (int64_t t = begin; t < end; ++t) {
          const Place at(tiling, t0 + t);
          transform_image(x + at.image * s.h * s.w * s.c_in, s.h, s.w, s.c_in, at.y - s.padding.h, at.x - s.padding.w,
                          v + t * pitch_v, stride_v);
          transform_gradient(dy + at.image * tiling.out_h * tiling.out_w * s.c_out, tiling.out_h, tiling.out_w, s.c_out,
                             at.y, at.x, z + t * pitch_z, stride_z);
        }
      });
      parallel_for(kElements * panels, 1, [&](int64_t begin, int64_t end) {
        for (int64_t task = begin; task < end; ++task) {
          const int64_t e = task / panels, j = task % panels * kWidth, width = smaller(kWidth, padded - j);
          const auto& kernels = kernels_of<float>(width);
          const int64_t tasks = kElements * panels, next = t0 + chunk;
          for (int64_t t = next + task * chunk / tasks; t < next + (task + 1) * chunk / tasks; ++t) {
            fetch_pixels(x, s.h, s.w, s.c_in, tiling, t);
            fetch_pixels(dy, tiling.out_h, tiling.out_w, s.c_out, tiling, t);
          }
          for (int64_t q = 0; q < count || q == 0; q += kb) {
            for (int64_t t = 0; t < rows.count; ++t) {
              const int64_t i = rows.first(t);
              float* const c = p + e * stride_p + i * padded + j;
              kernels[rows.first(t + 1) - i - 1][kBeside]({.k = smaller(kb, count - q),
                                                           .a = v + e * stride_v + q * pitch_v + i,
                                                           .lda = pitch_v,
                                                           .b = z + e * stride_z + q * pitch_z + j,
                                                           .ldb = pitch_z,
                                                           .before = t0 + q == 0 ? nullptr : c,
                                                           .ldbefore = padded,
                                                           .bias = nullptr,
                                                           .residual = nullptr,
                                                           .c = c,
                                                           .ldc = padded,
                                                           .prefetch = {}});
            }
          }
        }
      });
    }
  }
};

}  // namespace

void conv_winograd_forward(const float* x, const float* w, const float* bias, float* y, const ConvShape& s) {
  Weights u(s.c_in, s.c_out);
  u.data = static_cast<float*>(thread_scratch(2, sizeof(float) * static_cast<size_t>(u.size())));
  transform_weights(w, u);
  convolve(x, s.h, s.w, s.padding.h, u, bias, y, Tiling(s.n, s.out_h(), s.out_w()));
}

void conv_winograd_backward_input(const float* dy, const float* w, float* dx, const ConvShape& s) {
  Weights u(s.c_out, s.c_in);
  u.data = static_cast<float*>(thread_scratch(2, sizeof(float) * static_cast<size_t>(u.size())));
  transform_weights_turned(w, u);
  convolve(dy, s.out_h(), s.out_w(), 2 - s.padding.h, u, nullptr, dx, Tiling(s.n, s.h, s.w));
}

void conv_winograd_backward_weight(const float* dy, const float* x, float* dw, const ConvShape& s) {
  WeightGradient g(dy, x, s);
  const int64_t p_size = kElements * g.stride_p, each = kElements * (g.stride_v + g.stride_z);
  g.p = static_cast<float*>(thread_scratch(2, sizeof(float) * static_cast<size_t>(p_size)));
  g.v = static_cast<float*>(thread_scratch(3, sizeof(float) * static_cast<size_t>(each)));
  g.z = g.v + kElements * g.stride_v;
  g.add_tiles();
  gradients_of_weights(g.p, g.stride_p, s.c_in, s.c_out, g.padded, dw);
}

}  // namespace taut::TAUT_CPU
