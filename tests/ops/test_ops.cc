// Every op case, under ctest, and proof that the checks behind them see what they are for: ops with one planted fault
// each. One case alone: taut selftest ops --filter '^softmax/6x13-dim-1$'.
#include <doctest/doctest.h>

#include "kernels/devices.h"
#include "kernels/parallel.h"
#include "tests/cases/check_case.h"
#include "tests/selftest.h"

using namespace taut;
using namespace taut::cases;

TEST_CASE("op cases") {
  const auto rows = selftest::run_op_cases({});
  CHECK(rows.size() >= 200);
  CHECK(selftest::exit_code(rows) == 0);
  for (const auto& row : rows) {
    INFO(row.dump());
    CHECK(row.at("status") == "pass");
    CHECK(row.at("max_error").get<double>() <= row.at("limit").get<double>());
    CHECK(row.at("limit").get<double>() <= (row.at("dtype") == "bf16" ? 2e-2 : 1e-2));
  }
}

namespace {

enum class Fault {
  kNone,
  kValue,
  kPrecision,
  kUnwritten,
  kWritesPast,
  kWritesBefore,
  kCopiesTooFar,
  kScratch,
  kGradientPast,
  kReadsPast,
  kChangesInput,
  kThreads,
  kIsa,
  kRun,
  kAlignment,
  kSwallowsNan,
  kZeroOutput,
  kZeroGradient,
  kGradient,
  kNeeds,
  kThrows,
};

// y = 2 a + b, with a fault.
OpCase planted(Fault fault) {
  const auto run = [fault](const std::vector<Var>& in) -> std::vector<Var> {
    const Tensor a = in[0].value(), b = in[1].value();
    const int64_t n = a.numel();
    if (fault == Fault::kThrows) fail(Exit::kUsage, "[planted] expected nothing");
    Tensor y = Tensor::empty({n}, a.dtype());
    static int runs = 0;
    ++runs;
    on_float(a.dtype(), "planted", [&]<class T>() {
      const T *pa = a.data<T>(), *pb = b.data<T>();
      T* py = y.data<T>();
      for (int64_t i = 0; i < n; ++i) py[i] = T(2) * pa[i] + pb[i];
      if (fault == Fault::kValue) py[3] *= T(1.001);
      if (fault == Fault::kPrecision && sizeof(T) == 4) py[3] *= T(1.00001);
      if (fault == Fault::kUnwritten) py[n - 1] = Tensor::empty({1}, a.dtype()).data<T>()[0];
      if (fault == Fault::kWritesPast) py[n] = 0;
      if (fault == Fault::kWritesBefore) const_cast<T*>(pb)[-1] = 0;
      if (fault == Fault::kCopiesTooFar) py[n] = pa[n];
      if (fault == Fault::kScratch) Tensor::empty({n - 1}, a.dtype()).data<T>()[n - 1] = 0;
      if (fault == Fault::kReadsPast) py[n - 1] += T(0) * pa[n];
      if (fault == Fault::kChangesInput) const_cast<T*>(pa)[0] = 0;
      if (fault == Fault::kThreads && num_threads() == 3) py[0] = std::nextafter(py[0], T(9));
      if (fault == Fault::kIsa && cpu_isa() == Isa::kAvx2) py[0] = std::nextafter(py[0], T(9));
      if (fault == Fault::kRun && runs % 2 == 0) py[0] = std::nextafter(py[0], T(9));
      if (fault == Fault::kAlignment && reinterpret_cast<uintptr_t>(pa) % 64 != 0) py[0] = std::nextafter(py[0], T(9));
      if (fault == Fault::kSwallowsNan)
        for (int64_t i = 0; i < n; ++i)
          if (py[i] != py[i]) py[i] = 0;
      if (fault == Fault::kZeroOutput)
        for (int64_t i = 0; i < n; ++i) py[i] = 0;
    });
    return {record("planted", y, in, [fault](const Grads& dy, const Needs& needs) -> Grads {
      Grads g(2);
      if (needs[0] || fault == Fault::kNeeds) {
        g[0] = Tensor::zeros(dy[0].shape(), dy[0].dtype());
        std::vector<double> values = dy[0].to_doubles();
        for (double& v : values) v *= fault == Fault::kZeroGradient ? 0 : 2;
        if (fault == Fault::kGradient) values[0] *= 1.001;
        g[0].copy_from(Tensor::from(values, dy[0].shape()));
        if (fault == Fault::kGradientPast) g[0].raw()[g[0].bytes() + 1] = std::byte{0};
      }
      if (needs[1]) g[1] = dy[0];
      return g;
    })};
  };
  const bool zero = fault == Fault::kZeroOutput;
  return {.op = "planted",
          .name = "fault",
          .inputs = {{.shape = {17}}, {.shape = {17}}},
          .run = run,
          .oracle = [zero]<class T>(const Arrays<T>& in) -> Arrays<T> {
            Array<T> y(in[0].shape);
            for (int64_t i = 0; i < y.numel(); ++i) y[i] = zero ? T(0) : T(2) * in[0][i] + in[1][i];
            return {y};
          },
          .specials = zero ? Specials::kNone : Specials::kAll};
}

void check_seen(Fault fault, const char* words, DType dtype = DType::kF32) {
  const Verdict v = check_case(planted(fault), dtype, {});
  INFO(words << ": " << v.detail);
  CHECK_FALSE(v.judgement.pass);
  CHECK(v.detail.find(words) != std::string::npos);
}

}  // namespace

TEST_CASE("a faultless op passes and leaves the settings as they were") {
  const int threads = num_threads();
  const Isa isa = cpu_isa();
  for (const DType dtype : {DType::kF32, DType::kF64}) {
    const Verdict v = check_case(planted(Fault::kNone), dtype, {});
    INFO(v.detail);
    CHECK(v.judgement.pass);
  }
  CHECK(num_threads() == threads);
  CHECK(cpu_isa() == isa);
}

TEST_CASE("a planted fault is seen and named") {
  check_seen(Fault::kValue, "output 0: error");
  check_seen(Fault::kValue, "1 of 17 beyond it: [3] ");
  check_seen(Fault::kValue, "output 0: error", DType::kF64);
  check_seen(Fault::kPrecision, "output 0: error");
  check_seen(Fault::kUnwritten, "output 0: error inf");
  check_seen(Fault::kWritesPast, "output 0 has 68 bytes, and byte 68 was written in the first run");
  check_seen(Fault::kWritesBefore, "input 1 has 68 bytes, and byte -1 was written in the first run");
  check_seen(Fault::kCopiesTooFar, "output 0 has 136 bytes, and byte 136 was written", DType::kF64);
  check_seen(Fault::kScratch, "memory that the op made has 64 bytes, and byte 64 was written");
  check_seen(Fault::kGradientPast, "has 68 bytes, and byte 69 was written");
  check_seen(Fault::kReadsPast, "output 0: error inf");
  check_seen(Fault::kChangesInput, "input 0 was changed");
  check_seen(Fault::kThreads, "with 3 threads");
  check_seen(Fault::kRun, "in a second run");
  check_seen(Fault::kAlignment, "on misaligned memory");
  check_seen(Fault::kSwallowsNan, "comes out elsewhere");
  check_seen(Fault::kZeroOutput, "output 0 is zero everywhere");
  check_seen(Fault::kZeroGradient, "gradient 0 is zero everywhere");
  check_seen(Fault::kGradient, "gradient 0: error");
  check_seen(Fault::kGradient, "gradient against central differences", DType::kF64);
  check_seen(Fault::kNeeds, "backward made gradient 0");
  check_seen(Fault::kThrows, "[planted] expected nothing");
  if (cpu_isa() == Isa::kAvx512) check_seen(Fault::kIsa, "on avx2");
}

TEST_CASE("a call that must be refused has to be, with its message and code") {
  const auto detail = [](const std::function<void()>& call) {
    return check_reject({"planted", "reject", call, "sizes", Exit::kUsage}).detail;
  };
  CHECK(detail([] { fail(Exit::kUsage, "[planted] expected sizes"); }).empty());
  CHECK(detail([] {}) == "expected to be refused");
  CHECK(detail([] { fail(Exit::kUsage, "[planted] no"); }).find("'sizes'") != std::string::npos);
  CHECK(detail([] { fail(Exit::kBadData, "[planted] sizes"); }).find("exit code") != std::string::npos);
}

TEST_CASE("a filter picks cases; one that is wrong or picks nothing is an error") {
  const auto rows = selftest::run_op_cases({}, "^softmax/6x13-dim-1$");
  CHECK(rows.size() == 3);  // f64, f32, bf16
  CHECK(rows[0].at("repro") == "taut selftest ops --device cpu --filter '^softmax/6x13-dim-1$'");
  CHECK_THROWS_WITH_AS(selftest::run_op_cases({}, "no-such-op"), doctest::Contains("no case matches"), Error);
  CHECK_THROWS_WITH_AS(selftest::run_op_cases({}, "("), doctest::Contains("regular expression"), Error);
}

TEST_CASE("without a device every case is skipped, which is neither passed nor failed") {
  if (backend_state(DeviceKind::kCuda).available) return;
  const auto rows = selftest::run_op_cases({DeviceKind::kCuda, 0}, "^softmax/");
  REQUIRE(!rows.empty());
  for (const auto& row : rows) {
    CHECK(row.at("status") == "skipped");
    CHECK(!row.at("detail").get<std::string>().empty());
  }
  CHECK(selftest::exit_code(rows) == selftest::kSkipped);
}

TEST_CASE("benchmark rows state a pass and its rates") {
  const auto rows = selftest::bench_op_cases({.filter = "^matmul/6x13", .cold = true, .seconds = 0.01});
  REQUIRE(rows.size() == 4);
  for (const auto& row : rows) {
    CHECK(row.at("samples").get<int>() >= 30);
    CHECK(row.at("gflops").get<double>() > 0);
    CHECK(row.at("gb_per_second").get<double>() > 0);
    CHECK(row.at("percent_of_peak").get<double>() > 0);
  }
  CHECK(rows[0].at("caches") == "warm");
  CHECK(rows[1].at("caches") == "cold");
  CHECK(rows[2].at("pass") == "forward+backward");
}
