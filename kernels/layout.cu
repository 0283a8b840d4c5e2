// An element of the result a thread.
#include "kernels/layout.h"

#include "kernels/convert.h"
#include "kernels/device.cuh"
#include "kernels/patch_pixel.cuh"
#include "kernels/sums.cuh"

namespace taut::TAUT_GPU {
namespace {

constexpr int kThreads = 256;

int64_t count(const CopyShape& shape) {
  int64_t n = 1;
  for (int d = 0; d < shape.dims; ++d) n *= shape.size[d];
  return n;
}

// Elements are counted along the dimensions as given, the last fastest.
template <class T>
__global__ void strided_copy_kernel(const T* from, T* to, CopyShape shape, int64_t n) {
  for (int64_t i = thread_in_grid(); i < n; i += threads_in_grid()) {
    int64_t at_from = 0, at_to = 0, rest = i;
    for (int d = shape.dims - 1; d >= 0; --d) {
      const int64_t index = rest % shape.size[d];
      rest /= shape.size[d];
      at_from += index * shape.stride_from[d];
      at_to += index * shape.stride_to[d];
    }
    to[at_to] = from[at_from];
  }
}

template <class T>
void copy(Stream stream, const void* from, void* to, const CopyShape& shape) {
  const int64_t n = count(shape);
  launch(strided_copy_kernel<T>, grid_for(n, kThreads), kThreads, 0, stream, static_cast<const T*>(from),
         static_cast<T*>(to), shape, n);
}

template <class T>
__global__ void patchify_forward_kernel(const Real<T>* images, const Real<T>* mean, const Real<T>* std, T* out,
                                        PatchShape shape, int64_t n) {
  for (int64_t i = thread_in_grid(); i < n; i += threads_in_grid()) {
    const Pixel pixel(shape, i);
    const Real<T> v = images[pixel.at];
    out[i] = convert<T>(std == nullptr ? v : (v - mean[pixel.channel]) / std[pixel.channel]);
  }
}

template <class T>
__global__ void patchify_backward_kernel(const T* dout, const Real<T>* std, Real<T>* dimages, PatchShape shape,
                                         int64_t n) {
  for (int64_t i = thread_in_grid(); i < n; i += threads_in_grid()) {
    const Pixel pixel(shape, i);
    const Real<T> g = widen(dout[i]);
    dimages[pixel.at] = std == nullptr ? g : g / std[pixel.channel];
  }
}

template <class T>
__global__ void assemble_tokens_forward_kernel(const T* patches, const T* cls, const T* pos, T* out, int64_t count,
                                               int64_t n, int64_t d) {
  for (int64_t i = thread_in_grid(); i < count; i += threads_in_grid()) {
    const int64_t row = i / d, j = i % d, image = row / (n + 1), token = row % (n + 1);
    const T first = token == 0 ? cls[j] : patches[(image * n + token - 1) * d + j];
    out[i] = convert<T>(widen(first) + widen(pos[token * d + j]));
  }
}

template <class T>
__global__ void patches_of_tokens_kernel(const T* dout, T* dpatches, int64_t count, int64_t n, int64_t d) {
  for (int64_t i = thread_in_grid(); i < count; i += threads_in_grid())
    dpatches[i] = dout[i / (n * d) * (n + 1) * d + d + i % (n * d)];
}

template <class T>
struct TokenTerm {
  const T* dout;
  int64_t stride;
  __device__ void operator()(int64_t row, int64_t j, Real<T> (&t)[1]) const { t[0] = widen(dout[row * stride + j]); }
};

}  // namespace

void strided_copy(Stream stream, const void* from, void* to, int64_t element_bytes, const CopyShape& shape) {
  switch (element_bytes) {
    case 1: return copy<uint8_t>(stream, from, to, shape);
    case 2: return copy<uint16_t>(stream, from, to, shape);
    case 4: return copy<uint32_t>(stream, from, to, shape);
    case 8: return copy<uint64_t>(stream, from, to, shape);
  }
}

template <class T>
void patchify_forward(Stream stream, const Real<T>* images, const Real<T>* mean, const Real<T>* std, T* out,
                      const PatchShape& shape) {
  const int64_t n = shape.b * shape.c * shape.h * shape.w;
  launch(patchify_forward_kernel<T>, grid_for(n, kThreads), kThreads, 0, stream, images, mean, std, out, shape, n);
}

template <class T>
void patchify_backward(Stream stream, const T* dout, const Real<T>* std, Real<T>* dimages, const PatchShape& shape) {
  const int64_t n = shape.b * shape.c * shape.h * shape.w;
  launch(patchify_backward_kernel<T>, grid_for(n, kThreads), kThreads, 0, stream, dout, std, dimages, shape, n);
}

template <class T>
void assemble_tokens_forward(Stream stream, const T* patches, const T* cls, const T* pos, T* out, int64_t b, int64_t n,
                             int64_t d) {
  const int64_t all = b * (n + 1) * d;
  launch(assemble_tokens_forward_kernel<T>, grid_for(all, kThreads), kThreads, 0, stream, patches, cls, pos, out, all,
         n, d);
}

template <class T>
void assemble_tokens_backward(Stream stream, const T* dout, T* dpatches, T* dcls, T* dpos, int64_t b, int64_t n,
                              int64_t d) {
  const int64_t stride = (n + 1) * d;
  if (dpatches != nullptr)
    launch(patches_of_tokens_kernel<T>, grid_for(b * n * d, kThreads), kThreads, 0, stream, dout, dpatches, b * n * d,
           n, d);
  if (dcls != nullptr) stored_column_sums<T, 1>(stream, {dcls}, b, d, TokenTerm<T>{dout, stride});
  if (dpos != nullptr) stored_column_sums<T, 1>(stream, {dpos}, b, stride, TokenTerm<T>{dout, stride});
}

TAUT_INSTANTIATE_LAYOUT(float)
TAUT_INSTANTIATE_LAYOUT(double)
TAUT_INSTANTIATE_LAYOUT(BF16)

}  // namespace taut::TAUT_GPU
