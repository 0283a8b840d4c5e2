// A thread owns one output, or in a backward pass one pixel, of one channel.
#include "kernels/pool.h"

#include "kernels/device.cuh"
#include "kernels/pool_window.h"
#include "kernels/sums.cuh"

namespace taut::TAUT_GPU {
namespace {

constexpr int kThreads = 256;

// Element `at` of images (n, height, width, c): its image, row, column and channel.
struct Spot {
  int64_t image, row, column, channel;
  __device__ Spot(int64_t at, int64_t height, int64_t width, int64_t c)
      : image(at / (height * width * c)), row(at / (width * c) % height), column(at / c % width), channel(at % c) {}
};

template <class T>
__global__ void max_pool_forward_kernel(const T* x, T* y, PoolShape s) {
  const PoolAxis rows = rows_of(s), columns = columns_of(s);
  for (int64_t at = thread_in_grid(); at < s.outputs(); at += threads_in_grid()) {
    const Spot o(at, s.out_h, s.out_w, s.c);
    T most = static_cast<T>(-__builtin_inf());
    for (int64_t u = rows.begin(o.row); u < rows.end(o.row); ++u)
      for (int64_t v = columns.begin(o.column); v < columns.end(o.column); ++v) {
        const T value = x[((o.image * s.h + u) * s.w + v) * s.c + o.channel];
        if (value != value || most < value) most = value;
      }
    y[at] = most;
  }
}

// The element of the image that output (i, j) takes: the first greatest, or the last NaN.
template <class T>
__device__ int64_t greatest(const T* image, const PoolShape& s, const PoolAxis& rows, const PoolAxis& columns,
                            int64_t i, int64_t j) {
  int64_t place = (rows.begin(i) * s.w + columns.begin(j)) * s.c;
  T most = image[place];
  for (int64_t u = rows.begin(i); u < rows.end(i); ++u)
    for (int64_t v = columns.begin(j); v < columns.end(j); ++v) {
      const int64_t at = (u * s.w + v) * s.c;
      if (image[at] > most || image[at] != image[at]) {
        most = image[at];
        place = at;
      }
    }
  return place;
}

// Windows overlap: a pixel asks each window that sees it whether it was the greatest there.
template <class T>
__global__ void max_pool_backward_kernel(const T* dy, const T* x, T* dx, PoolShape s) {
  const PoolAxis rows = rows_of(s), columns = columns_of(s);
  for (int64_t at = thread_in_grid(); at < s.inputs(); at += threads_in_grid()) {
    const Spot pixel(at, s.h, s.w, s.c);
    const T* const image = x + pixel.image * s.h * s.w * s.c + pixel.channel;
    const int64_t mine = (pixel.row * s.w + pixel.column) * s.c;
    T sum = 0;
    for (int64_t i = rows.first(pixel.row); i < rows.last(pixel.row); ++i)
      for (int64_t j = columns.first(pixel.column); j < columns.last(pixel.column); ++j)
        if (greatest(image, s, rows, columns, i, j) == mine)
          sum = sum + dy[((pixel.image * s.out_h + i) * s.out_w + j) * s.c + pixel.channel];
    dx[at] = sum;
  }
}

template <class T>
__global__ void avg_pool_forward_kernel(const T* x, T* y, PoolShape s) {
  const PoolAxis rows = rows_of(s), columns = columns_of(s);
  for (int64_t at = thread_in_grid(); at < s.outputs(); at += threads_in_grid()) {
    const Spot o(at, s.out_h, s.out_w, s.c);
    const int64_t top = rows.begin(o.row), left = columns.begin(o.column), width = columns.end(o.column) - left;
    const int64_t pixels = (rows.end(o.row) - top) * width, chunks = (pixels + kChunkRows - 1) / kChunkRows;
    const auto chunk = [&](int64_t c) {
      T sum = 0;
      for (int64_t p = c * kChunkRows; p < pixels && p < (c + 1) * kChunkRows; ++p)
        sum = sum + x[((o.image * s.h + top + p / width) * s.w + left + p % width) * s.c + o.channel];
      return sum;
    };
    y[at] = fold_chunks<T>(chunks, chunk) / window_size<T>(s, pixels);
  }
}

template <class T>
__global__ void avg_pool_backward_kernel(const T* dy, T* dx, PoolShape s) {
  const PoolAxis rows = rows_of(s), columns = columns_of(s);
  for (int64_t at = thread_in_grid(); at < s.inputs(); at += threads_in_grid()) {
    const Spot pixel(at, s.h, s.w, s.c);
    T sum = 0;
    for (int64_t i = rows.first(pixel.row); i < rows.last(pixel.row); ++i)
      for (int64_t j = columns.first(pixel.column); j < columns.last(pixel.column); ++j) {
        const int64_t pixels = (rows.end(i) - rows.begin(i)) * (columns.end(j) - columns.begin(j));
        const T g = dy[((pixel.image * s.out_h + i) * s.out_w + j) * s.c + pixel.channel];
        sum = sum + g / window_size<T>(s, pixels);
      }
    dx[at] = sum;
  }
}

}  // namespace

template <class T>
void max_pool_forward(Stream stream, const T* x, T* y, PoolShape shape) {
  launch(max_pool_forward_kernel<T>, grid_for(shape.outputs(), kThreads), kThreads, 0, stream, x, y, shape);
}

template <class T>
void max_pool_backward(Stream stream, const T* dy, const T* x, T* dx, PoolShape shape) {
  launch(max_pool_backward_kernel<T>, grid_for(shape.inputs(), kThreads), kThreads, 0, stream, dy, x, dx, shape);
}

template <class T>
void avg_pool_forward(Stream stream, const T* x, T* y, PoolShape shape) {
  launch(avg_pool_forward_kernel<T>, grid_for(shape.outputs(), kThreads), kThreads, 0, stream, x, y, shape);
}

template <class T>
void avg_pool_backward(Stream stream, const T* dy, T* dx, PoolShape shape) {
  launch(avg_pool_backward_kernel<T>, grid_for(shape.inputs(), kThreads), kThreads, 0, stream, dy, dx, shape);
}

TAUT_INSTANTIATE_POOL(float)
TAUT_INSTANTIATE_POOL(double)

}  // namespace taut::TAUT_GPU
