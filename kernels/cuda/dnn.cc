#include "kernels/cuda/dnn.h"

#include <fmt/format.h>

#include <string>
#include <vector>

#include "kernels/cuda/dnn_plan.h"

namespace taut::TAUT_GPU {

#ifndef TAUT_HAS_DNN
bool dnn_conv2d(Stream, DnnElement, DnnPass, const void*, const void*, const void*, const ConvShape&) { return false; }
#else

namespace {

constexpr int64_t kX = 1, kW = 2, kY = 3;  // unique ids of the tensors

// dims in the order (n, c, h, w), of memory in the order (n, h, w, c).
DnnDescriptor tensor(const DnnLibrary& dnn, cudnnDataType_t type, int64_t id, const std::vector<int64_t>& dims) {
  const int64_t c = dims[1], h = dims[2], w = dims[3];
  return dnn_tensor(dnn, type, id, dims, {h * w * c, 1, w * c, c});
}

// Names of an operation's attributes, by pass.
struct Names {
  cudnnBackendDescriptorType_t operation;
  cudnnBackendAttributeName_t conv, x, w, y, alpha, beta;
};
Names names_of(DnnPass pass) {
  switch (pass) {
    case DnnPass::kForward: break;
    case DnnPass::kBackwardInput:
      return {CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_CONV_DESC,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DX,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_W,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DY,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_ALPHA,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_BETA};
    case DnnPass::kBackwardWeight:
      return {CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_FILTER_DESCRIPTOR,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_CONV_DESC,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_X,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DW,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DY,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_ALPHA,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_BETA};
  }
  return {CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR,
          CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC,
          CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X,
          CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W,
          CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y,
          CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA,
          CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_BETA};
}

bool add_operation(std::vector<DnnDescriptor>& parts, const DnnLibrary& dnn, DnnElement element, DnnPass pass,
                   const ConvShape& s) {
  const cudnnDataType_t type = element == DnnElement::kBF16 ? CUDNN_DATA_BFLOAT16 : CUDNN_DATA_FLOAT;
  parts.push_back(tensor(dnn, type, kX, {s.n, s.c_in, s.h, s.w}));
  parts.push_back(tensor(dnn, type, kW, {s.c_out, s.group_in(), s.kh, s.kw}));
  parts.push_back(tensor(dnn, type, kY, {s.n, s.c_out, s.out_h(), s.out_w()}));
  DnnDescriptor conv(dnn, CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR);
  using Pair = std::vector<int64_t>;
  conv.set(CUDNN_ATTR_CONVOLUTION_COMP_TYPE, CUDNN_TYPE_DATA_TYPE, std::vector{CUDNN_DATA_FLOAT})
      .set(CUDNN_ATTR_CONVOLUTION_CONV_MODE, CUDNN_TYPE_CONVOLUTION_MODE, std::vector{CUDNN_CROSS_CORRELATION})
      .set(CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS, CUDNN_TYPE_INT64, std::vector<int64_t>{2})
      .set(CUDNN_ATTR_CONVOLUTION_DILATIONS, CUDNN_TYPE_INT64, Pair{s.dilation.h, s.dilation.w})
      .set(CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, CUDNN_TYPE_INT64, Pair{s.stride.h, s.stride.w})
      .set(CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, CUDNN_TYPE_INT64, Pair{s.padding.h, s.padding.w})
      .set(CUDNN_ATTR_CONVOLUTION_POST_PADDINGS, CUDNN_TYPE_INT64,
           Pair{s.padding.h + s.extra.h, s.padding.w + s.extra.w})
      .finalize();
  parts.push_back(std::move(conv));
  const Names names = names_of(pass);
  DnnDescriptor operation(dnn, names.operation);
  operation.set(names.conv, parts[3])
      .set(names.x, parts[0])
      .set(names.w, parts[1])
      .set(names.y, parts[2])
      .set(names.alpha, CUDNN_TYPE_FLOAT, std::vector{1.0f})
      .set(names.beta, CUDNN_TYPE_FLOAT, std::vector{0.0f})
      .finalize();
  parts.push_back(std::move(operation));
  return true;
}

std::string key_of(DnnPass pass, const ConvShape& s) {
  const auto pair = [](HW v) { return fmt::format("{},{}", v.h, v.w); };
  return fmt::format("conv2d {} {} {} {} {} {} {} {} {} {} {} {} {}", static_cast<int>(pass), s.n, s.h, s.w, s.c_in,
                     s.c_out, s.kh, s.kw, pair(s.stride), pair(s.padding), pair(s.dilation), s.groups, pair(s.extra));
}

}  // namespace

bool dnn_conv2d(Stream stream, DnnElement element, DnnPass pass, const void* x, const void* w, const void* y,
                const ConvShape& s) {
  const DnnLibrary* const dnn = dnn_in_use() ? dnn_library() : nullptr;
  if (dnn == nullptr || s.n == 0) return false;
  for (const void* p : {x, w, y})
    if (reinterpret_cast<uintptr_t>(p) % 16 != 0) return false;
  return run_dnn_plan(*dnn, stream, element, key_of(pass, s),
                      [&](std::vector<DnnDescriptor>& parts) { return add_operation(parts, *dnn, element, pass, s); },
                      {{kX, x}, {kW, w}, {kY, y}});
}
#endif

}  // namespace taut::TAUT_GPU
