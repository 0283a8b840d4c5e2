// Element types of tensors.
#pragma once

#include <cstdint>
#include <string_view>
#include <utility>

#include "kernels/bf16.h"
#include "kernels/error.h"

namespace taut {

enum class DType : uint8_t { kF32, kF64, kBF16, kI32, kI64, kU8, kBool };

int64_t size_of(DType dtype);
const char* name(DType dtype);                 // "f32", "bf16", "bool", ...
DType dtype_from_name(std::string_view name);  // throws Error(kUsage)
inline bool is_floating(DType dtype) { return dtype == DType::kF32 || dtype == DType::kF64 || dtype == DType::kBF16; }

template <class T>
constexpr DType dtype_of();
template <>
constexpr DType dtype_of<float>() {
  return DType::kF32;
}
template <>
constexpr DType dtype_of<double>() {
  return DType::kF64;
}
template <>
constexpr DType dtype_of<BF16>() {
  return DType::kBF16;
}
template <>
constexpr DType dtype_of<int32_t>() {
  return DType::kI32;
}
template <>
constexpr DType dtype_of<int64_t>() {
  return DType::kI64;
}
template <>
constexpr DType dtype_of<uint8_t>() {
  return DType::kU8;
}
template <>
constexpr DType dtype_of<bool>() {
  return DType::kBool;
}

// Calls body.operator()<T>() with the C++ type of a dtype that kernels compute in (f32, f64).
template <class Body>
decltype(auto) on_float(DType dtype, const char* op, Body&& body) {
  if (dtype == DType::kF32) return body.template operator()<float>();
  if (dtype == DType::kF64) return body.template operator()<double>();
  fail(Exit::kUsage, "[{}] expected f32 or f64, got {}; hint: cast first", op, name(dtype));
}

// The same with bf16, which kernels store and do not compute in (kernels/bf16.h).
template <class Body>
decltype(auto) on_stored(DType dtype, const char* op, Body&& body) {
  if (dtype == DType::kBF16) return body.template operator()<BF16>();
  return on_float(dtype, op, std::forward<Body>(body));
}

// The same over every dtype.
template <class Body>
decltype(auto) on_any(DType dtype, Body&& body) {
  switch (dtype) {
    case DType::kF32: return body.template operator()<float>();
    case DType::kF64: return body.template operator()<double>();
    case DType::kBF16: return body.template operator()<BF16>();
    case DType::kI32: return body.template operator()<int32_t>();
    case DType::kI64: return body.template operator()<int64_t>();
    case DType::kU8: return body.template operator()<uint8_t>();
    case DType::kBool: return body.template operator()<bool>();
  }
  fail(Exit::kUsage, "[dtype] unknown");
}

}  // namespace taut
