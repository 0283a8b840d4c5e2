// Tensors: views share memory, copies do not, versions see every change, shapes are checked.
#include "tensor/tensor.h"

#include <doctest/doctest.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmath>
#include <cstring>

#include "kernels/arena.h"
#include "kernels/fork.h"
#include "kernels/red_zones.h"

using namespace taut;

namespace {

using Doubles = std::vector<double>;

Tensor count(Shape shape) {
  Doubles values(static_cast<size_t>(numel(shape)));
  for (size_t i = 0; i < values.size(); ++i) values[i] = static_cast<double>(i);
  return Tensor::from(values, std::move(shape));
}

}  // namespace

TEST_CASE("views show the same memory") {
  const Tensor t = count({2, 3, 4});
  CHECK(t.slice(1, 1, 2).to_doubles() == Doubles{4, 5, 6, 7, 8, 9, 10, 11, 16, 17, 18, 19, 20, 21, 22, 23});
  CHECK(t.permute({2, 0, 1}).shape() == Shape{4, 2, 3});
  CHECK(t.permute({2, 0, 1}).slice(0, 1, 1).to_doubles() == Doubles{1, 5, 9, 13, 17, 21});
  CHECK(t.transpose(0, 2).to_doubles()[1] == 12);
  CHECK(t.reshape({4, -1}).shape() == Shape{4, 6});
  CHECK(count({3}).expand({2, 3}).to_doubles() == Doubles{0, 1, 2, 0, 1, 2});
  Tensor view = t.slice(0, 1, 1);
  view.fill(-1);
  CHECK(t.to_doubles()[12] == -1);
  CHECK(t.to_doubles()[11] == 11);
  CHECK(view.shares_memory_with(t));
}

TEST_CASE("contiguity is told by strides, and copies are taken where it lacks") {
  const Tensor t = count({2, 3});
  CHECK(t.is_contiguous());
  CHECK(t.slice(0, 1, 1).is_contiguous());
  CHECK_FALSE(t.slice(1, 0, 2).is_contiguous());
  CHECK(t.contiguous().shares_memory_with(t));
  const Tensor turned = t.transpose(0, 1);
  CHECK_FALSE(turned.contiguous().shares_memory_with(t));
  CHECK(turned.reshape({6}).to_doubles() == Doubles{0, 3, 1, 4, 2, 5});
  CHECK(turned.clone().strides() == Shape{2, 1});
  CHECK_THROWS_WITH_AS(turned.span<double>(), doctest::Contains("contiguous"), Error);
}

TEST_CASE("versions count changes of the storage") {
  Tensor t = count({4});
  const uint32_t before = t.version();
  Tensor view = t.slice(0, 1, 2);
  view.fill(3);
  CHECK(t.version() > before);
  CHECK(t.clone().version() == 0);
  const uint32_t filled = t.version();
  t.copy_from(count({4}));
  CHECK(t.version() > filled);
}

TEST_CASE("converting rounds to nearest, ties to even") {
  const Tensor t = Tensor::from(Doubles{1 + 0x1p-24, 1 + 3 * 0x1p-24, -2.75, 0}, {4});
  CHECK(t.to(DType::kF32).to_doubles() == Doubles{1, 1 + 0x1p-22, -2.75, 0});
  // bf16 has 8 bits: 1 + 2^-8 lies between 1 and 1 + 2^-7.
  CHECK(Tensor::from(std::vector<float>{1 + 0x1p-8f, 1 + 3 * 0x1p-8f}, {2}).to(DType::kBF16).to_doubles() ==
        Doubles{1, 1 + 0x1p-6});
  CHECK(std::isnan(Tensor::from(std::vector<float>{NAN}, {1}).to(DType::kBF16).to_doubles()[0]));
  CHECK(t.to(DType::kI32).to_doubles() == Doubles{1, 1, -2, 0});
  CHECK(t.to(DType::kBool).to_doubles() == Doubles{1, 1, 1, 0});
  CHECK(t.to(DType::kF64).shares_memory_with(t));
}

TEST_CASE("what does not fit is refused with the shapes") {
  const Tensor t = count({2, 3});
  CHECK_THROWS_WITH_AS(t.reshape({4, 2}), doctest::Contains("(2, 3)"), Error);
  CHECK_THROWS_WITH_AS(t.reshape({-1, -1}), doctest::Contains("one -1"), Error);
  CHECK_THROWS_WITH_AS(t.slice(0, 1, 2), doctest::Contains("[1, 3)"), Error);
  CHECK_THROWS_WITH_AS(t.permute({0, 0}), doctest::Contains("twice"), Error);
  CHECK_THROWS_WITH_AS(t.size(2), doctest::Contains("dimension"), Error);
  CHECK_THROWS_WITH_AS(t.data<float>(), doctest::Contains("f32"), Error);
  CHECK_THROWS_WITH_AS(t.item(), doctest::Contains("one element"), Error);
  CHECK_THROWS_WITH_AS(t.expand({3, 3}), doctest::Contains("(3, 3)"), Error);
  CHECK_THROWS_AS(Tensor::from(Doubles{1, 2}, {3}), Error);
  CHECK_THROWS_AS(Tensor().raw(), Error);
  CHECK_THROWS_AS(numel({-1}), Error);
  CHECK_THROWS_AS(numel({INT64_MAX, 2}), Error);
}

TEST_CASE("shapes broadcast as NumPy's do") {
  CHECK(broadcast_shapes("x", {5, 1}, {1, 7}) == Shape{5, 7});
  CHECK(broadcast_shapes("x", {}, {3}) == Shape{3});
  CHECK(broadcast_shapes("x", {0, 3}, {1}) == Shape{0, 3});
  CHECK_THROWS_WITH_AS(broadcast_shapes("x", {2}, {3}), doctest::Contains("[x]"), Error);
}

TEST_CASE("sole ownership is visible, and memory goes back with the last owner") {
  const int64_t before = arena_stats().in_use;
  {
    Tensor t = count({100});
    CHECK(t.is_sole_owner());
    const Tensor view = t.slice(0, 0, 1);
    CHECK_FALSE(t.is_sole_owner());
    t = Tensor();
    CHECK(view.item() == 0);
  }
  CHECK(arena_stats().in_use == before);
}

TEST_CASE("with red zones fresh memory is NaN, and a write beside it is told once, alive or released") {
  const RedZones on{Device{}};
  take_red_zone_faults();
  {
    const Tensor t = Tensor::empty({3});
    for (const float v : t.span<float>()) CHECK(std::isnan(v));
    for (const DType dtype : {DType::kF64, DType::kBF16}) {
      const Tensor a = Tensor::empty({3}, dtype), beside = Tensor::empty({3}, dtype);
      const auto canary = [](const Tensor& of) { return of.slice(0, 2, 1).raw() + size_of(of.dtype()); };
      CHECK(std::memcmp(canary(a), canary(beside), 8) != 0);
      CHECK(std::memcmp(canary(a), canary(a) + 8, 8) == 0);
    }
  }
  CHECK(take_red_zone_faults().empty());
  for (const int64_t beside : {-1, 3})
    for (const bool released : {false, true}) {
      Tensor t = Tensor::empty({3});
      const void* const memory = t.raw();
      t.data<float>()[beside] = 1;
      if (released) t = Tensor();
      const std::vector<RedZoneFault> faults = take_red_zone_faults();
      REQUIRE(faults.size() == 1);
      CHECK(faults[0].memory == memory);
      CHECK(faults[0].bytes == 12);
      CHECK(faults[0].released == released);
      CHECK(faults[0].at == (beside < 0 ? -1 : 12));
      t = Tensor();
      CHECK(take_red_zone_faults().empty());
    }
}

TEST_CASE("a process forked without tensors has none of their memory, and here it stays") {
  void* const memory = arena_allocate(100);
  std::memset(memory, 7, 100);
  const auto is_mapped = [&] {
    const auto page = reinterpret_cast<uintptr_t>(memory) / 4096 * 4096;
    unsigned char resident = 0;
    return ::mincore(reinterpret_cast<void*>(page), 1, &resident) == 0;
  };
  for (const bool without : {true, false, true}) {
    const pid_t child = without ? fork_without_tensors() : ::fork();
    if (child == 0) ::_exit(is_mapped() ? 1 : 0);
    int status = -1;
    REQUIRE(::waitpid(child, &status, 0) == child);
    CHECK(WEXITSTATUS(status) == (without ? 0 : 1));
    CHECK(is_mapped());
    CHECK(static_cast<char*>(memory)[99] == 7);
  }
  arena_release(memory);
}

TEST_CASE("same_bytes tells shapes, types and bits apart") {
  CHECK(same_bytes(count({2, 3}), count({2, 3})));
  CHECK(same_bytes(count({2, 3}).transpose(0, 1), count({2, 3}).transpose(0, 1).clone()));
  CHECK_FALSE(same_bytes(count({2, 3}), count({3, 2})));
  CHECK_FALSE(same_bytes(count({2}), count({2}).to(DType::kF32)));
  CHECK_FALSE(same_bytes(Tensor::scalar(0.0), Tensor::scalar(-0.0)));
  CHECK(same_bytes(Tensor(), Tensor()));
  CHECK_FALSE(same_bytes(Tensor(), count({1})));
}
