// A warp works on a row of logits.
#include "kernels/cross_entropy.h"

#include "kernels/device.cuh"
#include "kernels/device_memory.h"
#include "kernels/sums.cuh"

namespace taut::TAUT_GPU {
namespace {

constexpr int kThreads = 128;

template <class T>
__global__ void cross_entropy_forward_kernel(const T* x, const int64_t* labels, T* loss, int64_t rows, int64_t classes,
                                             T label_smoothing) {
  for (int64_t row = warp_in_grid(); row < rows; row += warps_in_grid()) {
    const T* in = x + row * classes;
    const T m = row_max<T>(classes, [&](int64_t i) { return in[i]; });
    const T log_sum = log(row_sum<T>(classes, [&](int64_t i) { return exp(in[i] - m); }));
    T value = log_sum - (in[labels[row]] - m);
    if (label_smoothing != 0) {
      const T sum_x = row_sum<T>(classes, [&](int64_t i) { return in[i] - m; });
      value = (T(1) - label_smoothing) * value + label_smoothing * (log_sum - sum_x / static_cast<T>(classes));
    }
    if (lane() == 0) loss[row] = value;
  }
}

template <class T>
__global__ void cross_entropy_backward_kernel(const T* x, const int64_t* labels, const T* dloss, T scale, T* dx,
                                              int64_t rows, int64_t classes, T label_smoothing) {
  const T share = label_smoothing / static_cast<T>(classes);
  for (int64_t row = warp_in_grid(); row < rows; row += warps_in_grid()) {
    const T* in = x + row * classes;
    T* out = dx + row * classes;
    const int64_t label = labels[row];
    const T m = row_max<T>(classes, [&](int64_t i) { return in[i]; });
    // dx may be x: a lane reads an element before it writes it.
    const T sum = row_sum<T>(classes, [&](int64_t i) { return out[i] = exp(in[i] - m); });
    const T others = row_sum<T>(classes, [&](int64_t i) { return i == label ? T(0) : out[i]; });
    const T inverse = T(1) / sum;
    const T upstream = dloss != nullptr ? scale * dloss[row] : scale;
    for (int64_t i = lane(); i < classes; i += kWarpSize)
      out[i] = i == label ? upstream * ((label_smoothing - share) - others * inverse)
                          : upstream * fma(out[i], inverse, -share);
  }
}

__global__ void count_bad_labels_kernel(const int64_t* labels, int64_t rows, int64_t classes,
                                        unsigned long long* found) {
  for (int64_t i = thread_in_grid(); i < rows; i += threads_in_grid())
    if (labels[i] < 0 || labels[i] >= classes) atomicAdd(found, 1ull);
}

}  // namespace

template <class T>
void cross_entropy_forward(Stream stream, const T* x, const int64_t* labels, T* loss, int64_t rows, int64_t classes,
                           T label_smoothing) {
  launch(cross_entropy_forward_kernel<T>, grid_of_warps(rows, kThreads), kThreads, 0, stream, x, labels, loss, rows,
         classes, label_smoothing);
}

template <class T>
void cross_entropy_backward(Stream stream, const T* x, const int64_t* labels, const T* dloss, T scale, T* dx,
                            int64_t rows, int64_t classes, T label_smoothing) {
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

}  // namespace taut::TAUT_GPU
