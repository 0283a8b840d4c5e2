// Steps of projected gradient descent in [0,1]^n (Madry et al. 2018), in the order of operations that torchattacks
// uses.
//
// Images x, adv, g, u are (samples, n), n elements a sample; sign(0) = 0 and sign(NaN) = 0. A negative alpha descends
// (targeted attacks). Norms of a sample are whole sums over its n elements (kernels/reduce.h), so they do not depend on
// the batch.
#pragma once

#include "kernels/bf16.h"
#include "kernels/layout.h"
#include "kernels/runtime.h"

namespace taut {

BOTH_BACKENDS(
    // adv = clamp(x + clamp(adv + alpha sign(g) - x, -eps, eps), 0, 1), in place; FGSM is one step from adv = x with
    // alpha = eps.
    template <class T>
    void pgd_step_linf(Stream, const T* x, const T* g, T* adv, int64_t samples, int64_t n, T alpha, T eps);
    // patchify_backward, pgd_step_linf and patchify_forward (kernels/layout.h) in one: dpatches is the gradient of
    // patches, g that of the images; adv in place, and patches of it, normalised and stored as T. patches may be
    // dpatches.
    template <class T>
    void pgd_step_patches(Stream, const Real<T>* x, const T* dpatches, const Real<T>* mean, const Real<T>* std,
                          Real<T>* adv, T* patches, const PatchShape& shape, Real<T> alpha, Real<T> eps);
    // adv = clamp(x + d min(1, eps / max(|d|, 1e-12)), 0, 1), d = adv + alpha g / (|g| + 1e-10) - x, in place; |.| the
    // Euclidean norm of a sample.
    template <class T>
    void pgd_step_l2(Stream, const T* x, const T* g, T* adv, int64_t samples, int64_t n, T alpha, T eps);

    // adv = clamp(x + eps (2u - 1), 0, 1), u uniform in [0,1).
    template <class T> void pgd_start_linf(Stream, const T* x, const T* u, T* adv, int64_t samples, int64_t n, T eps);
    // adv = clamp(x + eps radius direction / max(|direction|, 1e-12), 0, 1); direction (samples, n) normal, radius
    // (samples) uniform in [0,1).
    template <class T> void pgd_start_l2(Stream, const T* x, const T* direction, const T* radius, T* adv,
                                         int64_t samples, int64_t n, T eps);

    // zeros (samples) = elements of g that are exactly zero, of either sign.
    template <class T> void count_zeros(Stream, const T* g, int64_t* zeros, int64_t samples, int64_t n);

    // distance (samples) = max |adv - x| of a sample, NaN if any element is; the Euclidean norm of adv - x.
    template <class T> void linf_distance(Stream, const T* x, const T* adv, T* distance, int64_t samples, int64_t n);
    template <class T> void l2_distance(Stream, const T* x, const T* adv, T* distance, int64_t samples, int64_t n);)

}  // namespace taut

// The halves' explicit instantiations.
#define TAUT_INSTANTIATE_PGD(T)                                                                 \
  template void pgd_step_linf<T>(Stream, const T*, const T*, T*, int64_t, int64_t, T, T);       \
  template void pgd_step_l2<T>(Stream, const T*, const T*, T*, int64_t, int64_t, T, T);         \
  template void pgd_start_linf<T>(Stream, const T*, const T*, T*, int64_t, int64_t, T);         \
  template void pgd_start_l2<T>(Stream, const T*, const T*, const T*, T*, int64_t, int64_t, T); \
  template void linf_distance<T>(Stream, const T*, const T*, T*, int64_t, int64_t);             \
  template void l2_distance<T>(Stream, const T*, const T*, T*, int64_t, int64_t);
// Those that bf16 has, too.
#define TAUT_INSTANTIATE_PGD_STORED(T)                                                                              \
  template void pgd_step_patches<T>(Stream, const Real<T>*, const T*, const Real<T>*, const Real<T>*, Real<T>*, T*, \
                                    const PatchShape&, Real<T>, Real<T>);                                           \
  template void count_zeros<T>(Stream, const T*, int64_t*, int64_t, int64_t);
