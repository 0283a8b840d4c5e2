#include "kernels/lab/gpu_libraries.h"

#include <map>
#include <tuple>
#include <vector>

#include "kernels/cuda/dnn.h"
#include "kernels/lab/device_array.h"
#include "kernels/lab/timing.h"

namespace taut::lab {
namespace {

// Rows of the square matrices: enough for a GPU to be bound by multiply-adds, and what the twin does in a moment.
constexpr int64_t kRows = 8192, kRowsOfTwin = 32;

bool is_gpu(Device device) { return device.kind != DeviceKind::kCpu; }

// Random bits of a significand and a sign, the exponent of 1: a GPU's clock depends on the numbers it multiplies.
template <class Word>
std::vector<Word> random_numbers(int64_t count, Word one, Word significand) {
  std::vector<Word> words(static_cast<size_t>(count));
  uint64_t state = 1;
  for (Word& w : words) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    const auto sign = static_cast<Word>(state >> 63 << (8 * sizeof(Word) - 1));
    w = static_cast<Word>(one | (static_cast<Word>(state >> 32) & significand) | sign);
  }
  return words;
}

std::optional<double> measure_products(Device device, LtElement element) {
  const int64_t n = device.kind == DeviceKind::kCuda ? kRows : kRowsOfTwin;
  const bool bf16 = element == LtElement::kBF16;
  const auto make = [&] {
    return bf16 ? DeviceArray(random_numbers<uint16_t>(n * n, 0x3f80, 0x007f), device)
                : DeviceArray(random_numbers<uint32_t>(n * n, 0x3f800000, 0x007fffff), device);
  };
  const DeviceArray a = make(), b = make(), c(static_cast<size_t>(n * n) * (bf16 ? 2 : 4), device);
  const MatmulShape shape{.m = n, .n = n, .k = n, .lda = n, .ldb = n, .ldc = n};
  const UseLibraries in_use(device, true);
  const auto product = [&] {
    const LtOperands operands{a.get(), b.get(), nullptr, nullptr, c.get(), nullptr};
    return TAUT_ON_GPU(device, lt_matmul(current_stream(device), element, operands, shape, Epilogue::kNone));
  };
  if (!product()) return {};
  const Timing timing = measure_on(device, [&] { product(); });
  return 2e-9 * static_cast<double>(n * n * n) / timing.minimum;
}

}  // namespace

UseLibraries::UseLibraries(Device device, bool on) : device_(device) {
  if (!is_gpu(device)) return;
  lt_ = TAUT_ON_GPU(device, lt_in_use());
  dnn_ = TAUT_ON_GPU(device, dnn_in_use());
  TAUT_ON_GPU(device, use_lt(on));
  TAUT_ON_GPU(device, use_dnn(on));
}

UseLibraries::~UseLibraries() {
  if (!is_gpu(device_)) return;
  TAUT_ON_GPU(device_, use_lt(lt_));
  TAUT_ON_GPU(device_, use_dnn(dnn_));
}

LibraryCalls library_calls(Device device) {
  return {TAUT_ON_GPU(device, lt_calls()), TAUT_ON_GPU(device, dnn_calls())};
}

std::string libraries_called_since(const LibraryCalls& before, Device device) {
  const LibraryCalls now = library_calls(device);
  std::string names;
  if (now.products > before.products) names = "cuBLASLt";
  if (now.dnn > before.dnn) names += names.empty() ? "cuDNN" : ", cuDNN";
  return names;
}

std::optional<double> matrix_gflops(Device device, LtElement element) {
  static std::map<std::tuple<DeviceKind, int, LtElement>, std::optional<double>> known;
  const auto [it, is_new] = known.try_emplace({device.kind, device.index, element});
  if (is_new) it->second = measure_products(device, element);
  return it->second;
}

}  // namespace taut::lab
