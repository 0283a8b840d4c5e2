// A warp works on a row of logits.
#include "kernels/cross_entropy.h"

#include "kernels/convert.h"
#include "kernels/device.cuh"
#include "kernels/device_memory.h"
#include "kernels/sums.cuh"

namespace taut::TAUT_GPU {
namespace {

constexpr int kThreads = 128;

template <class T>
__global__ void cross_entropy_forward_kernel(const T* x, const int64_t* labels, Real<T>* loss, int64_t rows,
                                             int64_t classes, Real<T> label_smoothing) {
  using R = Real<T>;
  for (int64_t row = warp_in_grid(); row < rows; row += warps_in_grid()) {
    const T* in = x + row * classes;
    const R m = row_max<R>(classes, [&](int64_t i) { return widen(in[i]); });
    const R log_sum = log(row_sum<R>(classes, [&](int64_t i) { return exp(widen(in[i]) - m); }));
    R value = log_sum - (widen(in[labels[row]]) - m);
    if (label_smoothing != 0) {
      const R sum_x = row_sum<R>(classes, [&](int64_t i) { return widen(in[i]) - m; });
      value = (R(1) - label_smoothing) * value + label_smoothing * (log_sum - sum_x / static_cast<R>(classes));
    }
    if (lane() == 0) loss[row] = value;
  }
}

template <class T>
__global__ void cross_entropy_backward_kernel(const T* x, const int64_t* labels, const Real<T>* dloss, Real<T> scale,
                                              T* dx, int64_t rows, int64_t classes, Real<T> label_smoothing) {
  using R = Real<T>;
  const R share = label_smoothing / static_cast<R>(classes);
  for (int64_t row = warp_in_grid(); row < rows; row += warps_in_grid()) {
    const T* in = x + row * classes;
    T* out = dx + row * classes;
    const int64_t label = labels[row];
    const R m = row_max<R>(classes, [&](int64_t i) { return widen(in[i]); });
    // dx may be x: a lane reads an element before it writes it. Exponentials stay there if that does not round them.
    const R sum = row_sum<R>(classes, [&](int64_t i) {
      const R e = exp(widen(in[i]) - m);
      if constexpr (kSame<T, R>) out[i] = e;
      return e;
    });
    const auto kept = [&](int64_t i) -> R {
      if constexpr (kSame<T, R>)
        return out[i];
      else
        return exp(widen(in[i]) - m);
    };
    const R others = row_sum<R>(classes, [&](int64_t i) { return i == label ? R(0) : kept(i); });
    const R inverse = R(1) / sum;
    const R upstream = dloss != nullptr ? scale * dloss[row] : scale;
    for (int64_t i = lane(); i < classes; i += kWarpSize)
      out[i] = convert<T>(i == label ? upstream * ((label_smoothing - share) - others * inverse)
                                     : upstream * fma(kept(i), inverse, -share));
  }
}

__global__ void count_bad_labels_kernel(const int64_t* labels, int64_t rows, int64_t classes,
                                        unsigned long long* found) {
  for (int64_t i = thread_in_grid(); i < rows; i += threads_in_grid())
    if (labels[i] < 0 || labels[i] >= classes) atomicAdd(found, 1ull);
}

}  // namespace

template <class T>
void cross_entropy_forward(Stream stream, const T* x, const int64_t* labels, Real<T>* loss, int64_t rows,
                           int64_t classes, Real<T> label_smoothing) {
  launch(cross_entropy_forward_kernel<T>, grid_of_warps(rows, kThreads), kThreads, 0, stream, x, labels, loss, rows,
         classes, label_smoothing);
}

template <class T>
void cross_entropy_backward(Stream stream, const T* x, const int64_t* labels, const Real<T>* dloss, Real<T> scale,
                            T* dx, int64_t rows, int64_t classes, Real<T> label_smoothing) {
  launch(cross_entropy_backward_kernel<T>, grid_of_warps(rows, kThreads), kThreads, 0, stream, x, labels, dloss, scale,
         dx, rows, classes, label_smoothing);
}

void count_bad_labels(Stream stream, const int64_t* labels, int64_t rows, int64_t classes, int64_t* found) {
  const DeviceScratch<unsigned long long> count(1);
  zero_memory(count, this_device(), sizeof(unsigned long long));
  launch(count_bad_labels_kernel, grid_for(rows, kThreads), kThreads, 0, stream, labels, rows, classes,
         static_cast<unsigned long long*>(count));
  copy_memory(found, Device{}, count, this_device(), sizeof(int64_t));
}

TAUT_INSTANTIATE_CROSS_ENTROPY(float)
TAUT_INSTANTIATE_CROSS_ENTROPY(double)
TAUT_INSTANTIATE_CROSS_ENTROPY(BF16)

}  // namespace taut::TAUT_GPU
