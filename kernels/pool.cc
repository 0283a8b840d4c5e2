#include "kernels/pool.h"

#include "kernels/loops.h"
#include "kernels/pool_window.h"

namespace taut::TAUT_CPU {
namespace {

// body(image, i, j, row) for every pixel of `height` x `width` pixels of all images, `row` being its number.
template <class Body>
void for_pixels(int64_t n, int64_t height, int64_t width, int64_t work, Body&& body) {
  parallel_for(n * height * width, rows_grain(work), [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      const int64_t j = row % width, i = row / width % height;
      body(row / width / height, i, j, row);
    }
  });
}

}  // namespace

template <class T>
void max_pool_forward(Stream, const T* x, T* y, PoolShape s) {
  const PoolAxis rows = rows_of(s), columns = columns_of(s);
  for_pixels(s.n, s.out_h, s.out_w, s.kernel.h * s.kernel.w * s.c, [&](int64_t b, int64_t i, int64_t j, int64_t row) {
    const int64_t top = rows.begin(i), bottom = rows.end(i), left = columns.begin(j), right = columns.end(j);
    for_vectors(0, s.c, [&](int64_t k, auto lanes) {
      Vec<T> most = broadcast(static_cast<T>(-__builtin_inf()));
      for (int64_t u = top; u < bottom; ++u)
        for (int64_t v = left; v < right; ++v) {
          const Vec<T> value = lanes.load(x + ((b * s.h + u) * s.w + v) * s.c + k);
          most = select(is_nan(value), value, select(less(most, value), value, most));
        }
      lanes.store(y + row * s.c + k, most);
    });
  });
}

template <class T>
void max_pool_backward(Stream, const T* dy, const T* x, T* dx, PoolShape s) {
  const PoolAxis rows = rows_of(s), columns = columns_of(s);
  const int64_t vectors = (s.c + kLanes - 1) / kLanes;
  // A task owns some channels of one image: windows that overlap are its own.
  parallel_for(s.n * vectors, rows_grain(s.h * s.w * kLanes), [&](int64_t begin, int64_t end) {
    for (int64_t task = begin; task < end; ++task) {
      const int64_t b = task / vectors, first = task % vectors * kLanes;
      const int64_t count = s.c - first < kLanes ? s.c - first : kLanes;
      const T* image = x + b * s.h * s.w * s.c + first;
      T* gradient = dx + b * s.h * s.w * s.c + first;
      for (int64_t p = 0; p < s.h * s.w; ++p) store_n(gradient + p * s.c, broadcast(T(0)), count);
      for (int64_t i = 0; i < s.out_h; ++i)
        for (int64_t j = 0; j < s.out_w; ++j) {
          int64_t place[kLanes];
          alignas(64) T most[kLanes];
          const int64_t top = rows.begin(i), bottom = rows.end(i), left = columns.begin(j), right = columns.end(j);
          const int64_t start = (top * s.w + left) * s.c;
          for (int64_t k = 0; k < count; ++k) {
            place[k] = start;
            most[k] = image[start + k];
          }
          for (int64_t u = top; u < bottom; ++u)
            for (int64_t v = left; v < right; ++v) {
              const int64_t at = (u * s.w + v) * s.c;
              for (int64_t k = 0; k < count; ++k) {
                const T value = image[at + k];
                const bool better = value > most[k] || value != value;
                place[k] = better ? at : place[k];
                most[k] = better ? value : most[k];
              }
            }
          const T* from = dy + ((b * s.out_h + i) * s.out_w + j) * s.c + first;
          for (int64_t k = 0; k < count; ++k) gradient[place[k] + k] += from[k];
        }
    }
  });
}

template <class T>
void avg_pool_forward(Stream, const T* x, T* y, PoolShape s) {
  const PoolAxis rows = rows_of(s), columns = columns_of(s);
  const int64_t work = s.outputs() == 0 ? 1 : (s.inputs() / s.outputs() + 1) * s.c;
  for_pixels(s.n, s.out_h, s.out_w, work, [&](int64_t b, int64_t i, int64_t j, int64_t row) {
    const int64_t top = rows.begin(i), left = columns.begin(j), width = columns.end(j) - left;
    const int64_t pixels = (rows.end(i) - top) * width, chunks = (pixels + kChunkRows - 1) / kChunkRows;
    const Vec<T> size = broadcast(window_size<T>(s, pixels));
    for_vectors(0, s.c, [&](int64_t k, auto lanes) {
      const auto chunk = [&](int64_t c) {
        const int64_t last = (c + 1) * kChunkRows < pixels ? (c + 1) * kChunkRows : pixels;
        Vec<T> sum = broadcast(T(0));
        int64_t u = c * kChunkRows / width, v = c * kChunkRows % width;
        for (int64_t p = c * kChunkRows; p < last; ++p) {
          sum = sum + lanes.load(x + ((b * s.h + top + u) * s.w + left + v) * s.c + k);
          if (++v == width) {
            v = 0;
            ++u;
          }
        }
        return sum;
      };
      lanes.store(y + row * s.c + k, fold_chunks<T>(chunks, chunk) / size);
    });
  });
}

template <class T>
void avg_pool_backward(Stream, const T* dy, T* dx, PoolShape s) {
  const PoolAxis rows = rows_of(s), columns = columns_of(s);
  for_pixels(s.n, s.h, s.w, 4 * s.c, [&](int64_t b, int64_t u, int64_t v, int64_t row) {
    const int64_t top = rows.first(u), bottom = rows.last(u), left = columns.first(v), right = columns.last(v);
    for_vectors(0, s.c, [&](int64_t k, auto lanes) {
      Vec<T> sum = broadcast(T(0));
      for (int64_t i = top; i < bottom; ++i)
        for (int64_t j = left; j < right; ++j) {
          const int64_t pixels = (rows.end(i) - rows.begin(i)) * (columns.end(j) - columns.begin(j));
          const Vec<T> g = lanes.load(dy + ((b * s.out_h + i) * s.out_w + j) * s.c + k);
          sum = sum + g / broadcast(window_size<T>(s, pixels));
        }
      lanes.store(dx + row * s.c + k, sum);
    });
  });
}

TAUT_INSTANTIATE_POOL(float)
TAUT_INSTANTIATE_POOL(double)

}  // namespace taut::TAUT_CPU
