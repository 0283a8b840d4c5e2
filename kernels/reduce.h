// Sums, means, maxima, norms.
//
// Orders of addition (docs/numerics.md), each a function of the lengths alone:
//
// * row sum (elements next to each other): element i goes to partial sum i mod 64, ascending; the 64 are folded by
// halving
// * column sum (over rows): chunks of 32 rows, each added ascending from zero; chunk c goes to partial c mod 64,
// ascending
// * whole sum (a tensor as one list): chunks of 4096 elements, each a row sum; the results are summed so again until
// one is left
//
// The sum of nothing is 0. Inputs and outputs never overlap. Results of one element are in host memory on every
// backend.
#pragma once

#include "kernels/runtime.h"

namespace taut {

// A tensor and which of its dimensions are summed. Dense, outermost dimension first.
struct SumShape {
  static constexpr int kMaxDims = 8;
  int dims = 0;
  int64_t size[kMaxDims] = {};
  bool summed[kMaxDims] = {};
};

BOTH_BACKENDS(
    // y (1) = whole sum of x (n).
    template <class T> void sum_all(Stream, const T* x, T* y, int64_t n);
    // y (rows) = row sums of x (rows, cols).
    template <class T> void sum_rows(Stream, const T* x, T* y, int64_t rows, int64_t cols);
    // y (cols) = column sums of x (rows, cols).
    template <class T> void sum_columns(Stream, const T* x, T* y, int64_t rows, int64_t cols);
    // y (outer, inner) = sum over n of x (outer, n, inner): row sums where inner is 1, else column sums.
    template <class T> void sum_dim(Stream, const T* x, T* y, int64_t outer, int64_t n, int64_t inner);
    // y = x summed over the marked dimensions, the others kept in order (un-broadcasting). Dimensions of size 1 do not
    // matter and neighbours of a kind are one; then the marked groups are summed one after the other, the innermost
    // first: a last group by row sums, others by column sums. One group that is everything is a whole sum.
    template <class T> void sum_to_shape(Stream, const T* x, T* y, const SumShape& shape);

    // y (outer, inner) = max over n of x (outer, n, inner), n >= 1; index, or null, the first position that has it. A
    // NaN is greater than everything.
    template <class T> void max_dim(Stream, const T* x, T* y, int64_t* index, int64_t outer, int64_t n, int64_t inner);
    // dx (outer, n, inner) = scale dy (outer, inner): the gradient of a sum (scale 1) and of a mean (scale 1/n).
    template <class T> void expand_dim(Stream, T scale, const T* dy, T* dx, int64_t outer, int64_t n, int64_t inner);

    // y (1) = sum over all elements of `count` buffers of their squares: a whole sum per buffer, then a whole sum over
    // the buffers in order. The arrays of pointers and sizes are in host memory, y is not. On a GPU one launch for
    // every 64 buffers and a few more.
    template <class T> void sum_of_squares(Stream, const T* const* buffers, const int64_t* sizes, int64_t count, T* y);
    // found (1, host memory) = how many of x (n) are infinite or NaN.
    template <class T> void count_nonfinite(Stream, const T* x, int64_t n, int64_t* found);
    // low (1), high (1), both host memory = the smallest and greatest of x (n), n >= 1; NaN if any element is.
    template <class T> void min_max(Stream, const T* x, T* low, T* high, int64_t n);)

}  // namespace taut

// The halves' explicit instantiations.
#define TAUT_INSTANTIATE_REDUCE(T)                                                       \
  template void sum_all<T>(Stream, const T*, T*, int64_t);                               \
  template void sum_rows<T>(Stream, const T*, T*, int64_t, int64_t);                     \
  template void sum_columns<T>(Stream, const T*, T*, int64_t, int64_t);                  \
  template void sum_dim<T>(Stream, const T*, T*, int64_t, int64_t, int64_t);             \
  template void sum_to_shape<T>(Stream, const T*, T*, const SumShape&);                  \
  template void max_dim<T>(Stream, const T*, T*, int64_t*, int64_t, int64_t, int64_t);   \
  template void expand_dim<T>(Stream, T, const T*, T*, int64_t, int64_t, int64_t);       \
  template void sum_of_squares<T>(Stream, const T* const*, const int64_t*, int64_t, T*); \
  template void count_nonfinite<T>(Stream, const T*, int64_t, int64_t*);                 \
  template void min_max<T>(Stream, const T*, T*, T*, int64_t);
