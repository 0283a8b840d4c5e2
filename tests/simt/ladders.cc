// Every ladder: each rung right, each better than the one before in the count it names, one of them production.
#include "kernels/lab/ladder.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <set>

#include "kernels/arena.h"
#include "kernels/error.h"
#include "kernels/lab/peak.h"

namespace taut::lab {
namespace {

constexpr Device kCpu{}, kSimt{DeviceKind::kSimt, 0};

}  // namespace

TEST_CASE("every rung of every ladder is right and better than the one before in the count it names") {
  CHECK(ladder_ops().size() == 7);
  for (const LadderOp& op : ladder_ops()) {
    CAPTURE(op.op);
    const std::vector<LadderRow> rows = run_ladder(op.op, kSimt);
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
  CHECK_THROWS_AS(run_ladder("no-such-op", kSimt), Error);
}

TEST_CASE("rungs are right at every class of sizes, on the CPU too") {
  for (const LadderOp& op : ladder_ops())
    for (const Device device : {kCpu, kSimt})
      for (const char* sizes : {"small", "edge", "random:3"}) {
        const std::vector<RungCheck> checks = verify_ladder(op.op, 0, device, sizes, 7);
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
  CHECK_THROWS_WITH_AS(verify_ladder("softmax", 0, kCpu, "large", 1), doctest::Contains("random:N"), Error);
  CHECK_THROWS_WITH_AS(verify_ladder("softmax", 0, kCpu, "random:0", 1), doctest::Contains("random:N"), Error);
  CHECK_THROWS_WITH_AS(verify_ladder("softmax", 9, kCpu, "small", 1), doctest::Contains("rung"), Error);
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
  const std::vector<LadderRow> rows = run_ladder("pgd_step", kCpu);
  CHECK(rows.size() >= 2);
  for (const LadderRow& row : rows) {
    CHECK(row.verified);
    CHECK(row.better == "time");
    CHECK(row.milliseconds > 0);
    CHECK(row.percent_of_peak > 0);
    CHECK(row.requests == 0);
  }
}

TEST_CASE("a copy on a device has a rate, and gives its memory back") {
  const int64_t before = arena_stats({DeviceKind::kSimt, 0}).in_use;
  CHECK(measure_copy_gb_per_second({DeviceKind::kSimt, 0}, 1 << 20) > 0);
  CHECK(arena_stats({DeviceKind::kSimt, 0}).in_use == before);
}

}  // namespace taut::lab
