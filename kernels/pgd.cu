// L-infinity: an element a thread. Euclidean distances and counts: whole sums over each sample (kernels/sums.cuh).
#include "kernels/pgd.h"

#include "kernels/convert.h"
#include "kernels/device.cuh"
#include "kernels/patch_pixel.cuh"
#include "kernels/sums.cuh"

namespace taut::TAUT_GPU {
namespace {

constexpr int kThreads = 256;

// min(high, max(low, v)); this order lets NaN through.
template <class T>
__device__ T clamp(T v, T low, T high) {
  return min(high, max(low, v));
}
template <class T>
__device__ T clamp_to_image(T v) {
  return clamp(v, T(0), T(1));
}
template <class T>
__device__ T at_least(T floor, T v) {
  return v < floor ? floor : v;
}

// One step of a pixel: adv' of x, g and adv.
template <class T>
__device__ T stepped(T x, T g, T adv, T alpha, T eps) {
  const T step = T(0) < g ? alpha : g < T(0) ? -alpha : T(0);
  return clamp_to_image(x + clamp((adv + step) - x, -eps, eps));
}

template <class T>
__global__ void pgd_step_linf_kernel(const T* x, const T* g, T* adv, int64_t count, T alpha, T eps) {
  for (int64_t i = thread_in_grid(); i < count; i += threads_in_grid())
    adv[i] = stepped(x[i], g[i], adv[i], alpha, eps);
}

template <class T>
__global__ void pgd_step_patches_kernel(const Real<T>* x, const T* dpatches, const Real<T>* mean, const Real<T>* std,
                                        Real<T>* adv, T* patches, PatchShape shape, int64_t n, Real<T> alpha,
                                        Real<T> eps) {
  for (int64_t i = thread_in_grid(); i < n; i += threads_in_grid()) {
    const Pixel pixel(shape, i);
    const Real<T> deviation = std[pixel.channel];
    const Real<T> to = stepped(x[pixel.at], widen(dpatches[i]) / deviation, adv[pixel.at], alpha, eps);
    adv[pixel.at] = to;
    patches[i] = convert<T>((to - mean[pixel.channel]) / deviation);
  }
}

// The same, four elements a thread; all pointers are multiples of 16 bytes.
__global__ void pgd_step_linf_quads_kernel(const float* x, const float* g, float* adv, int64_t quads, float alpha,
                                           float eps) {
  for (int64_t i = thread_in_grid(); i < quads; i += threads_in_grid()) {
    const Float4 xs = load4(x + 4 * i), gs = load4(g + 4 * i), from = load4(adv + 4 * i);
    float to[4];
#pragma unroll
    for (int e = 0; e < 4; ++e) to[e] = stepped(element(xs, e), element(gs, e), element(from, e), alpha, eps);
    store4(adv + 4 * i, make4(to[0], to[1], to[2], to[3]));
  }
}

template <class T>
struct Squares {
  const T* v;
  int64_t n;
  __device__ T operator()(int64_t s, int64_t i) const { return v[s * n + i] * v[s * n + i]; }
};

// d = adv + alpha g / (|g| + 1e-10) - x, written over adv, and its squares.
template <class T>
struct MovedSquares {
  const T *x, *g, *gradient_squares;
  T* adv;
  int64_t n;
  T alpha;
  __device__ T operator()(int64_t s, int64_t i) const {
    const int64_t at = s * n + i;
    const T step = alpha / (sqrt(gradient_squares[s]) + static_cast<T>(1e-10));
    const T d = fma(step, g[at], adv[at]) - x[at];
    adv[at] = d;
    return d * d;
  }
};

template <class T>
__global__ void pgd_project_l2_kernel(const T* x, const T* squares, T* adv, int64_t samples, int64_t n, T eps) {
  for (int64_t at = thread_in_grid(); at < samples * n; at += threads_in_grid()) {
    const T shrink = eps / at_least(static_cast<T>(1e-12), sqrt(squares[at / n]));
    adv[at] = clamp_to_image(fma(shrink < T(1) ? shrink : T(1), adv[at], x[at]));
  }
}

template <class T>
__global__ void pgd_start_linf_kernel(const T* x, const T* u, T* adv, int64_t count, T eps) {
  for (int64_t i = thread_in_grid(); i < count; i += threads_in_grid())
    adv[i] = clamp_to_image(x[i] + eps * fma(T(2), u[i], T(-1)));
}

template <class T>
__global__ void pgd_start_l2_kernel(const T* x, const T* direction, const T* squares, const T* radius, T* adv,
                                    int64_t samples, int64_t n, T eps) {
  for (int64_t at = thread_in_grid(); at < samples * n; at += threads_in_grid()) {
    const T factor = eps * radius[at / n] / at_least(static_cast<T>(1e-12), sqrt(squares[at / n]));
    adv[at] = clamp_to_image(fma(factor, direction[at], x[at]));
  }
}

// A warp a sample.
template <class T>
__global__ void linf_distance_kernel(const T* x, const T* adv, T* distance, int64_t samples, int64_t n) {
  for (int64_t s = warp_in_grid(); s < samples; s += warps_in_grid()) {
    T greatest = 0;
    bool nan = false;
    for (int64_t i = lane(); i < n; i += kWarpSize) {
      const T d = abs(adv[s * n + i] - x[s * n + i]);
      nan |= d != d;
      greatest = d > greatest ? d : greatest;
    }
    for (int step = 16; step > 0; step /= 2) greatest = max(greatest, __shfl_xor_sync(kAllLanes, greatest, step));
    nan = __any_sync(kAllLanes, nan);
    if (lane() == 0) distance[s] = nan ? static_cast<T>(__builtin_nan("")) : greatest;
  }
}

// Counts are whole numbers, so the order of their sums is nothing.
template <class T>
struct Zeros {
  const T* g;
  int64_t n;
  __device__ int64_t operator()(int64_t s, int64_t i) const { return widen(g[s * n + i]) == Real<T>(0); }
};

template <class T>
struct DifferenceSquares {
  const T *x, *adv;
  int64_t n;
  __device__ T operator()(int64_t s, int64_t i) const {
    const T d = adv[s * n + i] - x[s * n + i];
    return d * d;
  }
};

template <class T>
__global__ void sqrt_kernel(T* v, int64_t n) {
  for (int64_t i = thread_in_grid(); i < n; i += threads_in_grid()) v[i] = sqrt(v[i]);
}

}  // namespace

template <class T>
void pgd_step_linf(Stream stream, const T* x, const T* g, T* adv, int64_t samples, int64_t n, T alpha, T eps) {
  const int64_t count = samples * n;
  if constexpr (sizeof(T) == sizeof(float)) {
    if (count % 4 == 0 && aligned16(x) && aligned16(g) && aligned16(adv))
      return launch(pgd_step_linf_quads_kernel, grid_for(count / 4, kThreads), kThreads, 0, stream, x, g, adv,
                    count / 4, alpha, eps);
  }
  launch(pgd_step_linf_kernel<T>, grid_for(count, kThreads), kThreads, 0, stream, x, g, adv, count, alpha, eps);
}

template <class T>
void pgd_step_patches(Stream stream, const Real<T>* x, const T* dpatches, const Real<T>* mean, const Real<T>* std,
                      Real<T>* adv, T* patches, const PatchShape& shape, Real<T> alpha, Real<T> eps) {
  const int64_t n = shape.b * shape.c * shape.h * shape.w;
  launch(pgd_step_patches_kernel<T>, grid_for(n, kThreads), kThreads, 0, stream, x, dpatches, mean, std, adv, patches,
         shape, n, alpha, eps);
}

template <class T>
void pgd_step_l2(Stream stream, const T* x, const T* g, T* adv, int64_t samples, int64_t n, T alpha, T eps) {
  const DeviceScratch<T> gradient_squares(samples), squares(samples);
  whole_sums<T>(stream, gradient_squares, samples, n, Squares<T>{g, n});
  whole_sums<T>(stream, squares, samples, n, MovedSquares<T>{x, g, gradient_squares, adv, n, alpha});
  launch(pgd_project_l2_kernel<T>, grid_for(samples * n, kThreads), kThreads, 0, stream, x,
         static_cast<const T*>(squares), adv, samples, n, eps);
}

template <class T>
void pgd_start_linf(Stream stream, const T* x, const T* u, T* adv, int64_t samples, int64_t n, T eps) {
  launch(pgd_start_linf_kernel<T>, grid_for(samples * n, kThreads), kThreads, 0, stream, x, u, adv, samples * n, eps);
}

template <class T>
void pgd_start_l2(Stream stream, const T* x, const T* direction, const T* radius, T* adv, int64_t samples, int64_t n,
                  T eps) {
  const DeviceScratch<T> squares(samples);
  whole_sums<T>(stream, squares, samples, n, Squares<T>{direction, n});
  launch(pgd_start_l2_kernel<T>, grid_for(samples * n, kThreads), kThreads, 0, stream, x, direction,
         static_cast<const T*>(squares), radius, adv, samples, n, eps);
}

template <class T>
void count_zeros(Stream stream, const T* g, int64_t* zeros, int64_t samples, int64_t n) {
  whole_sums(stream, zeros, samples, n, Zeros<T>{g, n});
}

template <class T>
void linf_distance(Stream stream, const T* x, const T* adv, T* distance, int64_t samples, int64_t n) {
  launch(linf_distance_kernel<T>, grid_of_warps(samples, kThreads), kThreads, 0, stream, x, adv, distance, samples, n);
}

template <class T>
void l2_distance(Stream stream, const T* x, const T* adv, T* distance, int64_t samples, int64_t n) {
  whole_sums<T>(stream, distance, samples, n, DifferenceSquares<T>{x, adv, n});
  launch(sqrt_kernel<T>, grid_for(samples, kThreads), kThreads, 0, stream, distance, samples);
}

TAUT_INSTANTIATE_PGD(float)
TAUT_INSTANTIATE_PGD(double)
TAUT_INSTANTIATE_PGD_STORED(float)
TAUT_INSTANTIATE_PGD_STORED(double)
TAUT_INSTANTIATE_PGD_STORED(BF16)

}  // namespace taut::TAUT_GPU
