// What the files of this folder share: checks and allocation.
#pragma once

#include <type_traits>
#include <utility>

#include "autograd/ops.h"
#include "kernels/bf16.h"
#include "kernels/error.h"

namespace taut::ops {

inline Stream stream_of(const Tensor& t) { return current_stream(t.device()); }

inline Tensor empty_like(const Tensor& t) { return Tensor::empty(t.shape(), t.dtype(), t.device()); }
inline Tensor empty_as(const Tensor& t, Shape shape) { return Tensor::empty(std::move(shape), t.dtype(), t.device()); }

// The pointer of an optional tensor, null where it is undefined.
template <class T>
const T* optional_data(const Tensor& t) {
  return t.defined() ? t.data<T>() : nullptr;
}
template <class T>
T* optional_data(Tensor& t) {
  return t.defined() ? t.data<T>() : nullptr;
}

// Calls body.operator()<T>() with what a matrix product or convolution of this dtype computes with: BF16, TF32 where
// f32 tensors are to be rounded so, float or double.
template <class Body>
decltype(auto) on_factors(DType dtype, Precision precision, const char* op, Body&& body) {
  if (dtype == DType::kF32 && precision == Precision::kTF32) return body.template operator()<TF32>();
  return on_stored(dtype, op, std::forward<Body>(body));
}
// The elements as such a kernel takes them; those of an f32 tensor for TF32.
template <class T>
const T* elements(const Tensor& t) {
  if constexpr (std::is_same_v<T, TF32>)
    return reinterpret_cast<const TF32*>(t.data<float>());
  else
    return t.data<T>();
}
template <class T>
T* elements(Tensor& t) {
  if constexpr (std::is_same_v<T, TF32>)
    return reinterpret_cast<TF32*>(t.data<float>());
  else
    return t.data<T>();
}
template <class T>
const T* optional_elements(const Tensor& t) {
  return t.defined() ? elements<T>(t) : nullptr;
}
template <class T>
T* optional_elements(Tensor& t) {
  return t.defined() ? elements<T>(t) : nullptr;
}
// What kernels compute in where they store this: statistics and losses are kept in it.
inline DType real_of(DType stored) { return stored == DType::kBF16 ? DType::kF32 : stored; }
inline Tensor empty_real(const Tensor& t, Shape shape) {
  return Tensor::empty(std::move(shape), real_of(t.dtype()), t.device());
}

// A parameter as an op over x takes it: one that is kept in f32 beside activations in bf16 (it trains) is rounded here,
// and its gradient comes back in f32.
inline Var rounded(const Var& parameter, const Var& x) {
  const bool rounds =
      parameter.defined() && x.defined() && x.dtype() == DType::kBF16 && parameter.dtype() == DType::kF32;
  return rounds ? cast(parameter, DType::kBF16) : parameter;
}
inline bool is_bf16(const Var& v) { return v.defined() && v.dtype() == DType::kBF16; }
// An input as f32 where it is bf16, of an op that has no kernel for bf16: it is computed in f32 and then rounded.
inline Var widened(const Var& v) { return is_bf16(v) ? cast(v, DType::kF32) : v; }

// Elements of all dimensions but the last.
inline int64_t rows_of(const Shape& shape) {
  int64_t rows = 1;
  for (size_t i = 0; i + 1 < shape.size(); ++i) rows *= shape[i];
  return rows;
}

inline void check_defined(const char* op, const char* input, const Var& v) {
  TAUT_CHECK(v.defined(), "[{}] expected an input '{}', got none", op, input);
}

// dtype and device of `v` equal those of `first`.
inline void check_matches(const char* op, const char* input, const Var& v, const Var& first) {
  check_defined(op, input, v);
  TAUT_CHECK(v.dtype() == first.dtype(), "[{}] expected '{}' of dtype {}, got {}; hint: cast one of them", op, input,
             name(first.dtype()), name(v.dtype()));
  TAUT_CHECK(v.value().device() == first.value().device(), "[{}] expected '{}' on {}, got {}", op, input,
             name(first.value().device().kind), name(v.value().device().kind));
}

inline void check_shape(const char* op, const char* input, const Var& v, const Shape& expected) {
  TAUT_CHECK(v.shape() == expected, "[{}] expected '{}' of shape {}, got {}", op, input, to_string(expected),
             to_string(v.shape()));
}

// Contiguous elements of a var, what kernels take.
inline Tensor dense(const Var& v) { return v.value().contiguous(); }

}  // namespace taut::ops
