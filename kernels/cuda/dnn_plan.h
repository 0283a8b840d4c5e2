// Plans of cuDNN's backend API: descriptors, the engine that the heuristic proposes for a graph of operations, its run.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "kernels/cuda/dnn.h"
#include "kernels/cuda/dnn_library.h"

#ifdef TAUT_HAS_DNN
namespace taut::TAUT_GPU {

// Throws Error(kUnavailable) for anything but success.
void expect_dnn(cudnnStatus_t status, const char* call);

class Descriptor {
 public:
  Descriptor(const DnnLibrary& dnn, cudnnBackendDescriptorType_t type) : dnn_(&dnn) {
    expect_dnn(dnn.descriptor(type, &p_), "cudnnBackendCreateDescriptor");
  }
  ~Descriptor() {
    if (p_ != nullptr) dnn_->destroy(p_);
  }
  Descriptor(Descriptor&& other) noexcept : dnn_(other.dnn_), p_(other.p_) { other.p_ = nullptr; }
  Descriptor& operator=(Descriptor&&) = delete;

  template <class T>
  Descriptor& set(cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type, const std::vector<T>& values) {
    expect_dnn(dnn_->set(p_, name, type, static_cast<int64_t>(values.size()), values.data()),
               "cudnnBackendSetAttribute");
    return *this;
  }
  Descriptor& set(cudnnBackendAttributeName_t name, const Descriptor& other) {
    expect_dnn(dnn_->set(p_, name, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &other.p_), "cudnnBackendSetAttribute");
    return *this;
  }
  Descriptor& finalize() {
    expect_dnn(dnn_->finalize(p_), "cudnnBackendFinalize");
    return *this;
  }
  bool try_finalize() { return dnn_->finalize(p_) == CUDNN_STATUS_SUCCESS; }
  cudnnBackendDescriptor_t get() const { return p_; }

 private:
  const DnnLibrary* dnn_;
  cudnnBackendDescriptor_t p_ = nullptr;
};

// A tensor of 16-byte aligned memory.
Descriptor dnn_tensor(const DnnLibrary& dnn, cudnnDataType_t type, int64_t id, const std::vector<int64_t>& dims,
                      const std::vector<int64_t>& strides);

// Everything a plan refers to lives as long as it.
struct DnnPlan {
  std::vector<Descriptor> parts;
  std::optional<Descriptor> plan;  // nothing: no engine for it
  int64_t workspace = 0;
};

// A tensor's id and its memory; of one that is passed by value, host memory.
struct DnnOperand {
  int64_t id;
  const void* p;
};

// Runs the plan called `key` on the device in use, made at its first call by `operation`: it adds descriptors to the
// parts, last that of the one operation, finalised. False where there is no engine for it: the heuristic's first counts
// that is fit for these elements and does not want too much workspace.
bool run_dnn_plan(const DnnLibrary& dnn, Stream stream, DnnElement element, const std::string& key,
                  const std::function<void(std::vector<Descriptor>&)>& operation,
                  const std::vector<DnnOperand>& operands);

}  // namespace taut::TAUT_GPU
#endif
