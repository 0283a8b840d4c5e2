// Tensor: a shape over shared memory on one device. Knows nothing of gradients.
//
// Copies share memory; views (slice, permute, reshape of contiguous memory) share it too. `clone` copies. A storage
// carries a version that every in-place change bumps, so that autograd can tell when a saved tensor was changed under
// it.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "kernels/runtime.h"
#include "tensor/dtype.h"
#include "tensor/shape.h"

namespace taut {

class Tensor {
 public:
  Tensor() = default;  // undefined: holds nothing, `defined()` is false

  static Tensor empty(Shape shape, DType dtype = DType::kF32, Device device = {});  // undefined contents
  static Tensor zeros(Shape shape, DType dtype = DType::kF32, Device device = {});
  static Tensor full(Shape shape, double value, DType dtype = DType::kF32, Device device = {});
  // Copies `values` (row-major); throws Error(kUsage) unless their number is numel(shape).
  template <class T>
  static Tensor from(std::span<const T> values, Shape shape);
  template <class T>
  static Tensor from(const std::vector<T>& values, Shape shape) {
    return from(std::span<const T>(values), std::move(shape));
  }
  static Tensor scalar(double value, DType dtype = DType::kF32) { return full({}, value, dtype); }

  bool defined() const { return storage_ != nullptr; }
  const Shape& shape() const { return shape_; }
  const Shape& strides() const { return strides_; }  // in elements
  int64_t ndim() const { return static_cast<int64_t>(shape_.size()); }
  int64_t size(int64_t dim) const;  // negative dims count from the end
  int64_t numel() const { return taut::numel(shape_); }
  int64_t bytes() const { return numel() * size_of(dtype_); }
  DType dtype() const { return dtype_; }
  Device device() const;
  bool is_contiguous() const;

  // First element; throws Error(kUsage) if the dtype differs. Any strides: use is_contiguous() first.
  template <class T>
  T* data() {
    expect_dtype(dtype_of<T>());
    return reinterpret_cast<T*>(raw());
  }
  template <class T>
  const T* data() const {
    expect_dtype(dtype_of<T>());
    return reinterpret_cast<const T*>(raw());
  }
  std::byte* raw() const;
  // The elements of a contiguous tensor in host memory.
  template <class T>
  std::span<T> span() {
    expect_in_host_memory();
    expect_contiguous();
    return {data<T>(), static_cast<size_t>(numel())};
  }
  template <class T>
  std::span<const T> span() const {
    expect_in_host_memory();
    expect_contiguous();
    return {data<T>(), static_cast<size_t>(numel())};
  }
  double item() const;                     // the only element, as double; throws Error(kUsage) unless numel() == 1
  std::vector<double> to_doubles() const;  // row-major copy, any dtype and strides

  // Views. reshape copies where the memory does not allow a view; one size may be -1.
  Tensor reshape(Shape shape) const;
  Tensor slice(int64_t dim, int64_t start, int64_t length) const;
  Tensor permute(const std::vector<int64_t>& dims) const;
  Tensor transpose(int64_t a, int64_t b) const;
  Tensor expand(const Shape& shape) const;  // broadcast with zero strides

  Tensor contiguous() const;       // itself if contiguous, else a copy
  Tensor clone() const;            // a contiguous copy
  Tensor to(DType dtype) const;    // itself if it has the dtype, else a converted contiguous copy
  Tensor to(Device device) const;  // itself if it is there, else a contiguous copy

  // In place; both bump the version.
  void copy_from(const Tensor& source);  // same shape; converts the dtype, from any device
  void fill(double value);

  bool shares_memory_with(const Tensor& other) const { return storage_ != nullptr && storage_ == other.storage_; }
  bool is_sole_owner() const { return storage_ != nullptr && storage_.use_count() == 1; }
  uint32_t version() const;
  void bump_version();

 private:
  struct Storage;
  void expect_dtype(DType dtype) const;
  void expect_contiguous() const;
  void expect_in_host_memory() const;
  int64_t wrap_dim(int64_t dim) const;

  std::shared_ptr<Storage> storage_;
  int64_t offset_ = 0;  // in elements
  DType dtype_ = DType::kF32;
  Shape shape_, strides_;
};

// Shape, dtype and the first elements, for messages and debugging.
std::string to_string(const Tensor& tensor, int64_t max_elements = 16);
// Bit equality of shape, dtype and all elements.
bool same_bytes(const Tensor& a, const Tensor& b);
// Adds to `key` where the tensor lies and of what shape and dtype it is, all that a recorded step (kernels/graph.h)
// depends on of it.
void append_place(std::string& key, const Tensor& tensor);

}  // namespace taut
