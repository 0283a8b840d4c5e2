// How many kernels a step over many tensors launches, and how large the grids of a launch may be.
#include <doctest/doctest.h>

#include <cmath>
#include <functional>
#include <map>
#include <string>

#include "kernels/attention.h"
#include "kernels/conv2d.h"
#include "kernels/matmul.h"
#include "kernels/simt/counts.h"
#include "kernels/simt/cuda_twin/cuda_twin.h"
#include "nn/optimizer.h"

namespace taut {
namespace {

constexpr Device kSimt{DeviceKind::kSimt, 0};

// Launches by kernel.
std::map<std::string, int64_t> launches_of(const std::function<void()>& work) {
  runner::start_counts();
  work();
  std::map<std::string, int64_t> launches;
  for (const runner::KernelCounts& k : runner::take_counts()) launches[k.kernel] = k.launches;
  return launches;
}

// Whether CUDA takes the launches: they are recorded and do not run, so no memory is behind the addresses.
bool takes(const std::function<void(Stream)>& launch) {
  cuda_twin::cudaStream_t stream = nullptr;
  cuda_twin::cudaGraph_t graph = nullptr;
  cuda_twin::cudaStreamCreateWithFlags(&stream, cuda_twin::cudaStreamNonBlocking);
  cuda_twin::cudaStreamBeginCapture(stream, cuda_twin::cudaStreamCaptureModeRelaxed);
  CHECK_NOTHROW(launch(Stream{stream}));
  const bool taken = cuda_twin::cudaStreamEndCapture(stream, &graph) == cuda_twin::cudaSuccess;
  cuda_twin::cudaGraphDestroy(graph);
  return taken;
}

}  // namespace

TEST_CASE("100 parameters are two launches of AdamW and of their squares' sum, replayed or not") {
  std::vector<nn::NamedParameter> parameters;
  std::vector<bool> decay;
  std::vector<Tensor> gradients;
  for (int64_t i = 0; i < 100; ++i) {
    parameters.push_back({fmt::format("p{}", i), Var(Tensor::full({i % 7 + 1}, 1, DType::kF32, kSimt), true)});
    decay.push_back(i % 3 == 0);
    gradients.push_back(Tensor::full({i % 7 + 1}, 0.5, DType::kF32, kSimt));
  }
  nn::AdamW adamw(parameters, decay, {});
  for (int step = 0; step < 4; ++step) {
    CAPTURE(step);
    const auto launches = launches_of([&] { adamw.step(gradients, 1e-3); });
    // The constants of those that decay and of the others are copied first.
    CHECK(launches ==
          std::map<std::string, int64_t>{{"adamw_step_kernel<float>", 2}, {"strided_copy_kernel<unsigned int>", 2}});
  }
  double norm = 0;
  const auto launches = launches_of([&] { norm = nn::global_norm(gradients); });
  CHECK(norm == std::sqrt(0.25 * (14 * 28 + 3)));
  CHECK(launches == std::map<std::string, int64_t>{{"table_chunk_sums_kernel<float, true>", 2},
                                                   {"chunk_sums_kernel<float, ListTerm<float> >", 1}});
}

TEST_CASE("more heads and more rows than a grid's second dimension has blocks") {
  const AttentionShape heads{.b = 7000, .t = 17, .tq = 17, .heads = 10, .d = 8};
  CHECK(takes([&](Stream s) { simt::attention_forward<float>(s, nullptr, nullptr, nullptr, heads); }));
  CHECK(takes([&](Stream s) { simt::attention_backward<float>(s, nullptr, nullptr, nullptr, nullptr, heads); }));
  CHECK(takes([&](Stream s) { simt::attention_forward<BF16>(s, nullptr, nullptr, nullptr, heads); }));
  CHECK(takes([&](Stream s) { simt::attention_backward<BF16>(s, nullptr, nullptr, nullptr, nullptr, heads); }));
  CHECK(takes([&](Stream s) {
    simt::linear_forward<float>(s, nullptr, nullptr, nullptr, nullptr, nullptr, nullptr, 10'000'000, 8, 200,
                                Epilogue::kNone);
  }));
  const ConvShape images{.n = 1000, .h = 112, .w = 112, .c_in = 8, .c_out = 8, .kh = 3, .kw = 3, .padding = 1};
  CHECK(takes([&](Stream s) { simt::conv2d_forward<float>(s, nullptr, nullptr, nullptr, nullptr, images); }));
  alignas(16) const BF16 bias[8] = {};  // with one the convolution is the own one
  CHECK(takes([&](Stream s) { simt::conv2d_forward<BF16>(s, nullptr, nullptr, bias, nullptr, images); }));
}

}  // namespace taut
