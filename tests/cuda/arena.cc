// The device arena: stable addresses, reuse, and what happens when memory is out.
#include "kernels/arena.h"

#include <doctest/doctest.h>

#include <cmath>

#include "finetune/train.h"
#include "kernels/block_pool.h"
#include "kernels/device_memory.h"
#include "kernels/error.h"
#include "kernels/red_zones.h"
#include "kernels/simt/cuda_twin/cuda_twin.h"
#include "tensor/tensor.h"
#include "tests/cuda/injected.h"
#include "tests/selftest.h"
#include "tests/small_vit.h"

namespace taut {
namespace {

constexpr Device kSimt{DeviceKind::kSimt, 0};
constexpr size_t kMiB = size_t{1} << 20;

}  // namespace

TEST_CASE("blocks of a pool are the best fit, merge with free neighbours, and never across slabs") {
  char memory[4096];
  BlockPool pool;
  CHECK(pool.take(1).block == nullptr);
  pool.add_slab(memory, 1024);
  pool.add_slab(memory + 1024, 1024);  // beside the first, and still another slab
  CHECK(pool.take(1025).block == nullptr);
  BlockPool::Taken a = pool.take(256), b = pool.take(256), c = pool.take(512);
  CHECK(a.block == memory);
  CHECK(b.block == memory + 256);
  CHECK(c.block == memory + 512);
  pool.give_back(std::move(a), 256);
  CHECK(pool.largest_free() == 1024);
  a = pool.take(200);  // the smaller of the two that are free
  CHECK(a.block == memory);
  pool.give_back(std::move(a), 200);
  pool.give_back(std::move(c), 512);
  pool.give_back(std::move(b), 256);  // joins its two neighbours
  CHECK(pool.remove_free_slab(1024).first == memory);
  CHECK(pool.remove_free_slab(1025).first == nullptr);
  CHECK(pool.remove_free_slab(1).first == memory + 1024);
  CHECK(pool.take(1).block == nullptr);
}

TEST_CASE("with red zones the device's memory has canaries on either side") {
  const auto write_at = [](void* memory, int64_t at) {
    const char zero = 0;
    copy_memory(static_cast<char*>(memory) + at, kSimt, &zero, {}, 1);
  };
  const int64_t before = arena_stats(kSimt).in_use;
  {
    const RedZones on(kSimt);
    take_red_zone_faults(kSimt);
    for (const size_t bytes : {size_t{0}, size_t{1}, size_t{13}, size_t{256}, kMiB})
      for (const int64_t at : {int64_t{-256}, int64_t{-1}, static_cast<int64_t>(bytes)})
        for (const bool released : {false, true}) {
          void* const memory = arena_allocate(bytes, kSimt);
          CHECK(reinterpret_cast<uintptr_t>(memory) % 256 == 0);
          CHECK(take_red_zone_faults(kSimt).empty());
          write_at(memory, at);
          if (released) arena_release(memory, kSimt);
          const std::vector<RedZoneFault> faults = take_red_zone_faults(kSimt);
          REQUIRE(faults.size() == 1);
          CHECK(faults[0].memory == memory);
          CHECK(faults[0].bytes == bytes);
          CHECK(faults[0].at == at);
          if (!released) arena_release(memory, kSimt);
          CHECK(take_red_zone_faults(kSimt).empty());
        }
    const Tensor fresh = Tensor::empty({5}, DType::kF32, kSimt);
    for (const double v : fresh.to_doubles()) CHECK(std::isnan(v));
  }
  CHECK(arena_stats(kSimt).in_use == before);
  void* const without = arena_allocate(13, kSimt);
  CHECK_THROWS_WITH_AS(write_at(without, 13), doctest::Contains("out-of-bounds: 1 bytes"), Error);  // the twin's word
  CHECK(take_red_zone_faults(kSimt).empty());
  arena_release(without, kSimt);
}

TEST_CASE("op cases run with red zones in the device's memory, too") {
  for (const selftest::Row& row : selftest::run_op_cases(kSimt, "^(softmax/6x13|layer_norm/5x17)", {}, "", true)) {
    CAPTURE(row.dump());
    CHECK(row.at("status") == "pass");
  }
}

TEST_CASE("a step that repeats finds the addresses of the step before") {
  const auto step = [] {
    std::vector<void*> at;
    for (const size_t bytes : {size_t{100}, 3 * kMiB, size_t{0}, size_t{70000}})
      at.push_back(arena_allocate(bytes, kSimt));
    for (void* p : at) CHECK(reinterpret_cast<uintptr_t>(p) % 256 == 0);
    for (size_t i = 0; i < at.size(); i += 2) arena_release(at[i], kSimt);
    for (size_t i = 1; i < at.size(); i += 2) arena_release(at[i], kSimt);
    return at;
  };
  const int64_t before = arena_stats(kSimt).in_use;
  const auto first = step();
  const int64_t reserved = arena_stats(kSimt).reserved;
  CHECK(step() == first);
  CHECK(arena_stats(kSimt).reserved == reserved);
  CHECK(arena_stats(kSimt).in_use == before);
  CHECK(arena_stats(kSimt).peak >= before + static_cast<int64_t>(3 * kMiB));
}

TEST_CASE("when memory is out, unused slabs go back before anybody is told") {
  const Injected restored;
  arena_release(arena_allocate(40 * kMiB, kSimt), kSimt);  // a slab of its own, unused now
  const int64_t reserved = arena_stats(kSimt).reserved;
  cuda_twin::fail_call("cudaMalloc", 1, cuda_twin::cudaErrorMemoryAllocation);
  void* const p = arena_allocate(60 * kMiB, kSimt);
  CHECK(arena_stats(kSimt).reserved <= reserved + static_cast<int64_t>(22 * kMiB));
  arena_release(p, kSimt);
}

TEST_CASE("out of memory names what was needed and what is free, and loses nothing") {
  const Injected restored;
  const ArenaStats before = arena_stats(kSimt);
  cuda_twin::fail_call("cudaMalloc", 1, cuda_twin::cudaErrorMemoryAllocation, true);
  try {
    arena_allocate(700 * kMiB, kSimt);
    FAIL("expected an error");
  } catch (const Error& e) {
    CHECK(e.code() == Exit::kMemory);
    const std::string said = e.what();
    CHECK(said.find("needed 734003200 bytes") != std::string::npos);
    CHECK(said.find("free ") != std::string::npos);
    CHECK(said.find("hint: a smaller") != std::string::npos);
  }
  CHECK(arena_stats(kSimt).in_use == before.in_use);
  cuda_twin::fail_no_more();
  arena_release(arena_allocate(kMiB, kSimt), kSimt);
}

TEST_CASE("a training step that runs out of memory at any allocation leaks nothing and works afterwards") {
  const Injected restored;
  const Tensor x = testing::random_images(testing::small_config(), 2, 5);
  const Tensor y = testing::random_labels(2, testing::small_config().classes, 6);
  const auto loss = [&] {
    const auto vit = testing::random_vit(testing::small_config(), 1);
    vit->set_requires_grad(true);
    vit->to(kSimt);
    return finetune::Trainer(vit, {}).step(x, y).loss;
  };
  const double wanted = loss();
  const int64_t before = arena_stats(kSimt).in_use;
  int64_t failed = 0;
  for (int64_t k = 1;; ++k) {
    CAPTURE(k);
    drop_unused_memory();
    cuda_twin::fail_call("cudaMalloc", k, cuda_twin::cudaErrorMemoryAllocation, true);
    try {
      loss();
      break;
    } catch (const Error& e) {
      CHECK(e.code() == Exit::kMemory);
      ++failed;
    }
    cuda_twin::fail_no_more();
    CHECK(arena_stats(kSimt).in_use == before);
  }
  cuda_twin::fail_no_more();
  CHECK(failed > 0);
  CHECK(loss() == wanted);
}

}  // namespace taut
