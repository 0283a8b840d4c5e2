// Philox against its published test vectors, and what a stream of numbers promises.
#include "tensor/random.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <set>

using namespace taut;

TEST_CASE("Philox4x32-10 gives the known answers of Random123") {
  using Four = std::array<uint32_t, 4>;
  CHECK(philox({0, 0, 0, 0}, {0, 0}) == Four{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8});
  CHECK(philox({~0u, ~0u, ~0u, ~0u}, {~0u, ~0u}) == Four{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd});
  CHECK(philox({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}) ==
        Four{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1});
}

TEST_CASE("a stream is a function of its key, and streams of different keys differ") {
  const auto first = [](uint64_t seed, Purpose purpose, uint64_t step, uint64_t sample) {
    Random r(seed, purpose, step, sample);
    return r.bits64();
  };
  CHECK(first(1, Purpose::kTest, 2, 3) == first(1, Purpose::kTest, 2, 3));
  std::set<uint64_t> seen;
  for (const uint64_t seed : {0, 1})
    for (const Purpose purpose : {Purpose::kTest, Purpose::kInit})
      for (const uint64_t step : {0, 1})
        for (const uint64_t sample : {uint64_t{0}, uint64_t{1}, uint64_t{1} << 40})
          seen.insert(first(seed, purpose, step, sample));
  CHECK(seen.size() == 24);
}

TEST_CASE("uniform, normal and bounded numbers have the moments and ranges they should") {
  Random r(7, Purpose::kTest);
  constexpr int kDraws = 100'000;
  double sum = 0, squares = 0, normal_sum = 0, normal_squares = 0;
  std::array<int, 7> counts{};
  for (int i = 0; i < kDraws; ++i) {
    const double u = r.uniform();
    CHECK((u >= 0 && u < 1));
    sum += u;
    squares += u * u;
    const double n = r.normal();
    normal_sum += n;
    normal_squares += n * n;
    ++counts[r.below(7)];
  }
  // Five standard deviations of each estimate.
  CHECK(std::abs(sum / kDraws - 0.5) < 5 * std::sqrt(1 / 12.0 / kDraws));
  CHECK(std::abs(squares / kDraws - 1 / 3.0) < 5 * std::sqrt(4 / 45.0 / kDraws));
  CHECK(std::abs(normal_sum / kDraws) < 5 * std::sqrt(1.0 / kDraws));
  CHECK(std::abs(normal_squares / kDraws - 1) < 5 * std::sqrt(2.0 / kDraws));
  for (const int c : counts) CHECK(std::abs(c - kDraws / 7.0) < 5 * std::sqrt(kDraws * (1 / 7.0) * (6 / 7.0)));
}

TEST_CASE("a permutation holds every index once and depends on the key") {
  std::vector<int64_t> p = permutation(1000, 3, Purpose::kShuffle, 1);
  CHECK(p != permutation(1000, 3, Purpose::kShuffle, 2));
  CHECK(p == permutation(1000, 3, Purpose::kShuffle, 1));
  CHECK_FALSE(std::is_sorted(p.begin(), p.end()));
  std::sort(p.begin(), p.end());
  for (int64_t i = 0; i < 1000; ++i) CHECK(p[static_cast<size_t>(i)] == i);
  CHECK(permutation(0, 3, Purpose::kShuffle).empty());
}
