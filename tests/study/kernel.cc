// The commands of the kernel lab: what they list and show, how they judge, and what they refuse.
#include <algorithm>
#include <nlohmann/json.hpp>
#include <regex>
#include <set>

#include "kernels/lab/conv2d_bench.h"
#include "kernels/lab/problems.h"
#include "study/command/measured.h"
#include "study/command/ncu.h"
#include "study/run/used_shapes.h"
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
  CHECK(rows_of({"kernel", "ls", "--op", "linear"}).back().at("dtype") == "f32, f64, bf16, tf32");
  CHECK(rows_of({"kernel", "ls", "--op", "sgd"}).back().at("dtype") == "f32, f64");
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

TEST_CASE("kernel verify --redzone looks at canaries, and on simt says who stands before them") {
  const std::vector<std::string> softmax = {"kernel", "verify",    "softmax", "--sizes",
                                            "edge",   "--redzone", "-o",      "json"};
  const Outcome cpu = taut(softmax);
  CHECK(cpu.code == 0);
  CHECK(cpu.err.empty());
  std::vector<std::string> on_simt = softmax;
  on_simt.insert(on_simt.end(), {"--device", "simt"});
  const Outcome simt = taut(on_simt);
  CHECK(simt.code == 0);
  CHECK(simt.err.find("the runner's detectors") != std::string::npos);
  CHECK(std::count(simt.err.begin(), simt.err.end(), '\n') == 1);
  for (const Outcome& o : {cpu, simt})
    for (const json& row : json::parse(o.out)) CHECK(row.at("status") == "pass");
  CHECK(taut(on_simt, "TAUT_SIMT_DETECT=0").err.empty());
  const std::string repro = rows_of({"kernel", "verify", "softmax:2", "--redzone"})[0].at("repro");
  CHECK(repro.ends_with(" --redzone"));
}

TEST_CASE("kernel verify --mode B times what it found right") {
#ifndef TAUT_DEBUG_BUILD
  const json timed = rows_of({"kernel", "verify", "softmax:2", "--sizes", "edge", "--mode", "B", "-t", "1"});
  REQUIRE(timed.size() == lab::ladder_op("softmax").edges.size());
  for (const json& row : timed) CHECK(row.at("milliseconds").get<double>() > 0);
  const json counted = rows_of({"kernel", "verify", "avg_pool", "--sizes", "edge", "--mode", "B", "--device", "simt"});
  REQUIRE(!counted.empty());
  for (const json& row : counted) CHECK(row.at("op") == "avg_pool");
#endif
}

TEST_CASE("without the device the lab's commands are waived") {
  for (const char* command : {"verify", "bench", "ladder", "roofline"}) {
    CAPTURE(command);
    const Outcome waived =
        taut({"kernel", command, "softmax", "--device", "simt"}, "TAUT_SIMT_FAIL=cudaGetDeviceCount:1+:100");
    CHECK(waived.code == 77);
    CHECK(waived.out.find("skipped") != std::string::npos);
    CHECK(waived.out.find("sees no GPU") != std::string::npos);
    const Outcome wrong =
        taut({"kernel", command, "sofmax", "--device", "simt"}, "TAUT_SIMT_FAIL=cudaGetDeviceCount:1+:100");
    CHECK(wrong.code == 2);
  }
  const struct {
    std::vector<std::string> arguments;
    int code;
  } cases[] = {
      {{"roofline", "softmax", "--gpu", "none"}, 2},
      {{"roofline", "softmax", "-o", "png"}, 2},
      {{"roofline", "^linear/.*-tf32$"}, 77},
      {{"verify", "softmax", "-o", "png"}, 2},
      {{"verify", "softmax:9"}, 2},
      {{"ladder", "softmax", "-o", "png"}, 2},
      {{"bench", "softmax", "-o", "png"}, 2},
      {{"bench", "matmul", "--shape", "3x3x3", "--dtype", "bf16"}, 77},
      {{"bench", "matmul", "--shape", "foo"}, 2},
      {{"bench", "relu", "--shape", "3x3x3"}, 2},
      {{"bench", "matmul", "--shape", "3x3x3", "--dtype", "zz"}, 2},
      {{"bench", "matmul", "--dtype", "zz"}, 2},
      {{"bench", "^adamw/", "--dtype", "bf16"}, 2},
      {{"bench", "--shapes", "/none.json"}, 66},
      {{"bench", "softmax", "-a", "rows=3,3"}, 2},
      {{"bench", "softmax:9", "-a", "rows=3"}, 2},
  };
  for (const auto& c : cases) {
#ifdef TAUT_DEBUG_BUILD
    if (c.arguments[0] == "bench" || c.code == 77) continue;  // which times nothing
#endif
    std::vector<std::string> arguments{"kernel"};
    arguments.insert(arguments.end(), c.arguments.begin(), c.arguments.end());
    arguments.insert(arguments.end(), {"--device", "simt"});
    const Outcome o = taut(arguments, "TAUT_SIMT_FAIL=cudaGetDeviceCount:1+:100");
    CAPTURE(c.arguments[1]);
    CAPTURE(c.arguments.back());
    CAPTURE(o.err);
    CHECK(o.code == c.code);
  }
}

TEST_CASE("--timed is for simt alone") {
  for (const char* command : {"bench", "ladder"}) {
    const Outcome refused = taut({"kernel", command, "softmax", "--timed", "--device", "cpu"});
    CHECK(refused.code == 2);
    CHECK(refused.err.find("--timed") != std::string::npos);
  }
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

TEST_CASE("shapes of products and convolutions on the CPU are timed by passes, with warm and with cold caches") {
#ifndef TAUT_DEBUG_BUILD
  for (const auto& [op, shape, pass] :
       {std::tuple("matmul", "16x8x24", "tn"), {"conv2d", "1x6x6x4x8x3:g2", "weight"}}) {
    const json rows = rows_of({"kernel", "bench", op, "--shape", shape, "--pass", pass, "--warm", "--cold", "-t", "1"});
    REQUIRE(rows.size() == 2);
    const json cases = rows_of({"kernel", "bench", "^softmax/6x13-dim-1$", "--cold", "-t", "1"});
    for (size_t i = 0; i < 2; ++i) {
      CHECK(rows[i].at("op") == op);
      CHECK(rows[i].at("shape") == shape);
      CHECK(rows[i].at("pass") == pass);
      CHECK(rows[i].at("caches") == (i == 0 ? "warm" : "cold"));
      for (const auto& [column, value] : cases[0].items())
        if (column != "case") CHECK(rows[i].contains(column));
      for (const char* column :
           {"milliseconds", "gflops", "gb_per_second", "memory_gb_per_second", "percent_of_peak", "fraction_of_peak"})
        CHECK(rows[i].at(column).get<double>() > 0);
      CHECK(rows[i].at("noise_percent").get<double>() >= 0);
      CHECK(rows[i].at("vendor").is_null() == rows[i].at("percent_of_vendor").is_null());
    }
    // 16 x 8 from 24 x 16 and 24 x 8; 8 of 6 x 6 with 2 channels of 3 x 3, from images of 4 and 8.
    const double bytes =
        std::string(op) == "matmul" ? 4 * (16 * 24 + 24 * 8 + 16 * 8) : 4 * (36 * 4 + 36 * 8 + 8 * 2 * 9);
    const double flops = std::string(op) == "matmul" ? 2.0 * 16 * 8 * 24 : 2.0 * 36 * 8 * 2 * 9;
    CHECK(rows[0].at("flops_per_byte").get<double>() == doctest::Approx(flops / bytes));
    CHECK(rows_of({"kernel", "bench", op, "--shape", shape, "--pass", pass, "--cold", "-t", "1"})[0].at("caches") ==
          "cold");
    const json plain = rows_of({"kernel", "bench", op, "--shape", shape, "--pass", pass, "-t", "1"});
    REQUIRE(plain.size() == 1);
    CHECK(plain[0].at("caches") == "warm");
  }
#endif
}

TEST_CASE("the shapes of a run are recorded and can be timed by themselves") {
  const TempFolder folder;
  write_text(folder / "tiny.toml", kTinyStudy);
  const std::string file = folder / "shapes.json";
  const Outcome trained =
      taut({"train", "-c", folder / "tiny.toml", "--out", folder / "run", "train.steps=2", "--record-shapes", file});
  CAPTURE(trained.err);
  REQUIRE(trained.code == 0);
  std::map<std::string, int64_t> calls;
  for (const json& row : json::parse(read_text_file(file))) {
    CHECK(row.at("dtype") == "f32");
    CHECK(row.at("calls") > 0);
    calls[row.at("op")] += row.at("calls").get<int64_t>();
  }
  for (const char* op : {"matmul", "attention", "layer_norm"}) CHECK(calls[op] > 0);
  const json counted = rows_of({"kernel", "bench", "layer_norm", "--shapes", file, "--device", "simt"});
  REQUIRE(!counted.empty());
  for (const json& row : counted) {
    CHECK(row.at("op") == "layer_norm");
    CHECK(row.at("calls") > 0);
    CHECK(row.at("launches") > 0);
  }
  CHECK(rows_of({"kernel", "bench", "--shapes", file, "--device", "simt"}).size() > counted.size());
  write_text(folder / "junk.json", R"([{"op": "matmul"}])");
  CHECK(taut({"kernel", "bench", "--shapes", folder / "junk.json", "--device", "simt"}).code == 65);
  CHECK(taut({"kernel", "bench", "softmax", "--shapes", file, "--device", "simt"}).code == 2);
}

TEST_CASE("a shape of the lab is the op's own, a convolution's read from its sizes") {
  const auto of = [](const std::string& op, const Shape& y, const std::vector<Shape>& inputs) {
    std::vector<Var> in;
    for (const Shape& shape : inputs) in.emplace_back(Tensor::empty(shape));
    return lab_shape(op, {Var(Tensor::empty(y))}, in).value_or(std::pair<std::string, std::string>());
  };
  using Pair = std::pair<std::string, std::string>;
  CHECK(of("linear_gelu", {2, 5, 7}, {{2, 5, 3}, {7, 3}, {7}}) == Pair("matmul", "10x7x3"));
  CHECK(of("low_rank", {2, 5, 7}, {{2, 5, 3}, {7, 3}, {7}, {4, 3}, {7, 4}}) == Pair("matmul", "10x7x3"));
  CHECK(of("residual_layer_norm", {2, 5, 7}, {{2, 5, 7}, {2, 5, 7}, {7}, {7}}) == Pair("layer_norm", "10x7"));
  CHECK(of("attention", {2, 5, 12}, {{2, 5, 3, 4, 3}}) == Pair("attention", "2x5x4x3"));
  CHECK(of("attention", {2, 1, 12}, {{2, 5, 3, 4, 3}}) == Pair());  // the head's one query
  CHECK(of("relu", {2}, {{2}}) == Pair());
  const struct {
    HW stride, padding;
    int64_t kernel, groups;
  } cases[] = {{1, 1, 3, 1}, {2, 1, 3, 1}, {2, 3, 7, 1}, {2, 0, 1, 1}, {4, 0, 4, 1}, {1, 1, 3, 4}, {{2, 1}, 1, 3, 1}};
  for (const auto& c : cases) {
    const ConvShape s{.n = 2,
                      .h = 16,
                      .w = 16,
                      .c_in = 4,
                      .c_out = 8,
                      .kh = c.kernel,
                      .kw = c.kernel,
                      .stride = c.stride,
                      .padding = c.padding,
                      .groups = c.groups};
    const Pair got =
        of("conv2d", {2, s.out_h(), s.out_w(), 8}, {{2, 16, 16, 4}, {8, s.group_in(), c.kernel, c.kernel}});
    CAPTURE(got.second);
    CHECK(got.first == "conv2d");
    const ConvShape read = conv_shape_of(got.second);
    CHECK(read.stride == s.stride);
    CHECK(read.padding == s.padding);
    CHECK(read.groups == s.groups);
    CHECK(read.out_h() == s.out_h());
    CHECK(read.out_w() == s.out_w());
  }
}

TEST_CASE("times say where they were measured; counters that the driver keeps to itself are explained") {
#ifndef TAUT_DEBUG_BUILD
  const Outcome o = taut({"kernel", "bench", "^softmax/6x13-dim-1$", "--warm", "-t", "1", "-o", "json"});
  CHECK(o.err.find("measured on ") == 0);
  CHECK(o.err.find("1 threads; taut ") != std::string::npos);
  for (const json& row : json::parse(o.out)) {
    CHECK(o.err.find(row.at("machine").get<std::string>()) != std::string::npos);
    CHECK(row.at("build").get<std::string>().find("commit") != std::string::npos);
  }
  CHECK(!rows_of({"kernel", "bench", "^softmax/6x13-dim-1$", "--device", "simt"})[0].contains("machine"));
#endif
  CHECK(pace_text("x : 1\ncpu MHz\t\t: 2100.4\ncpu MHz : 9", "3700000", "powersave", "1.18 1.00 1.18 2/89 1", 2) ==
        "2100 of 3700 MHz, governor powersave, load 1.18 on 2 processors");
  CHECK(pace_text("cpu MHz : 2100", "", "", "", 2) == "2100 MHz");
  CHECK(counters_note("RmMsg: \"\"\nRmProfilingAdminOnly: 1\n").find("sudo") != std::string::npos);
  CHECK(counters_note("RmProfilingAdminOnly: 0\n").empty());
  CHECK(counters_note("").empty());
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

TEST_CASE("the profile of an op that launches nothing names it beside the others") {
  const Outcome o = taut({"kernel", "profile", "^(cast|reshape)/", "--without-nvcc", "-o", "json"});
  CHECK(o.code == 0);
  const json rows = json::parse(o.out);
  REQUIRE(!rows.empty());
  for (const json& row : rows) CHECK(row.at("case") == "cast/to-bf16");
  CHECK(o.err.find("[kernel] reshape/5x7-to-35 launches no kernel") != std::string::npos);
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

TEST_CASE("kernel compare fails where a row is gone, and judges no time that says nothing of its noise") {
  const TempFolder folder;
  const auto compared = [&](const json& a, const json& b) {
    write_text(folder / "a.json", json::array({a}).dump());
    write_text(folder / "b.json", json::array({b}).dump());
    return taut({"kernel", "compare", folder / "a.json", folder / "b.json", "-o", "json"});
  };
  const json row = {{"op", "x"}, {"device", "cpu"}, {"milliseconds", 10}, {"noise_percent", 1}};
  const auto with = [&](const char* field, const json& value) {
    json changed = row;
    changed[field] = value;
    return changed;
  };
  for (const auto& [field, value] : {std::pair<const char*, json>{"op", "y"}, {"device", "simt"}}) {
    const Outcome gone = compared(row, with(field, value));
    CHECK(gone.code == 1);
    const json rows = json::parse(gone.out);
    REQUIRE(rows.size() == 2);
    CHECK(rows[0].at("verdict") == "GONE");
    CHECK(rows[1].at("verdict") == "NEW");
  }
  const json silent = {{"op", "x"}, {"device", "cpu"}, {"milliseconds", 20}};
  const Outcome unknown = compared(row, silent);
  CHECK(unknown.code == 0);
  CHECK(json::parse(unknown.out)[0].at("verdict") == "AMBG");
  CHECK(json::parse(unknown.out)[0].at("noise_percent").is_null());
  CHECK(json::parse(compared(silent, silent).out)[0].at("verdict") == "SAME");
  const json counted = {{"op", "x"}, {"device", "cpu"}, {"sectors", 5}};
  for (const Outcome& o : {compared(row, counted), compared(counted, row)}) {
    CHECK(o.code == 65);
    for (const char* word : {"a.json", "b.json", "timed in", "hint: both with --timed"})
      CHECK(o.err.find(word) != std::string::npos);
    CHECK(o.out.empty());
  }
  const json also = {{"op", "x"}, {"device", "cpu"}, {"sectors", 5}, {"barriers", 1}};
  for (const auto& [a, b] : {std::pair{counted, also}, {also, counted}}) {
    const Outcome o = compared(a, b);
    CHECK(o.code == 65);
    CHECK(o.err.find("a figure of barriers in " + folder / (a == also ? "a.json" : "b.json")) != std::string::npos);
  }
  for (const json& broken : {with("milliseconds", nullptr), with("milliseconds", 0), json{{"op", "x"}}}) {
    const Outcome o = compared(row, broken);
    CHECK(o.code == 65);
    CHECK(o.err.find("b.json") != std::string::npos);
  }
  for (const char* threshold : {"nan", "-1", "101"}) {
    const Outcome o = taut({"kernel", "compare", folder / "a.json", folder / "a.json", "--threshold", threshold});
    CHECK(o.code == 2);
    CHECK(o.err.find("[--threshold] expected a percentage of 0 to 100") != std::string::npos);
  }
}

TEST_CASE("rows of ladders and sweeps say their device, and the first rung is better than none") {
  const json rows = rows_of({"kernel", "ladder", "pgd_step"});
  REQUIRE(rows.size() > 1);
  for (const json& row : rows) CHECK(row.at("device") == "simt");
  CHECK(rows[0].at("better").is_null());
  CHECK(rows[0].at("is_better").is_null());
  CHECK(rows[1].at("better").is_string());
  CHECK(rows[1].at("is_better") == true);
  CHECK(rows_of({"kernel", "bench", "pgd_step", "-a", "pixels=5", "--device", "simt"})[0].at("device") == "simt");
#ifndef TAUT_DEBUG_BUILD
  CHECK(rows_of({"kernel", "bench", "pgd_step", "-a", "pixels=5", "-t", "1"})[0].at("device") == "cpu");
#endif
}

TEST_CASE("what the lab cannot do is refused with the code for it") {
  const struct {
    std::vector<std::string> arguments;
    int code;
    std::string word;
  } cases[] = {
      {{"kernel", "ladder", "no-such-op"}, 2, "pgd_step"},
      {{"kernel", "show", "softmax:9"}, 2, "1 to 4, got 9"},
      {{"kernel", "show", "reshape"}, 2, "launches no kernel"},
      {{"kernel", "profile", "^reshape/", "--without-nvcc"}, 2, "launches no kernel"},
      {{"kernel", "profile", ""}, 2, "expected an op"},
      {{"kernel", "verify", ""}, 2, "expected an op"},
      {{"kernel", "roofline", ""}, 2, "expected an op"},
      {{"kernel", "roofline", "^cast/", "--device", "simt"}, 2, "hint: `taut kernel profile`"},
      {{"kernel", "roofline", "^softmax/6x13-dim-1$", "-o", "pdf"}, 2, "svg"},
      {{"kernel", "bench", "softmax", "-a", "rows=8..4*2", "--device", "simt"}, 2, "ranges ascending"},
      {{"kernel", "bench", "softmax", "-a", "rows=3,3", "--device", "simt"}, 2, "none twice"},
      {{"kernel", "bench", "softmax", "-a", "rows=30000000", "-a", "cols=30000000", "--device", "simt"},
       71,
       "out of memory for softmax of rows=30000000 cols=30000000"},
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
      {{"kernel", "bench", "softmax", "-a", "rows=3", "--dtype", "bf16"}, 2, "[--dtype] a sweep runs in f32"},
      {{"kernel", "bench", "softmax", "-a", "rows=3", "--all", "--pass", "nt"}, 2, "[--all, --pass]"},
      {{"kernel", "bench", "softmax", "--shape", "3x3", "--all"}, 2, "[--all]"},
      {{"kernel", "bench"}, 2, "expected an op"},
      {{"kernel", "bench", "--shapes", "x.json", "--dtype", "bf16"}, 2, "[--dtype]"},
      {{"kernel", "bench", "--shapes", "/none.json"}, 66, "/none.json"},
      {{"kernel", "bench", "softmax", "--device", "simt", "--warm"}, 2, "[--warm] simt counts"},
      {{"kernel", "roofline", "^softmax/6x13-dim-1$", "--gpu", "a100"}, 2, "[--gpu]"},
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
