// What the files of this folder share: checks and allocation.
#pragma once

#include "autograd/ops.h"
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
