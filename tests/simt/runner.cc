// What the SIMT runner promises besides its detectors.
#include "kernels/simt/runner.h"

#include <doctest/doctest.h>

#include "autograd/ops.h"
#include "kernels/error.h"
#include "kernels/simt/counts.h"
#include "tensor/tensor.h"

namespace taut {
namespace {

constexpr Device kSimt{DeviceKind::kSimt, 0};

Tensor numbers(int64_t n) {
  std::vector<float> values(static_cast<size_t>(n));
  for (size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i % 7) - 3;
  return Tensor::from(values, {n});
}

}  // namespace

TEST_CASE("a kernel without barriers runs without a switch of stacks; one with them switches") {
  const Tensor x = numbers(1000).to(kSimt);
  const int64_t before = runner::totals().switches;
  const Tensor y = ops::exp(Var(x)).value();
  CHECK(runner::totals().switches == before);
  const Tensor sum = ops::sum(Var(x)).value();
  CHECK(runner::totals().switches > before);
  CHECK(same_bytes(sum, ops::sum(Var(numbers(1000))).value()));
  runner::start_counts();
  ops::exp(Var(x));
  ops::sum(Var(x));
  int64_t waiting = 0;
  for (const runner::KernelCounts& k : runner::take_counts()) {
    waiting += k.barriers + k.warp_functions;
    CHECK((k.switches > 0) == (k.barriers + k.warp_functions > 0));
  }
  CHECK(waiting > 0);
}

TEST_CASE("host code cannot read device memory by accident") {
  Tensor x = numbers(4).to(kSimt);
  CHECK_THROWS_WITH_AS(x.span<float>(), doctest::Contains("expected host memory"), Error);
  CHECK(x.to_doubles() == numbers(4).to_doubles());
}

TEST_CASE("counts of accesses are exact and repeatable") {
  const auto counts = [] {
    const Tensor x = numbers(1024).to(kSimt);
    runner::start_counts();
    ops::square(Var(x));
    return runner::take_counts();
  };
  const std::vector<runner::KernelCounts> all = counts();
  REQUIRE(all.size() == 1);
  CHECK(all[0].kernel.starts_with("unary_forward_kernel"));
  REQUIRE(all[0].sites.size() == 2);
  for (const runner::SiteCounts& site : all[0].sites) {
    CHECK(site.requests == 1024 / 32);
    CHECK(site.sectors == 1024 * 4 / 32);
    CHECK(site.ideal_sectors == site.sectors);
  }
  const std::vector<runner::KernelCounts> again = counts();
  CHECK(again[0].sites[0].sectors == all[0].sites[0].sectors);
}

}  // namespace taut
