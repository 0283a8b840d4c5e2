// Every ladder: each rung right, each better than the one before in the count it names, one of them production.
#include "kernels/lab/ladder.h"

#include <doctest/doctest.h>

#include <algorithm>

#include "kernels/error.h"

namespace taut::lab {

TEST_CASE("every rung of every ladder is right and better than the one before in the count it names") {
  for (const std::string& op : ladder_names()) {
    CAPTURE(op);
    const std::vector<LadderRow> rows = run_ladder(op);
    CHECK(rows.size() >= 3);
    CHECK(std::count_if(rows.begin(), rows.end(), [](const LadderRow& r) { return r.production; }) == 1);
    CHECK(rows.back().production);
    for (const LadderRow& row : rows) {
      CAPTURE(row.rung);
      CHECK(row.verified);
      CHECK(row.is_better);
    }
  }
  CHECK_THROWS_AS(run_ladder("no-such-op"), Error);
}

}  // namespace taut::lab
