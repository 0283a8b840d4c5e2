// Moving elements: strided copies (permute, slice and concat are views and a copy), patches of images, token sequences.
#pragma once

#include "kernels/bf16.h"
#include "kernels/runtime.h"

namespace taut {

// A copy between two strided views of one shape. Outermost dimension first; strides in elements, 0 allowed in `from`
// (broadcast) but not in `to`. Need not be collapsed.
struct CopyShape {
  static constexpr int kMaxDims = 8;
  int dims = 0;  // 0: one element
  int64_t size[kMaxDims] = {};
  int64_t stride_from[kMaxDims] = {};
  int64_t stride_to[kMaxDims] = {};
};

// Images (b, c, h, w) cut into n = (h/p)(w/p) patches of p by p, row by row; p divides h and w.
struct PatchShape {
  int64_t b = 0, c = 0, h = 0, w = 0, p = 0;
  int64_t n() const { return (h / p) * (w / p); }
};

BOTH_BACKENDS(
    // to = from; elements of 1, 2, 4 or 8 bytes, aligned to their size. The views do not overlap.
    void strided_copy(Stream, const void* from, void* to, int64_t element_bytes, const CopyShape& shape);

    // out (b, n, c p p) = (images - mean[c]) / std[c], columns in the order (c, row, column) of a patch; an IEEE
    // division, so the bits are those of normalising first. mean (c) and std (c) are both null for no normalisation.
    // Images are floats where patches are bf16.
    template <class T> void patchify_forward(Stream, const Real<T>* images, const Real<T>* mean, const Real<T>* std,
                                             T* out, const PatchShape& shape);
    // dimages (b, c, h, w) = dout / std[c]; std null for 1.
    template <class T>
    void patchify_backward(Stream, const T* dout, const Real<T>* std, Real<T>* dimages, const PatchShape& shape);

    // out (b, n + 1, d) = concat(cls, patches) + pos; patches (b, n, d), cls (d), pos (n + 1, d).
    template <class T> void assemble_tokens_forward(Stream, const T* patches, const T* cls, const T* pos, T* out,
                                                    int64_t b, int64_t n, int64_t d);
    // dpatches = dout without its first tokens; dcls = sum over b of the first tokens; dpos = sum over b of dout, both
    // as column sums (kernels/reduce.h). Each is null where it is not wanted.
    template <class T> void assemble_tokens_backward(Stream, const T* dout, T* dpatches, T* dcls, T* dpos, int64_t b,
                                                     int64_t n, int64_t d);)

}  // namespace taut

// The halves' explicit instantiations.
#define TAUT_INSTANTIATE_LAYOUT(T)                                                                                  \
  template void patchify_forward<T>(Stream, const Real<T>*, const Real<T>*, const Real<T>*, T*, const PatchShape&); \
  template void patchify_backward<T>(Stream, const T*, const Real<T>*, Real<T>*, const PatchShape&);                \
  template void assemble_tokens_forward<T>(Stream, const T*, const T*, const T*, T*, int64_t, int64_t, int64_t);    \
  template void assemble_tokens_backward<T>(Stream, const T*, T*, T*, T*, int64_t, int64_t, int64_t);
