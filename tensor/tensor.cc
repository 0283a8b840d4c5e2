#include "tensor/tensor.h"

#include <fmt/format.h>

#include <cstring>

#include "kernels/arena.h"
#include "kernels/device_memory.h"
#include "kernels/layout.h"
#include "kernels/pointwise.h"

namespace taut {

struct Tensor::Storage {
  Storage(int64_t size, Device where) : memory(arena_allocate(static_cast<size_t>(size), where)), device(where) {}
  ~Storage() { arena_release(memory, device); }
  Storage(const Storage&) = delete;
  Storage& operator=(const Storage&) = delete;

  void* memory;
  Device device;
  uint32_t version = 0;
};

namespace {

CopyShape copy_shape(const Shape& shape, const Shape& from, const Shape& to) {
  TAUT_CHECK(shape.size() <= CopyShape::kMaxDims, "[tensor] expected at most {} dimensions, got {}",
             static_cast<int>(CopyShape::kMaxDims), to_string(shape));
  CopyShape c;
  c.dims = static_cast<int>(shape.size());
  for (size_t i = 0; i < shape.size(); ++i) {
    c.size[i] = shape[i];
    c.stride_from[i] = from[i];
    c.stride_to[i] = to[i];
  }
  return c;
}

}  // namespace

Tensor Tensor::empty(Shape shape, DType dtype, Device device) {
  Tensor t;
  t.storage_ = std::make_shared<Storage>(taut::numel(shape) * size_of(dtype), device);
  t.dtype_ = dtype;
  t.strides_ = row_major_strides(shape);
  t.shape_ = std::move(shape);
  return t;
}

Tensor Tensor::zeros(Shape shape, DType dtype, Device device) {
  Tensor t = empty(std::move(shape), dtype, device);
  zero_memory(t.raw(), device, static_cast<size_t>(t.bytes()));
  return t;
}

Tensor Tensor::full(Shape shape, double value, DType dtype, Device device) {
  Tensor t = empty(std::move(shape), dtype, device);
  t.fill(value);
  return t;
}

template <class T>
Tensor Tensor::from(std::span<const T> values, Shape shape) {
  Tensor t = empty(std::move(shape), dtype_of<T>());
  TAUT_CHECK(t.numel() == static_cast<int64_t>(values.size()), "[tensor] expected {} values for shape {}, got {}",
             t.numel(), to_string(t.shape()), values.size());
  if (!values.empty()) std::memcpy(t.raw(), values.data(), values.size_bytes());
  return t;
}
template Tensor Tensor::from(std::span<const float>, Shape);
template Tensor Tensor::from(std::span<const double>, Shape);
template Tensor Tensor::from(std::span<const BF16>, Shape);
template Tensor Tensor::from(std::span<const int32_t>, Shape);
template Tensor Tensor::from(std::span<const int64_t>, Shape);
template Tensor Tensor::from(std::span<const uint8_t>, Shape);
template Tensor Tensor::from(std::span<const bool>, Shape);

int64_t Tensor::wrap_dim(int64_t dim) const {
  const int64_t d = dim < 0 ? dim + ndim() : dim;
  TAUT_CHECK(d >= 0 && d < ndim(), "[tensor] expected a dimension of shape {}, got {}", to_string(shape_), dim);
  return d;
}

int64_t Tensor::size(int64_t dim) const { return shape_[static_cast<size_t>(wrap_dim(dim))]; }

Device Tensor::device() const {
  TAUT_CHECK(defined(), "[tensor] expected a defined tensor");
  return storage_->device;
}

bool Tensor::is_contiguous() const {
  int64_t step = 1;
  for (size_t i = shape_.size(); i-- > 0;) {
    if (shape_[i] != 1 && strides_[i] != step) return numel() == 0;
    step *= shape_[i];
  }
  return true;
}

std::byte* Tensor::raw() const {
  TAUT_CHECK(defined(), "[tensor] expected a defined tensor");
  return static_cast<std::byte*>(storage_->memory) + offset_ * size_of(dtype_);
}

void Tensor::expect_dtype(DType dtype) const {
  TAUT_CHECK(defined(), "[tensor] expected a defined tensor");
  TAUT_CHECK(dtype == dtype_, "[tensor] expected dtype {}, got {} of shape {}", name(dtype), name(dtype_),
             to_string(shape_));
}

void Tensor::expect_in_host_memory() const {
  TAUT_CHECK(device().kind == DeviceKind::kCpu,
             "[tensor] expected host memory, got {} of shape {}; hint: to(Device{{}})", taut::name(device().kind),
             to_string(shape_));
}

void Tensor::expect_contiguous() const {
  TAUT_CHECK(is_contiguous(), "[tensor] expected a contiguous tensor, got shape {} with strides {}", to_string(shape_),
             to_string(strides_));
}

std::vector<double> Tensor::to_doubles() const {
  const Tensor values = to(Device{}).to(DType::kF64).contiguous();
  const auto all = values.span<double>();
  return {all.begin(), all.end()};
}

double Tensor::item() const {
  TAUT_CHECK(defined() && numel() == 1, "[tensor] item() expected one element, got shape {}", to_string(shape_));
  return to_doubles()[0];
}

Tensor Tensor::reshape(Shape shape) const {
  int64_t known = 1, unknown = -1;
  for (size_t i = 0; i < shape.size(); ++i) {
    if (shape[i] == -1) {
      TAUT_CHECK(unknown < 0, "[reshape] expected at most one -1, got {}", to_string(shape));
      unknown = static_cast<int64_t>(i);
    } else {
      known *= shape[i];
    }
  }
  if (unknown >= 0) {
    TAUT_CHECK(known > 0 && numel() % known == 0, "[reshape] {} does not divide into {}", to_string(shape_),
               to_string(shape));
    shape[static_cast<size_t>(unknown)] = numel() / known;
  }
  TAUT_CHECK(taut::numel(shape) == numel(), "[reshape] expected as many elements as {}, got {}", to_string(shape_),
             to_string(shape));
  Tensor t = contiguous();
  t.strides_ = row_major_strides(shape);
  t.shape_ = std::move(shape);
  return t;
}

Tensor Tensor::slice(int64_t dim, int64_t start, int64_t length) const {
  const auto d = static_cast<size_t>(wrap_dim(dim));
  TAUT_CHECK(start >= 0 && length >= 0 && start + length <= shape_[d],
             "[slice] expected a range inside dimension {} of {}, got [{}, {})", dim, to_string(shape_), start,
             start + length);
  Tensor t = *this;
  t.offset_ += start * strides_[d];
  t.shape_[d] = length;
  return t;
}

Tensor Tensor::permute(const std::vector<int64_t>& dims) const {
  TAUT_CHECK(dims.size() == shape_.size(), "[permute] expected {} dimensions, got {}", shape_.size(), dims.size());
  Tensor t = *this;
  std::vector<bool> seen(dims.size(), false);
  for (size_t i = 0; i < dims.size(); ++i) {
    const auto d = static_cast<size_t>(wrap_dim(dims[i]));
    TAUT_CHECK(!seen[d], "[permute] dimension {} is named twice in {}", d, to_string(dims));
    seen[d] = true;
    t.shape_[i] = shape_[d];
    t.strides_[i] = strides_[d];
  }
  return t;
}

Tensor Tensor::transpose(int64_t a, int64_t b) const {
  const auto i = static_cast<size_t>(wrap_dim(a)), j = static_cast<size_t>(wrap_dim(b));
  Tensor t = *this;
  std::swap(t.shape_[i], t.shape_[j]);
  std::swap(t.strides_[i], t.strides_[j]);
  return t;
}

Tensor Tensor::expand(const Shape& shape) const {
  TAUT_CHECK(broadcast_shapes("expand", shape_, shape) == shape, "[expand] {} does not broadcast to {}",
             to_string(shape_), to_string(shape));
  Tensor t = *this;
  t.shape_ = shape;
  t.strides_.assign(shape.size(), 0);
  const size_t lead = shape.size() - shape_.size();
  for (size_t i = 0; i < shape_.size(); ++i)
    if (shape_[i] == shape[lead + i]) t.strides_[lead + i] = strides_[i];
  return t;
}

Tensor Tensor::contiguous() const { return is_contiguous() ? *this : clone(); }

Tensor Tensor::clone() const {
  Tensor t = empty(shape_, dtype_, device());
  t.copy_from(*this);
  t.storage_->version = 0;
  return t;
}

Tensor Tensor::to(DType dtype) const {
  if (dtype == dtype_) return *this;
  Tensor t = empty(shape_, dtype, device());
  t.copy_from(*this);
  t.storage_->version = 0;
  return t;
}

Tensor Tensor::to(Device device) const {
  if (device == this->device()) return *this;
  const Tensor dense = contiguous();
  Tensor t = empty(shape_, dtype_, device);
  copy_memory(t.raw(), device, dense.raw(), dense.device(), static_cast<size_t>(bytes()));
  return t;
}

void Tensor::copy_from(const Tensor& source) {
  TAUT_CHECK(defined() && source.defined() && shape_ == source.shape_, "[copy] expected shape {}, got {}",
             to_string(shape_), to_string(source.shape_));
  if (numel() == 0) return;
  if (source.device() != device()) return copy_from(source.to(device()));
  const Stream stream = current_stream(device());
  if (dtype_ == source.dtype_) {
    ON_DEVICE(device(), strided_copy(stream, source.raw(), raw(), size_of(dtype_),
                                     copy_shape(shape_, source.strides_, strides_)));
  } else if (is_contiguous()) {
    const Tensor dense = source.contiguous();
    on_any(source.dtype_, [&]<class From>() {
      on_any(dtype_,
             [&]<class To>() { ON_DEVICE(device(), cast<From, To>(stream, dense.data<From>(), data<To>(), numel())); });
    });
  } else {
    copy_from(source.to(dtype_));
    return;
  }
  bump_version();
}

void Tensor::fill(double value) {
  if (numel() == 0) return;
  if (!is_contiguous()) {
    copy_from(full(shape_, value, dtype_, device()));
    return;
  }
  const Stream stream = current_stream(device());
  on_any(dtype_, [&]<class T>() {
    T converted;
    ON_DEVICE(Device{}, cast<double, T>(stream, &value, &converted, 1));
    ON_DEVICE(device(), fill<T>(stream, converted, data<T>(), numel()));
  });
  bump_version();
}

uint32_t Tensor::version() const { return defined() ? storage_->version : 0; }
void Tensor::bump_version() {
  if (defined()) ++storage_->version;
}

std::string to_string(const Tensor& tensor, int64_t max_elements) {
  if (!tensor.defined()) return "undefined tensor";
  std::string text = fmt::format("{} {} [", name(tensor.dtype()), to_string(tensor.shape()));
  const std::vector<double> values = tensor.to_doubles();
  for (size_t i = 0; i < values.size() && static_cast<int64_t>(i) < max_elements; ++i)
    text += fmt::format("{}{:.6g}", i ? ", " : "", values[i]);
  if (static_cast<int64_t>(values.size()) > max_elements) text += ", ...";
  return text + "]";
}

bool same_bytes(const Tensor& a, const Tensor& b) {
  if (!a.defined() || !b.defined()) return a.defined() == b.defined();
  if (a.shape() != b.shape() || a.dtype() != b.dtype()) return false;
  const Tensor x = a.to(Device{}).contiguous(), y = b.to(Device{}).contiguous();
  return x.numel() == 0 || std::memcmp(x.raw(), y.raw(), static_cast<size_t>(x.bytes())) == 0;
}

void append_place(std::string& key, const Tensor& tensor) {
  const auto append = [&](const auto& value) { key.append(reinterpret_cast<const char*>(&value), sizeof value); };
  append(tensor.raw());
  append(tensor.dtype());
  append(tensor.ndim());
  for (const int64_t size : tensor.shape()) append(size);
}

}  // namespace taut
