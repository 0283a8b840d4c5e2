#include "kernels/cuda/lt.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>
#include <sstream>
#include <string_view>
#include <vector>

#include "kernels/arena.h"
#include "kernels/cuda/check.h"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/lt_library.h"
#include "kernels/cuda/runtime.h"
#include "kernels/error.h"
#include "kernels/pointwise.h"

namespace taut::TAUT_GPU {
namespace {

struct State {
  std::mutex mutex;
  bool in_use = kKind == DeviceKind::kCuda;
  int64_t timings = 0, calls = 0;
  std::map<std::string, std::string> choices;  // product -> algorithm, in hexadecimal
};

State& state() {
  static State* const s = [] {
    auto* fresh = new State;
    const char* text = std::getenv("TAUT_CUBLASLT");
    if (text != nullptr && std::string_view(text) == "0") fresh->in_use = false;
    return fresh;
  }();
  return *s;
}

// FNV-1a (Fowler, Noll, Vo): a line of a file whose digits were damaged is no choice.
uint64_t checksum_of(const std::string& line) {
  uint64_t sum = 0xcbf29ce484222325;
  for (const char c : line) sum = (sum ^ static_cast<unsigned char>(c)) * 0x100000001b3;
  return sum;
}

}  // namespace

std::string lt_choice(const std::string& product, const std::string& algorithm) {
  const std::string line = product + " " + algorithm;
  return fmt::format("{} {:016x}", line, checksum_of(line));
}

void use_lt(bool on) { state().in_use = on; }
bool lt_in_use() { return state().in_use; }
int64_t lt_timings() { return state().timings; }
int64_t lt_calls() { return state().calls; }

std::string lt_choices() {
  const std::lock_guard lock(state().mutex);
  std::string text;
  for (const auto& [product, algorithm] : state().choices) text += lt_choice(product, algorithm) + "\n";
  return text;
}

#ifndef TAUT_HAS_LT
bool lt_matmul(Stream, LtElement, const LtOperands&, const MatmulShape&, Epilogue) { return false; }
void add_lt_choices(const std::string&) {}
#else

namespace {

constexpr size_t kWorkspace = kKind == DeviceKind::kCuda ? size_t{32} << 20 : size_t{64} << 10;
constexpr int kCandidates = 12, kRepetitions = 10;

void expect(cublasStatus_t status, const char* call) {
  if (status != CUBLAS_STATUS_SUCCESS)
    fail(Exit::kUnavailable, "[{}] {} failed with status {}; hint: TAUT_CUBLASLT=0 leaves it to the own kernels",
         kBackend, call, static_cast<int>(status));
}

cublasLtHandle_t handle_of(const LtLibrary& lt, int device) {
  static std::map<int, cublasLtHandle_t> handles;
  auto [it, is_new] = handles.try_emplace(device, nullptr);
  if (is_new) expect(lt.create(&it->second), "cublasLtCreate");
  return it->second;
}

// Descriptors that die with their scope.
template <class T>
class Owned {
 public:
  using Destroy = cublasStatus_t (*)(T);
  explicit Owned(Destroy destroy) : destroy_(destroy) {}
  ~Owned() {
    if (value_ != nullptr) destroy_(value_);
  }
  Owned(const Owned&) = delete;
  Owned& operator=(const Owned&) = delete;
  T* out() { return &value_; }
  operator T() const { return value_; }

 private:
  Destroy destroy_;
  T value_ = nullptr;
};

// A column-major matrix, `batch` times `stride` apart.
struct Layout : Owned<cublasLtMatrixLayout_t> {
  Layout(const LtLibrary& lt, cudaDataType_t type, int64_t rows, int64_t cols, int64_t ld, int64_t batch,
         int64_t stride)
      : Owned(lt.layout_destroy) {
    expect(lt.layout_create(out(), type, static_cast<uint64_t>(rows), static_cast<uint64_t>(cols), ld),
           "cublasLtMatrixLayoutCreate");
    const auto count = static_cast<int32_t>(batch);
    expect(lt.layout_set(*this, CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, &count, sizeof count), "BATCH_COUNT");
    expect(lt.layout_set(*this, CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET, &stride, sizeof stride), "BATCH_OFFSET");
  }
};

// What the library does with the sums, and what is left to do here.
struct Plan {
  cublasLtEpilogue_t epilogue = CUBLASLT_EPILOGUE_DEFAULT;
  bool gelu_after = false;
};

Plan plan_of(LtElement element, const MatmulShape& s, Epilogue epilogue, bool keeps_pre) {
  switch (epilogue) {
    case Epilogue::kNone:
    case Epilogue::kResidual: return {};
    case Epilogue::kBias:
    case Epilogue::kBiasResidual: return {CUBLASLT_EPILOGUE_BIAS};
    case Epilogue::kBiasGelu: break;
  }
  const bool rows_of_8 = s.ldc % 8 == 0;  // what the library asks of the leading dimension of `pre`
  if (element == LtElement::kBF16 && !keeps_pre) return {CUBLASLT_EPILOGUE_GELU_BIAS};
  if (element == LtElement::kBF16 && rows_of_8) return {CUBLASLT_EPILOGUE_GELU_AUX_BIAS};
  return {CUBLASLT_EPILOGUE_BIAS, true};
}

bool aligned(const void* p) { return reinterpret_cast<uintptr_t>(p) % 16 == 0; }

// A product of the library: D (n x m, column-major) = op(B) op(A) is the row-major c = op(a) op(b).
class Product {
 public:
  Product(const LtLibrary& lt, LtElement element, const LtOperands& o, const MatmulShape& s, const Plan& plan,
          bool adds)
      : lt_(lt),
        type_(element == LtElement::kBF16 ? CUDA_R_16BF : CUDA_R_32F),
        operands_(o),
        adds_(adds),
        desc_(lt.desc_destroy),
        first_(lt, type_, s.transpose_b ? s.k : s.n, s.transpose_b ? s.n : s.k, s.ldb, s.batch, s.stride_b),
        second_(lt, type_, s.transpose_a ? s.m : s.k, s.transpose_a ? s.k : s.m, s.lda, s.batch, s.stride_a),
        result_(lt, type_, s.n, s.m, s.ldc, s.batch, s.stride_c) {
    expect(lt.desc_create(desc_.out(), element == LtElement::kTF32 ? CUBLAS_COMPUTE_32F_FAST_TF32 : CUBLAS_COMPUTE_32F,
                          CUDA_R_32F),
           "cublasLtMatmulDescCreate");
    set(CUBLASLT_MATMUL_DESC_TRANSA, s.transpose_b ? CUBLAS_OP_T : CUBLAS_OP_N);
    set(CUBLASLT_MATMUL_DESC_TRANSB, s.transpose_a ? CUBLAS_OP_T : CUBLAS_OP_N);
    set(CUBLASLT_MATMUL_DESC_EPILOGUE, plan.epilogue);
    if (plan.epilogue == CUBLASLT_EPILOGUE_DEFAULT) return;
    set(CUBLASLT_MATMUL_DESC_BIAS_POINTER, o.bias);
    if (plan.epilogue != CUBLASLT_EPILOGUE_GELU_AUX_BIAS) return;
    set(CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_POINTER, o.pre);
    set(CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_LD, s.ldc);
    set(CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_BATCH_STRIDE, s.stride_c);
  }

  std::vector<cublasLtMatmulHeuristicResult_t> candidates(cublasLtHandle_t handle) const {
    Owned<cublasLtMatmulPreference_t> preference(lt_.preference_destroy);
    expect(lt_.preference_create(preference.out()), "cublasLtMatmulPreferenceCreate");
    const auto prefer = [&](cublasLtMatmulPreferenceAttributes_t attribute, auto value) {
      expect(lt_.preference_set(preference, attribute, &value, sizeof value), "cublasLtMatmulPreferenceSetAttribute");
    };
    prefer(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, uint64_t{kWorkspace});
    // Sums are not cut over k: the same bits in every run.
    prefer(CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, uint32_t{CUBLASLT_REDUCTION_SCHEME_NONE});
    for (const auto attribute :
         {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES,
          CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES})
      prefer(attribute, uint32_t{16});
    std::vector<cublasLtMatmulHeuristicResult_t> found(kCandidates);
    int count = 0;
    const cublasStatus_t status =
        lt_.heuristic(handle, desc_, first_, second_, result_, result_, preference, kCandidates, found.data(), &count);
    found.resize(status == CUBLAS_STATUS_SUCCESS ? static_cast<size_t>(count) : 0);
    std::erase_if(found, [](const auto& f) { return f.state != CUBLAS_STATUS_SUCCESS; });
    return found;
  }

  cublasStatus_t run(cublasLtHandle_t handle, void* to, const cublasLtMatmulAlgo_t& algorithm, void* workspace,
                     Stream stream) const {
    const float alpha = 1, beta = adds_ ? 1 : 0;
    return lt_.matmul(handle, desc_, &alpha, operands_.b, first_, operands_.a, second_, &beta,
                      adds_ ? operands_.residual : to, result_, to, result_, &algorithm, workspace, kWorkspace,
                      static_cast<cudaStream_t>(stream.handle));
  }

 private:
  template <class V>
  void set(cublasLtMatmulDescAttributes_t attribute, V value) {
    expect(lt_.desc_set(desc_, attribute, &value, sizeof value), "cublasLtMatmulDescSetAttribute");
  }

  const LtLibrary& lt_;
  const cudaDataType_t type_;
  const LtOperands operands_;
  const bool adds_;
  Owned<cublasLtMatmulDesc_t> desc_;
  const Layout first_, second_, result_;
};

const char* name_of(LtElement element) {
  switch (element) {
    case LtElement::kBF16: return "bf16";
    case LtElement::kTF32: return "tf32";
    case LtElement::kF32: break;
  }
  return "f32";
}

std::string key_of(const LtLibrary& lt, int device, LtElement element, const MatmulShape& s, const Plan& plan,
                   bool adds) {
  static std::map<int, std::string> names;
  std::string& name = names[device];
  if (name.empty()) {
    cudaDeviceProp properties;
    check(cudaGetDeviceProperties(&properties, device), "cudaGetDeviceProperties");
    name = properties.name;
    std::replace(name.begin(), name.end(), ' ', '_');
  }
  return fmt::format("{},{},{},{}{}{},{},{},{},{},{},{},{},{},{},{},{}", name, lt.version(), name_of(element),
                     s.transpose_a ? 't' : 'n', s.transpose_b ? 't' : 'n', adds ? "+" : "", s.m, s.n, s.k, s.lda, s.ldb,
                     s.ldc, s.batch, s.stride_a, s.stride_b, s.stride_c, static_cast<int>(plan.epilogue));
}

std::string hexadecimal(const cublasLtMatmulAlgo_t& algorithm) {
  std::string text;
  for (const uint64_t word : algorithm.data) text += fmt::format("{:016x}", word);
  return text;
}
bool from_hexadecimal(const std::string& text, cublasLtMatmulAlgo_t& algorithm) {
  constexpr size_t kWords = sizeof algorithm.data / sizeof algorithm.data[0], kDigits = 16;
  if (text.size() != kWords * kDigits || text.find_first_not_of("0123456789abcdef") != std::string::npos) return false;
  for (size_t i = 0; i < kWords; ++i)
    algorithm.data[i] = std::strtoull(text.substr(i * kDigits, kDigits).c_str(), nullptr, 16);
  return true;
}

// Device memory for the time of a call.
class Memory {
 public:
  Memory(size_t bytes, int device) : device_{kKind, device}, p_(arena_allocate(bytes, device_)) {}
  ~Memory() { arena_release(p_, device_); }
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;
  operator void*() const { return p_; }

 private:
  Device device_;
  void* p_;
};

bool is_captured(Stream stream) {
  cudaStreamCaptureStatus status = cudaStreamCaptureStatusNone;
  check(cudaStreamIsCapturing(static_cast<cudaStream_t>(stream.handle), &status), "cudaStreamIsCapturing");
  return status != cudaStreamCaptureStatusNone;
}

double seconds() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

// The fastest of the candidates, all on this product's operands; results go elsewhere, since c may be the residual.
size_t fastest(const Product& product, cublasLtHandle_t handle,
               const std::vector<cublasLtMatmulHeuristicResult_t>& candidates, size_t result_bytes, void* workspace,
               Stream stream, int device) {
  const Memory result(result_bytes, device);
  size_t best = 0;
  double least = 0;
  for (size_t i = 0; i < candidates.size(); ++i) {
    const auto run = [&](int times) {
      for (int n = 0; n < times; ++n) {
        const cublasStatus_t status = product.run(handle, result, candidates[i].algo, workspace, stream);
        if (status != CUBLAS_STATUS_SUCCESS) return false;
      }
      check(cudaStreamSynchronize(static_cast<cudaStream_t>(stream.handle)), "cudaStreamSynchronize");
      return true;
    };
    if (!run(1)) continue;
    const double begin = seconds();
    if (!run(kRepetitions)) continue;
    const double took = seconds() - begin;
    if (least == 0 || took < least) {
      least = took;
      best = i;
    }
  }
  return best;
}

}  // namespace

void add_lt_choices(const std::string& text) {
  const std::lock_guard lock(state().mutex);
  std::istringstream lines(text);
  std::string product, algorithm;
  cublasLtMatmulAlgo_t parsed;
  for (std::string line; std::getline(lines, line);) {
    std::istringstream fields(line);
    if (fields >> product >> algorithm && from_hexadecimal(algorithm, parsed) && line == lt_choice(product, algorithm))
      state().choices[product] = algorithm;
  }
}

bool lt_matmul(Stream stream, LtElement element, const LtOperands& o, const MatmulShape& s, Epilogue epilogue) {
  const LtLibrary* const lt = lt_in_use() ? lt_library() : nullptr;
  if (lt == nullptr || s.m == 0 || s.n == 0 || s.k == 0 || s.batch == 0) return false;
  const int64_t size = element == LtElement::kBF16 ? 2 : 4, whole = 16 / size;
  for (const void* p : {o.a, o.b, o.bias, o.residual, static_cast<const void*>(o.c), static_cast<const void*>(o.pre)})
    if (!aligned(p)) return false;
  for (const int64_t distance : {s.lda, s.ldb, s.ldc, s.stride_a, s.stride_b, s.stride_c})
    if (distance % whole != 0) return false;
  const bool adds = epilogue == Epilogue::kResidual || epilogue == Epilogue::kBiasResidual;
  const Plan plan = plan_of(element, s, epilogue, o.pre != nullptr);
  if (plan.gelu_after && (s.batch != 1 || s.ldc != s.n)) return false;
  LtOperands operands = o;
  if (plan.gelu_after && o.pre != nullptr) operands.c = o.pre;  // the sum with its bias; GELU of it follows

  State& all = state();
  const std::lock_guard lock(all.mutex);
  const int device = device_in_use();
  const cublasLtHandle_t handle = handle_of(*lt, device);
  const Product product(*lt, element, operands, s, plan, adds);
  const Memory workspace(kWorkspace, device);
  const std::string key = key_of(*lt, device, element, s, plan, adds);
  cublasLtMatmulAlgo_t algorithm;
  cublasStatus_t status = CUBLAS_STATUS_NOT_SUPPORTED;
  if (const auto known = all.choices.find(key); known != all.choices.end()) {
    if (from_hexadecimal(known->second, algorithm))
      status = product.run(handle, operands.c, algorithm, workspace, stream);
    if (status != CUBLAS_STATUS_SUCCESS) all.choices.erase(known);  // of a file, and not this library's: timed anew
  }
  if (status != CUBLAS_STATUS_SUCCESS) {
    const auto candidates = product.candidates(handle);
    if (candidates.empty()) return false;
    algorithm = candidates[0].algo;
    if (!is_captured(stream)) {  // a capture must not wait: the heuristic's first, and no choice to remember
      const auto bytes =
          static_cast<size_t>((s.batch - 1) * s.stride_c + (s.m - 1) * s.ldc + s.n) * static_cast<size_t>(size);
      algorithm = candidates[fastest(product, handle, candidates, bytes, workspace, stream, device)].algo;
      ++all.timings;
    }
    status = product.run(handle, operands.c, algorithm, workspace, stream);
    if (status == CUBLAS_STATUS_SUCCESS && !is_captured(stream)) all.choices[key] = hexadecimal(algorithm);
  }
  if (status == CUBLAS_STATUS_NOT_SUPPORTED) return false;
  expect(status, "cublasLtMatmul");
  end_call(stream, "cublasLtMatmul");
  ++all.calls;
  if (!plan.gelu_after) return true;
  if (element == LtElement::kBF16)
    unary_forward<BF16>(stream, Unary::kGeluErf, static_cast<const BF16*>(operands.c), static_cast<BF16*>(o.c),
                        s.m * s.n);
  else
    unary_forward<float>(stream, Unary::kGeluErf, static_cast<const float*>(operands.c), static_cast<float*>(o.c),
                         s.m * s.n);
  return true;
}
#endif

}  // namespace taut::TAUT_GPU
