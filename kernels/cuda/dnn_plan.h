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

class DnnDescriptor {
 public:
  DnnDescriptor(const DnnLibrary& dnn, cudnnBackendDescriptorType_t type) : dnn_(&dnn) {
    expect_dnn(dnn.descriptor(type, &p_), "cudnnBackendCreateDescriptor");
  }
  ~DnnDescriptor() {
    if (p_ != nullptr) dnn_->destroy(p_);
  }
  DnnDescriptor(DnnDescriptor&& other) noexcept : dnn_(other.dnn_), p_(other.p_) { other.p_ = nullptr; }
  DnnDescriptor& operator=(DnnDescriptor&&) = delete;

  template <class T>
  DnnDescriptor& set(cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type, const std::vector<T>& values) {
    expect_dnn(dnn_->set(p_, name, type, static_cast<int64_t>(values.size()), values.data()),
               "cudnnBackendSetAttribute");
    return *this;
  }
  DnnDescriptor& set(cudnnBackendAttributeName_t name, const DnnDescriptor& other) {
    expect_dnn(dnn_->set(p_, name, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &other.p_), "cudnnBackendSetAttribute");
    return *this;
  }
  DnnDescriptor& finalize() {
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
DnnDescriptor dnn_tensor(const DnnLibrary& dnn, cudnnDataType_t type, int64_t id, const std::vector<int64_t>& dims,
                         const std::vector<int64_t>& strides);

// Everything a plan refers to lives as long as it.
struct DnnPlan {
  std::vector<DnnDescriptor> parts;
  std::optional<DnnDescriptor> plan;  // nothing: no engine for it
  int64_t workspace = 0;
};

// A tensor's id and its memory; of one that is passed by value, host memory.
struct DnnOperand {
  int64_t id;
  const void* p;
};

// Adds descriptors to the parts of a plan, last that of its one operation, finalised; false where the library does not
// know the operation.
using DnnOperation = std::function<bool(std::vector<DnnDescriptor>& parts)>;

// Runs the plan called `key` on the device in use, made at its first call from `operation`. False where there is no
// engine for it: the heuristic's first counts that is fit for these elements and does not want too much workspace.
bool run_dnn_plan(const DnnLibrary& dnn, Stream stream, DnnElement element, const std::string& key,
                  const DnnOperation& operation, const std::vector<DnnOperand>& operands);

}  // namespace taut::TAUT_GPU
#endif
