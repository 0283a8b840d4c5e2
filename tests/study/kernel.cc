// The commands of the kernel lab: what they list and show, how they judge, and what they refuse.
#include <nlohmann/json.hpp>
#include <regex>
#include <set>

#include "kernels/lab/problems.h"
#include "study/command/ncu.h"
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
  const json both =
      rows_of({"kernel", "bench", "^matmul/2x3x5x8,2x3x8x7$", "--dtype", "f32,bf16", "--warm", "-t", "1"});
  REQUIRE(both.size() == 4);
  CHECK(both[0].at("dtype") == "f32");
  CHECK(both[2].at("dtype") == "bf16");
  CHECK(both[2].at("p90_milliseconds").get<double>() >= both[2].at("p10_milliseconds").get<double>());
  const json tensor =
      rows_of({"kernel", "bench", "matmul", "--shape", "64x64x64", "--dtype", "bf16", "--device", "simt"});
  REQUIRE(tensor.size() == 2);
  CHECK(tensor[0].at("tensor_fmas").get<int64_t>() >= 64 * 64 * 64);
  CHECK(tensor[0].at("fmas") == 0);
  CHECK(rows_of({"kernel", "bench", "softmax", "--shape", "5x9,3x70", "--warm", "-t", "1"}).size() == 4);
  const Outcome drawn = taut({"kernel", "roofline", "^softmax/6x13-dim-1$"});
  CHECK(drawn.code == 0);
  CHECK(drawn.out.find("<svg") == 0);
  CHECK(drawn.out.find("softmax/6x13-dim-1 forward") != std::string::npos);
#endif
}

TEST_CASE("a sweep gives a row at every combination of sizes, each of them verified") {
  const json rows = rows_of({"kernel", "bench", "softmax", "-a", "rows=3", "-a", "cols=16..64*2", "--device", "simt"});
  REQUIRE(rows.size() == 3);
  for (size_t i = 0; i < 3; ++i) {
    CHECK(rows[i].at("production") == true);
    CHECK(rows[i].at("verified") == true);
    CHECK(rows[i].at("rows") == 3);
    CHECK(rows[i].at("cols") == 16 << i);
    CHECK(rows[i].at("sectors").get<int>() > 0);
    CHECK(!rows[i].contains("is_better"));
  }
  const size_t rungs = lab::rungs_of(lab::ladder_op("softmax"), {DeviceKind::kSimt, 0}).count;
  CHECK(rows_of({"kernel", "bench", "softmax:all", "-a", "cols=16,17", "-a", "rows=2", "--device", "simt"}).size() ==
        2 * rungs);
  const json timed = rows_of({"kernel", "bench", "softmax:1", "-a", "rows=3", "-a", "cols=16", "-t", "1"});
  REQUIRE(timed.size() == 1);
  CHECK(timed[0].at("rung") == 1);
  CHECK(timed[0].at("percent_of_peak").get<double>() > 0);
  CHECK(timed[0].at("vendor").is_null());
  CHECK(timed[0].at("percent_of_vendor").is_null());
}

TEST_CASE("a roofline of counted kernels is a model's, and says so") {
  const json rows = rows_of({"kernel", "roofline", "^matmul/6x13,13x9$", "--device", "simt", "--gpu", "a100"});
  REQUIRE(!rows.empty());
  for (const json& row : rows) {
    CHECK(row.at("gpu") == "a100 (model)");
    CHECK(row.at("percent_of_peak").get<double>() > 0);
    CHECK(row.at("percent_of_peak").get<double>() <= 100.01);
    const double peak = row.at("peak_gflops");
    CHECK((peak == doctest::Approx(19491.84) || peak == doctest::Approx(311869.44)));
  }
  const Outcome drawn = taut({"kernel", "roofline", "^matmul/6x13,13x9$", "--device", "simt"});
  CHECK(drawn.code == 0);
  CHECK(drawn.out.find("a model of h100, nothing measured") != std::string::npos);
}

TEST_CASE("what is known of a time is a number or null, never 0 for unknown") {
  for (const char* format : {"json", "csv", "md", "jsonl", "sql"}) {
    CAPTURE(format);
    const Outcome o = taut(
        {"kernel", "bench", "layer_norm", "-a", "rows=2", "-a", "cols=8", "--device", "simt", "--timed", "-o", format});
    CHECK(o.code == 0);
    CHECK(o.out.find("percent_of_vendor") != std::string::npos);
  }
  const json row =
      rows_of({"kernel", "bench", "layer_norm", "-a", "rows=2", "-a", "cols=8", "--device", "simt", "--timed"})[0];
  CHECK(row.at("percent_of_peak").get<double>() > 0);
  CHECK(row.at("vendor").is_null());
  CHECK(row.at("percent_of_vendor").is_null());
}

TEST_CASE("the lines for Nsight Compute name the kernel as its demangler does") {
  const struct {
    const char *kernel, *demangled;
    bool matches;
  } cases[] = {
      {"norm_kernel<float, 24>", "void taut::cuda::norm_kernel<float, (int)24>(const T1 *, long)", true},
      {"norm_kernel<float, 24>", "void taut::cuda::norm_kernel<float, 24>(float const*)", true},
      {"norm_kernel<float, 24>", "void taut::cuda::norm_kernel<float, (int)124>(const T1 *, long)", false},
      {"norm_kernel<float, 24>", "void taut::cuda::norm_kernel<taut::BF16, (int)24>(const T1 *, long)", false},
      {"norm_kernel<float, 24>", "void taut::cuda::layer_norm_kernel<float, (int)24>(const T1 *, long)", false},
      {"sum_kernel<float, 1, Term<taut::BF16> >",
       "void taut::cuda::<unnamed>::sum_kernel<float, (int)1, taut::cuda::Term<taut::BF16>>(T3)", true},
      {"sum_kernel<float, 1, Term<taut::BF16> >",
       "void taut::cuda::<unnamed>::sum_kernel<float, (int)1, taut::cuda::Term<float>>(T3)", false},
      {"flag_kernel<true>", "void taut::cuda::flag_kernel<(bool)1>(int)", true},
      {"flag_kernel<true>", "void taut::cuda::flag_kernel<(bool)0>(int)", false},
      {"plain_kernel", "taut::cuda::plain_kernel(float *)", true},
      {"plain_kernel", "taut::cuda::plain_kernel_2(float *)", false},
      {"binary_kernel<Add, ", "void taut::cuda::binary_kernel<taut::cuda::Add, float>(float *)", true},
      {"binary_kernel<Add, ", "void taut::cuda::binary_kernel<taut::cuda::Sub, float>(float *)", false},
  };
  for (const auto& c : cases) {
    const std::string regex = ncu_kernel_regex(c.kernel);
    CAPTURE(regex);
    CAPTURE(c.demangled);
    CHECK(std::regex_search(c.demangled, std::regex(regex)) == c.matches);
  }
  const Row bf16 = {{"kernel", "k<float>"}, {"case", "matmul/1x2,2x3 bf16"}, {"launches", 2}};
  const std::vector<std::string> lines = ncu_lines({bf16, {{"kernel", "k"}, {"case", "softmax:1"}, {"launches", 1}}});
  REQUIRE(lines.size() == 1);
  CHECK(lines[0].find("taut kernel bench '^matmul/1x2,2x3$' --dtype bf16 --warm --device cuda") != std::string::npos);
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
      {{"kernel", "bench", "softmax", "--shape", "3x3x3"}, 2, "ROWSxCOLS"},
      {{"kernel", "bench", "relu", "--shape", "3x3"}, 2, "matmul"},
      {{"kernel", "bench", "matmul", "--shape", "3x3x3", "--device", "simt", "--pass", "nt"}, 2, "--pass"},
      {{"kernel", "bench", "attention", "--shape", "1x2x3x4", "--dtype", "tf32"}, 2, "f32,bf16"},
      {{"kernel", "bench", "^softmax/6x13", "--dtype", "f16"}, 2, "bf16"},
      {{"kernel", "bench", "^adamw/", "--dtype", "bf16"}, 2, "--dtype f32"},
      {{"kernel", "bench", ".*-tf32$"}, 2, "--dtype tf32"},
      {{"kernel", "bench", "relu", "-a", "rows=3"}, 2, "pgd_step"},
      {{"kernel", "bench", "softmax", "-a", "n=3"}, 2, "rows cols"},
      {{"kernel", "bench", "softmax", "-a", "rows=3", "--dtype", "bf16"}, 2, "f32"},
      {{"kernel", "roofline", "^softmax/", "--device", "simt", "--all"}, 2, "largest"},
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
