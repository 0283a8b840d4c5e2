// Element by element: unary functions, binary operators with broadcasting, bias + GELU, scaling, casts, and their
// gradients.
//
// All pointers are dense and unaligned unless a stride is given; n is the number of elements and may be 0. "May be x"
// says which outputs may be the same memory as an input; nothing else may overlap. Element i depends on element i
// alone, so bits do not depend on n, on threads or on the instruction set.
#pragma once

#include "kernels/bf16.h"
#include "kernels/runtime.h"

namespace taut {

// The operators: OP(enumerator and functor, name, what the gradient reads besides dy). The functors stand in
// kernels/pointwise_ops.h; to add an operator, write its functor there and its line here.
#define TAUT_UNARY_OPS(OP)                  \
  OP(Exp, "exp", Reads::kOutput)            \
  OP(Log, "log", Reads::kInputs)            \
  OP(Sqrt, "sqrt", Reads::kOutput)          \
  OP(Square, "square", Reads::kInputs)      \
  OP(Tanh, "tanh", Reads::kOutput)          \
  OP(Sigmoid, "sigmoid", Reads::kOutput)    \
  OP(Relu, "relu", Reads::kOutput)          \
  OP(GeluErf, "gelu_erf", Reads::kInputs)   \
  OP(GeluTanh, "gelu_tanh", Reads::kInputs) \
  OP(Silu, "silu", Reads::kInputs)
#define TAUT_BINARY_OPS(OP)       \
  OP(Add, "add", Reads::kNothing) \
  OP(Sub, "sub", Reads::kNothing) \
  OP(Mul, "mul", Reads::kInputs)  \
  OP(Div, "div", Reads::kInputs)

enum class Reads : uint8_t { kNothing, kInputs, kOutput };

#define TAUT_ENUMERATOR(functor, name, reads) k##functor,
enum class Unary : uint8_t { TAUT_UNARY_OPS(TAUT_ENUMERATOR) };    // Unary::kExp, ...
enum class Binary : uint8_t { TAUT_BINARY_OPS(TAUT_ENUMERATOR) };  // Binary::kAdd, ...
#undef TAUT_ENUMERATOR

#define TAUT_NAME(functor, name, reads) name,
#define TAUT_READS(functor, name, reads) reads,
constexpr const char* name(Unary op) {
  const char* const names[] = {TAUT_UNARY_OPS(TAUT_NAME)};
  return names[static_cast<int>(op)];
}
constexpr const char* name(Binary op) {
  const char* const names[] = {TAUT_BINARY_OPS(TAUT_NAME)};
  return names[static_cast<int>(op)];
}
// What must be saved for the gradient: a unary operator reads its input x or its output y, a binary one its operands or
// nothing.
constexpr Reads gradient_reads(Unary op) {
  const Reads reads[] = {TAUT_UNARY_OPS(TAUT_READS)};
  return reads[static_cast<int>(op)];
}
constexpr Reads gradient_reads(Binary op) {
  const Reads reads[] = {TAUT_BINARY_OPS(TAUT_READS)};
  return reads[static_cast<int>(op)];
}
#undef TAUT_READS
#undef TAUT_NAME

// Two operands broadcast to one result. Outermost dimension first; the result is dense in row-major order of `size`.
// Strides are in elements; 0 where the operand is broadcast. Need not be collapsed.
struct BroadcastShape {
  static constexpr int kMaxDims = 8;
  int dims = 0;  // 0: one element
  int64_t size[kMaxDims] = {};
  int64_t stride_a[kMaxDims] = {};
  int64_t stride_b[kMaxDims] = {};
};

BOTH_BACKENDS(
    // y = f(x); y may be x.
    template <class T> void unary_forward(Stream, Unary op, const T* x, T* y, int64_t n);
    // dx = dy f'(x), y = f(x). Only y is read where gradient_reads(op) is Reads::kOutput, else only x; the other may be
    // null. The gradient of relu at 0 is 0. dx may be dy.
    template <class T> void unary_backward(Stream, Unary op, const T* dy, const T* x, const T* y, T* dx, int64_t n);

    // y = a op b, broadcast. Fast where, after collapsing, the innermost strides are 0 or 1. y may be an operand that
    // is dense in the result's shape.
    template <class T>
    void binary_forward(Stream, Binary op, const T* a, const T* b, T* y, const BroadcastShape& shape);
    // The gradients before un-broadcasting: da = dy d(a op b)/da and db likewise, dense in the result's shape like dy.
    // da or db is null where it is not wanted; da or db may be dy. An operand may be null where nothing that is wanted
    // reads it: both where gradient_reads(op) is Reads::kNothing; a where db is null; b where da is and op is mul.
    template <class T> void binary_backward(Stream, Binary op, const T* dy, const T* a, const T* b, T* da, T* db,
                                            const BroadcastShape& shape);

    // y (rows, cols) = gelu_erf(x + bias); bias (cols). pre, or null, receives x + bias. y or pre may be x.
    template <class T>
    void bias_gelu_forward(Stream, const T* x, const T* bias, T* y, T* pre, int64_t rows, int64_t cols);
    // dx (rows, cols) = dy gelu_erf'(x + bias), bias null for 0 (x is then what bias_gelu_forward or matmul gave as
    // pre); dbias (cols), or null, receives the column sums of dx (same bits as sum_columns of reduce.h). dx may be dy.
    template <class T> void bias_gelu_backward(Stream, const T* dy, const T* x, const T* bias, T* dx, T* dbias,
                                               int64_t rows, int64_t cols);

    // y = s x; y may be x.
    template <class T> void scale(Stream, Real<T> s, const T* x, T* y, int64_t n);
    // y = fma(s, x, y): with s = 1 it is y += x to the bit.
    template <class T> void axpy(Stream, Real<T> s, const T* x, T* y, int64_t n);

    // y = value. T: float, double, BF16, int32_t, int64_t, uint8_t, bool.
    template <class T> void fill(Stream, T value, T* y, int64_t n);
    // y = x converted; From and To are any two of fill's types (the same type copies). To BF16 and float: to nearest
    // even (double -> BF16 through float), a NaN stays a quiet NaN. From a floating type to an integer: towards zero,
    // saturating, NaN gives 0; between integers: modulo 2^bits. To bool: x != 0.
    template <class From, class To> void cast(Stream, const From* x, To* y, int64_t n);)

}  // namespace taut

// The halves' explicit instantiations.
#define TAUT_INSTANTIATE_POINTWISE(T)                                                                            \
  template void unary_forward<T>(Stream, Unary, const T*, T*, int64_t);                                          \
  template void unary_backward<T>(Stream, Unary, const T*, const T*, const T*, T*, int64_t);                     \
  template void binary_forward<T>(Stream, Binary, const T*, const T*, T*, const BroadcastShape&);                \
  template void binary_backward<T>(Stream, Binary, const T*, const T*, const T*, T*, T*, const BroadcastShape&); \
  template void bias_gelu_forward<T>(Stream, const T*, const T*, T*, T*, int64_t, int64_t);                      \
  template void bias_gelu_backward<T>(Stream, const T*, const T*, const T*, T*, T*, int64_t, int64_t);           \
  template void scale<T>(Stream, Real<T>, const T*, T*, int64_t);                                                \
  template void axpy<T>(Stream, Real<T>, const T*, T*, int64_t);
#define TAUT_INSTANTIATE_CASTS_FROM(T)                                 \
  template void fill<T>(Stream, T, T*, int64_t);                       \
  template void cast<T, float>(Stream, const T*, float*, int64_t);     \
  template void cast<T, double>(Stream, const T*, double*, int64_t);   \
  template void cast<T, BF16>(Stream, const T*, BF16*, int64_t);       \
  template void cast<T, int32_t>(Stream, const T*, int32_t*, int64_t); \
  template void cast<T, int64_t>(Stream, const T*, int64_t*, int64_t); \
  template void cast<T, uint8_t>(Stream, const T*, uint8_t*, int64_t); \
  template void cast<T, bool>(Stream, const T*, bool*, int64_t);
#define TAUT_INSTANTIATE_CASTS         \
  TAUT_INSTANTIATE_CASTS_FROM(float)   \
  TAUT_INSTANTIATE_CASTS_FROM(double)  \
  TAUT_INSTANTIATE_CASTS_FROM(BF16)    \
  TAUT_INSTANTIATE_CASTS_FROM(int32_t) \
  TAUT_INSTANTIATE_CASTS_FROM(int64_t) \
  TAUT_INSTANTIATE_CASTS_FROM(uint8_t) \
  TAUT_INSTANTIATE_CASTS_FROM(bool)
