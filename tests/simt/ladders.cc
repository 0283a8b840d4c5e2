// Every ladder: each rung right, each better than the one before in the count it names, one of them production.
#include "kernels/lab/ladder.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "kernels/arena.h"
#include "kernels/error.h"
#include "kernels/lab/gpu_libraries.h"
#include "kernels/lab/peak.h"
#include "kernels/lab/sweep.h"
#include "tests/cuda/injected.h"

namespace taut::lab {
namespace {

constexpr Device kCpu{}, kSimt{DeviceKind::kSimt, 0};

}  // namespace

TEST_CASE("every rung of every ladder is right and better than the one before in the count it names") {
  CHECK(ladder_ops().size() == 7);
  for (const LadderOp& op : ladder_ops()) {
    CAPTURE(op.op);
    const std::vector<LadderRow> rows = run_ladder(op, kSimt);
    CHECK(rows.size() >= 3);
    CHECK(std::count_if(rows.begin(), rows.end(), [](const LadderRow& r) { return r.production; }) == 1);
    CHECK(rows.back().production);
    for (const LadderRow& row : rows) {
      CAPTURE(row.rung);
      CHECK(row.verified);
      CHECK(row.is_better);
      CHECK(row.requests > 0);
    }
  }
  CHECK_THROWS_AS(ladder_op("no-such-op"), Error);
}

TEST_CASE("rungs are right at every class of sizes, on the CPU too") {
  for (const LadderOp& op : ladder_ops())
    for (const Device device : {kCpu, kSimt})
      for (const char* sizes : {"small", "edge", "random:3"}) {
        const std::vector<RungCheck> checks = verify_ladder(op, device, {.sizes = sizes, .seed = 7, .red_zones = true});
        CHECK(checks.size() >= static_cast<size_t>(rungs_of(op, device).count));
        for (const RungCheck& check : checks) {
          CAPTURE(op.op);
          CAPTURE(name(device.kind));
          CAPTURE(check.shape);
          CAPTURE(check.rung);
          CAPTURE(check.error);
          CHECK(check.pass);
        }
      }
  const LadderOp& op = ladder_op("softmax");
  CHECK_THROWS_WITH_AS(verify_ladder(op, kCpu, {.sizes = "large"}), doctest::Contains("random:N"), Error);
  CHECK_THROWS_WITH_AS(verify_ladder(op, kCpu, {.sizes = "random:0"}), doctest::Contains("random:N"), Error);
  CHECK_THROWS_WITH_AS(verify_ladder(op, kCpu, {.rung = 9}), doctest::Contains("rung"), Error);
}

TEST_CASE("a rung that writes beside what it got is caught, with the name of it") {
  // The last rung, and then an element in front of an input and one behind the output; or a result that is wrong.
  static const auto production = [](Stream stream, const LadderData& d) {
    const Rungs rungs = rungs_of(ladder_op("softmax"), kCpu);
    rungs.list[rungs.count - 1].run(stream, d);
  };
  static const Rung faulty[] = {{"first", LadderCount::kTime, false, production},
                                {"writes beside", LadderCount::kTime, false,
                                 [](Stream stream, const LadderData& d) {
                                   production(stream, d);
                                   const_cast<float*>(d.in[0])[-1] = 0;
                                   d.out[d.size[0] * d.size[1]] = 0;
                                 }},
                                {"is wrong", LadderCount::kTime, false,
                                 [](Stream stream, const LadderData& d) {
                                   production(stream, d);
                                   d.out[1] += 1;
                                 }},
                                {"production", LadderCount::kTime, true, production}};
  LadderOp op = ladder_op("softmax");
  op.rungs = [](Device, Rungs* rungs) { *rungs = {faulty, 4}; };
  op.edges = {{2, 3}};
  const std::vector<RungCheck> seen = verify_ladder(op, kCpu, {.sizes = "edge", .red_zones = true});
  REQUIRE(seen.size() == 4);
  for (const size_t good : {0, 3}) {
    CHECK(seen[good].pass);
    CHECK(seen[good].detail.empty());
  }
  CHECK(!seen[1].pass);
  CHECK(seen[1].detail.find("input 0 has 24 bytes, and byte -1 was written") != std::string::npos);
  CHECK(seen[1].detail.find("the output has 24 bytes, and byte 24 was written") != std::string::npos);
  CHECK(!seen[2].pass);
  CHECK(seen[2].detail.find("1 of 6 beyond it: [1] 1.") != std::string::npos);
}

TEST_CASE("random sizes depend on the seed alone, and are in range") {
  const LadderOp& op = ladder_op("matmul");
  const std::vector<Sizes> all = sizes_by_class(op, "random:50", 3);
  CHECK(all == sizes_by_class(op, "random:50", 3));
  CHECK(all != sizes_by_class(op, "random:50", 4));
  CHECK(std::set<Sizes>(all.begin(), all.end()).size() > 40);
  for (const Sizes& s : all)
    for (size_t i = 0; i < 3; ++i) CHECK((s[i] >= 1 && s[i] <= op.most[i]));
}

TEST_CASE("a ladder on the CPU is timed against the peaks of the same run") {
  const std::vector<LadderRow> rows = run_ladder(ladder_op("pgd_step"), kCpu);
  CHECK(rows.size() >= 2);
  for (const LadderRow& row : rows) {
    CHECK(row.verified);
    CHECK(row.better == (row.rung == 1 ? "" : "time"));  // the first has none to be better than
    CHECK(row.milliseconds > 0);
    CHECK(row.percent_of_peak > 0);
    CHECK(row.requests == 0);
  }
}

TEST_CASE("peaks of a device are a copy's rate and the matrix rate of each precision, and give their memory back") {
  const int64_t before = arena_stats(kSimt).in_use;
  for (const LtElement element : {LtElement::kBF16, LtElement::kTF32, LtElement::kF32}) {
    const Peaks peaks = measure_gpu_peaks(kSimt, element, 1 << 20);
    CHECK(peaks.gb_per_second > 0);
    REQUIRE(peaks.gflops.has_value());
    CHECK(*peaks.gflops > 0);
    CHECK(peaks.gflops == matrix_gflops(kSimt, element));  // measured once
  }
  CHECK(arena_stats(kSimt).in_use == before);
  CHECK(!Peaks{{}, 1}.percent(1, 1, 1).has_value());
  CHECK(Peaks{2, 1}.percent(1e9, 0, 1) == 50);
  CHECK(Peaks{2, 4}.percent(1e9, 3e9, 1) == 75);
}

TEST_CASE("the CPU's memory is measured for what reads, writes, does both or neither") {
  for (const Traffic& traffic : {Traffic{1 << 20, 0}, {0, 1 << 20}, {3 << 20, 1 << 20}, {1 << 18, 1 << 20}, {0, 0}})
    for (const bool cold : {false, true}) {
      CAPTURE(traffic.read);
      CAPTURE(traffic.written);
      const Peaks peaks = measure_peaks(1, traffic, cold);
      CHECK(peaks.gb_per_second > 0);
      CHECK(std::isfinite(peaks.gb_per_second));
      CHECK(peaks.gflops.value_or(0) > 0);
    }
}

TEST_CASE("beside cold rows stands a cold copy") {
  // Memory is set once for the copy, and once before every sample to spoil the cache.
  measure_gpu_peaks(kSimt, LtElement::kF32, 1 << 16);  // the matrix rate is measured once
  const auto second_set_fails = [](bool cold) {
    const Injected injected;
    cuda_twin::fail_call("cudaMemsetAsync", 2, cuda_twin::cudaErrorIllegalAddress, false);
    try {
      measure_gpu_peaks(kSimt, LtElement::kF32, 1 << 16, cold);
    } catch (const Error&) {
      return true;
    }
    return false;
  };
  CHECK(!second_set_fails(false));
  CHECK(second_set_fails(true));
}

TEST_CASE("a vendor's library with other numbers than the op's loses its column, not the table") {
  LadderOp op = ladder_op("matmul");
  const LadderOptions options{.sizes = Sizes{32, 32, 32}, .timed = true};
  for (const LadderRow& row : run_ladder(op, kSimt, options)) CHECK(row.vendor == "cuBLASLt");
  // Of an op that leaves its first input as it is, cuBLASLt computes another function.
  op.make = [](const Sizes& sizes) {
    Problem p = ladder_op("matmul").make(sizes);
    p.out = p.in[0];
    p.out_is_input = true;
    return p;
  };
  op.rungs = [](Device, Rungs* rungs) {
    static const Rung nothing{"its first input", LadderCount::kTime, true, [](Stream, const LadderData&) {}};
    *rungs = {&nothing, 1};
  };
  const std::vector<LadderRow> rows = run_ladder(op, kSimt, options);
  REQUIRE(rows.size() == 1);
  CHECK(rows[0].verified);
  CHECK(rows[0].vendor.empty());
  CHECK(!rows[0].vendor_milliseconds.has_value());
  CHECK(!rows[0].percent_of_vendor.has_value());
}

TEST_CASE("a ladder is timed on the twin as on a GPU, beside the vendor's library where it has the op") {
  const struct {
    const char* op;
    Sizes sizes;
    std::string vendor;
  } cases[] = {
      {"matmul", {32, 32, 16}, "cuBLASLt"},
      {"matmul", {8, 7, 8}, ""},  // rows that 16 bytes do not divide are not the library's
      {"conv2d", {1, 4, 4, 8, 8}, "cuDNN"},
      {"layer_norm", {4, 64}, ""},
  };
  for (const auto& c : cases) {
    CAPTURE(c.op);
    for (const LadderRow& row : run_ladder(ladder_op(c.op), kSimt, {.sizes = c.sizes, .timed = true})) {
      CAPTURE(row.rung);
      CHECK(row.verified);
      CHECK(row.milliseconds > 0);
      CHECK(row.p10_milliseconds <= row.milliseconds);
      CHECK(row.milliseconds <= row.p90_milliseconds);
      CHECK(row.percent_of_peak.value_or(0) > 0);
      CHECK(row.vendor == c.vendor);
      CHECK((row.percent_of_vendor.value_or(0) > 0) == !c.vendor.empty());
    }
  }
}

TEST_CASE("one rung of a ladder, at sizes of a sweep") {
  const LadderOp& op = ladder_op("softmax");
  const std::vector<Sizes> sizes = sweep_sizes(op, op.counted, {"cols=5,16..64*2", "rows=3..7+2"});
  CHECK(sizes.size() == 12);
  CHECK(sizes.front() == Sizes{3, 5});
  CHECK(sizes[1] == Sizes{5, 5});
  CHECK(sizes.back() == Sizes{7, 64});
  CHECK(sweep_sizes(op, op.counted, {}) == std::vector<Sizes>{op.counted});
  const std::vector<LadderRow> rows = run_ladder(ladder_op("softmax"), kSimt, {.rung = 2, .sizes = sizes.back()});
  REQUIRE(rows.size() == 1);
  CHECK(rows[0].rung == 2);
  CHECK(rows[0].sizes == sizes.back());
  CHECK(rows[0].verified);
  const std::vector<LadderRow> timed = run_ladder(ladder_op("softmax"), kCpu, {.rung = 2, .sizes = sizes.back()});
  REQUIRE(timed.size() == 1);
  CHECK(timed[0].verified);
  for (const char* bad : {"cols", "cols=", "none=3", "cols=0", "cols=3..", "cols=3..9", "cols=3..9*1", "cols=3,",
                          "cols=x", "cols=1..9999+1", "cols=8..4*2", "cols=3,3", "cols=3,1..5+1"}) {
    CAPTURE(bad);
    CHECK_THROWS_WITH_AS(sweep_sizes(op, op.counted, {bad}), doctest::Contains("[-a]"), Error);
  }
  CHECK_THROWS_WITH_AS(sweep_sizes(op, op.counted, {"cols=1", "cols=2"}), doctest::Contains("once"), Error);
  CHECK(sweep_sizes(op, op.counted, {"cols=8..8*2"}).size() == 1);
  const LadderOp& matmul = ladder_op("matmul");
  CHECK_THROWS_WITH_AS(
      sweep_sizes(matmul, matmul.counted, {"m=100000000", "n=100000000", "k=100000000"}),
      doctest::Contains("sizes of matmul with a product of at most 1e+15, got m=100000000 n=100000000 k=100000000"),
      Error);
  CHECK_THROWS_WITH_AS(run_ladder(ladder_op("softmax"), kSimt, {.rung = 9}), doctest::Contains("1 to 4, got 9"), Error);
}

}  // namespace taut::lab
