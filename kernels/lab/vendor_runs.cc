#include "kernels/lab/vendor_runs.h"

#include <memory>
#include <string_view>

#include "kernels/cuda/dnn.h"
#include "kernels/cuda/lt.h"
#include "kernels/lab/device_array.h"
#include "kernels/lab/gpu_libraries.h"
#include "kernels/lab/vendor.h"
#include "kernels/parallel.h"

namespace taut::lab {
namespace {

VendorRun matmul_on_cpu(const LadderData& d) {
  if (vendor_name() == nullptr) return {};
  const auto product = [&d] {
    const MatmulShape s = matmul_shape(d);
    vendor_matmul(false, false, s.m, s.n, s.k, d.in[0], s.lda, d.in[1], s.ldb, d.out, s.ldc, num_threads());
  };
  product();
  return {vendor_name(), product};
}

VendorRun matmul_on_gpu(const LadderData& d, Device device) {
  const auto product = [&d, device] {
    const UseLibraries in_use(device, true);
    const LtOperands operands{d.in[0], d.in[1], nullptr, nullptr, d.out, nullptr};
    return TAUT_ON_GPU(device,
                       lt_matmul(current_stream(device), LtElement::kF32, operands, matmul_shape(d), Epilogue::kNone));
  };
  if (!product()) return {};
  return {"cuBLASLt", product};
}

VendorRun conv2d_on_gpu(const Problem& problem, const LadderData& d, Device device) {
  // The library wants (o, 3, 3, c), channels innermost as in images.
  const ConvShape s = conv_shape(d);
  const Values& w = problem.in[1];
  Values turned(w.size());
  const int64_t taps = s.kh * s.kw;
  for (int64_t o = 0; o < s.c_out; ++o)
    for (int64_t c = 0; c < s.c_in; ++c)
      for (int64_t tap = 0; tap < taps; ++tap)
        turned[static_cast<size_t>((o * taps + tap) * s.c_in + c)] =
            w[static_cast<size_t>((o * s.c_in + c) * taps + tap)];
  const auto weights = std::make_shared<DeviceArray>(turned, device);
  const auto convolution = [&d, s, weights, device] {
    const UseLibraries in_use(device, true);
    return TAUT_ON_GPU(device, dnn_conv2d(current_stream(device), DnnElement::kF32, DnnPass::kForward, d.in[0],
                                          weights->get(), d.out, s));
  };
  if (!convolution()) return {};
  return {"cuDNN", convolution};
}

}  // namespace

VendorRun vendor_of(const LadderOp& op, const Problem& problem, const LadderData& data, Device device) {
  const bool on_cpu = device.kind == DeviceKind::kCpu;
  const std::string_view name = op.op;
  if (name == "matmul") return on_cpu ? matmul_on_cpu(data) : matmul_on_gpu(data, device);
  if (name == "conv2d" && !on_cpu) return conv2d_on_gpu(problem, data, device);
  return {};
}

VendorRun vendor_attention(const void* qkv, void* out, const AttentionShape& shape, Device device) {
  const auto attention = [=] {
    const UseLibraries in_use(device, true);
    return TAUT_ON_GPU(device, dnn_attention(current_stream(device), qkv, out, shape));
  };
  if (!attention()) return {};
  return {"cuDNN", attention};
}

}  // namespace taut::lab
