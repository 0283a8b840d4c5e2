// The commands of the kernel lab: what they list and show, how they judge, and what they refuse.
#include <nlohmann/json.hpp>
#include <set>

#include "tests/study/support.h"

namespace taut::study {
namespace {

using nlohmann::json;

json rows_of(const std::vector<std::string>& arguments) {
  std::vector<std::string> all = arguments;
  all.insert(all.end(), {"-o", "json"});
  const Outcome o = taut(all);
  CAPTURE(o.err);
  REQUIRE(o.code == 0);
  return json::parse(o.out);
}

TEST_CASE("kernel ls lists every rung and every op, and marks one production a ladder and device") {
  std::map<std::string, int> production, rungs;
  std::set<std::string> ops;
  for (const json& row : rows_of({"kernel", "ls"})) {
    ops.insert(row.at("op").get<std::string>());
    if (row.contains("cases")) continue;
    const std::string ladder = row.at("op").get<std::string>() + " on " + row.at("devices").get<std::string>();
    ++rungs[ladder];
    production[ladder] += row.at("production") == "*";
  }
  CHECK(rungs.size() == 14);
  for (const auto& [ladder, count] : rungs) {
    CAPTURE(ladder);
    CHECK(count >= 2);
    CHECK(production[ladder] == 1);
  }
  CHECK(ops.size() > 50);
  for (const json& row : rows_of({"kernel", "ls", "--op", "softmax"})) CHECK(row.at("op") == "softmax");
}

TEST_CASE("kernel show prints the source of a rung and of an op, and what its kernels take") {
  const Outcome rung = taut({"kernel", "show", "softmax:1", "--source"});
  CAPTURE(rung.err);
  CHECK(rung.code == 0);
  CHECK(rung.out.find("// kernels/lab/ladders/softmax.cu:") == 0);
  CHECK(rung.out.find("__global__ void a_thread_a_row(") != std::string::npos);
  CHECK(rung.out.find("a_block_a_row") == std::string::npos);
  const Outcome op = taut({"kernel", "show", "matmul", "--source"});
  CHECK(op.code == 0);
  CHECK(op.out.find("// kernels/product.cuh:") != std::string::npos);
  CHECK(op.out.find("product_kernel(OperandA a") != std::string::npos);
  const Outcome both = taut({"kernel", "show", "softmax:1", "--source", "--ptx"});
  CHECK(both.code == 2);
}

TEST_CASE("kernel verify judges rungs and cases at the sizes asked for") {
  for (const json& row : rows_of({"kernel", "verify", "softmax", "--device", "simt", "--sizes", "edge"})) {
    CAPTURE(row.dump());
    CHECK(row.at("status") == "pass");
  }
  const json one = rows_of({"kernel", "verify", "matmul:2", "--sizes", "random:3", "--seed", "5"});
  CHECK(one.size() == 3);
  const std::string repro = one[0].at("repro");
  CHECK(repro == "taut kernel verify matmul:2 --device cpu --sizes random:3 --seed 5");
  CHECK(taut({"kernel", "repro", repro}).code == 0);
}

TEST_CASE("kernel bench times on the CPU and counts on the SIMT runner") {
#ifndef TAUT_DEBUG_BUILD
  const json timed = rows_of({"kernel", "bench", "^softmax/6x13-dim-1$", "-t", "1"});
  REQUIRE(timed.size() == 4);
  for (const json& row : timed) {
    CHECK(row.at("milliseconds").get<double>() > 0);
    CHECK(row.at("percent_of_peak").get<double>() > 0);
  }
  CHECK(rows_of({"kernel", "bench", "^softmax/6x13-dim-1$", "--warm"}).size() == 2);
  const json counted = rows_of({"kernel", "bench", "^softmax/6x13-dim-1$", "--device", "simt"});
  REQUIRE(counted.size() == 2);
  CHECK(counted[0].at("launches") == 1);
  CHECK(counted[0].at("sectors").get<int>() >= counted[0].at("ideal_sectors").get<int>());
  CHECK(counted == rows_of({"kernel", "bench", "^softmax/6x13-dim-1$", "--device", "simt"}));
  const Outcome drawn = taut({"kernel", "roofline", "^softmax/6x13-dim-1$"});
  CHECK(drawn.code == 0);
  CHECK(drawn.out.find("<svg") == 0);
  CHECK(drawn.out.find("softmax/6x13-dim-1 forward") != std::string::npos);
#endif
}

TEST_CASE("kernel compare tells faster, slower, the same and what noise hides, and fails on a loss") {
  const TempFolder folder;
  const auto row = [](const char* name, double time, double noise) {
    return json{{"op", "x"}, {"case", name}, {"milliseconds", time}, {"noise_percent", noise}};
  };
  write_text(folder / "a.json", json{row("fast", 10, 1),
                                     row("slow", 10, 1),
                                     row("same", 10, 1),
                                     row("noisy", 10, 1),
                                     row("gone", 1, 1),
                                     {{"op", "x"}, {"case", "counted"}, {"sectors", 100}}}
                                    .dump());
  write_text(folder / "b.json", json{row("fast", 8, 1),
                                     row("slow", 12, 1),
                                     row("same", 10.1, 1),
                                     row("noisy", 11, 15),
                                     row("new", 1, 1),
                                     {{"op", "x"}, {"case", "counted"}, {"sectors", 101}}}
                                    .dump());
  const Outcome o = taut({"kernel", "compare", folder / "a.json", folder / "b.json", "-o", "json"});
  CAPTURE(o.err);
  CHECK(o.code == 1);
  std::map<std::string, std::string> verdicts;
  for (const json& r : json::parse(o.out)) verdicts[r.at("case")] = r.at("verdict");
  CHECK(verdicts == std::map<std::string, std::string>{{"fast", "FAST"},
                                                       {"slow", "SLOW"},
                                                       {"same", "SAME"},
                                                       {"noisy", "AMBG"},
                                                       {"gone", "GONE"},
                                                       {"new", "NEW"},
                                                       {"counted", "SLOW"}});
  CHECK(taut({"kernel", "compare", folder / "a.json", folder / "a.json"}).code == 0);
  write_text(folder / "junk.json", "{}");
  const Outcome junk = taut({"kernel", "compare", folder / "junk.json", folder / "a.json"});
  CHECK(junk.code == 65);
  CHECK(junk.err.find("junk.json") != std::string::npos);
}

TEST_CASE("what the lab cannot do is refused with the code for it") {
  const struct {
    std::vector<std::string> arguments;
    int code;
    std::string word;
  } cases[] = {
      {{"kernel", "ladder", "no-such-op"}, 2, "pgd_step"},
      {{"kernel", "show", "softmax:9"}, 2, "1 to 4"},
      {{"kernel", "show", "softmax:x"}, 2, "OP:RUNG"},
      {{"kernel", "ls", "--op", "none"}, 2, "kernel ls"},
      {{"kernel", "verify", "softmax", "--sizes", "huge"}, 2, "random:N"},
      {{"kernel", "verify", "relu", "--sizes", "random:2"}, 2, "ladder"},
      {{"kernel", "bench", "no-such-op"}, 2, "no case"},
      {{"kernel", "bench", "softmax", "--shape", "3x3x3"}, 2, "matmul"},
      {{"kernel", "bench", "matmul", "--shape", "3x3x3", "--device", "simt"}, 69, "cpu"},
      {{"kernel", "roofline", "^softmax/6x13-dim-1$", "-o", "png"}, 2, "png"},
      {{"kernel", "profile", "softmax", "--gpu", "gtx"}, 2, "rtx4090"},
      {{"kernel", "profile", "softmax", "--device", "cpu"}, 69, "simt"},
      {{"kernel", "repro", "rm -rf build"}, 2, "taut"},
      {{"kernel", "repro", "taut selftest ops; true"}, 2, "quotes"},
      {{"kernel", "repro", "taut selftest ops --filter 'x"}, 2, "no end"},
      {{"kernel", "repro", "taut kernel repro x"}, 2, "taut selftest"},
  };
  for (const auto& c : cases) {
    const Outcome o = taut(c.arguments);
    CAPTURE(c.arguments.back());
    CAPTURE(o.err);
    CHECK(o.code == c.code);
    CHECK(o.err.find(c.word) != std::string::npos);
    CHECK(o.out.empty());
  }
}

}  // namespace
}  // namespace taut::study
