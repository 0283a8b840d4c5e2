// cuBLASLt and cuDNN, by their twins: the host code above them, with the numbers of the op cases.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <string_view>

#include "attacks/pgd.h"
#include "autograd/ops.h"
#include "finetune/train.h"
#include "kernels/conv2d.h"
#include "kernels/cuda/dnn.h"
#include "kernels/cuda/lt.h"
#include "kernels/error.h"
#include "kernels/lab/gpu_libraries.h"
#include "kernels/simt/cuda_twin/dnn_twin.h"
#include "kernels/simt/cuda_twin/lt_twin.h"
#include "study/run/products.h"
#include "study/text_file.h"
#include "tests/cases/check_case.h"
#include "tests/cases/tolerance.h"
#include "tests/cuda/injected.h"
#include "tests/selftest.h"
#include "tests/small_resnet.h"
#include "tests/small_steps.h"
#include "tests/weight_files.h"

namespace taut {
namespace {

using testing::check_near;
using testing::kSimt;
using testing::Measured;

// Runs every bf16 and tf32 case of the ops on simt; returns how many.
int check_cases(const std::vector<std::string>& ops) {
  int count = 0;
  for (const cases::OpCase& c : cases::all_op_cases().cases) {
    if (std::find(ops.begin(), ops.end(), c.op) == ops.end()) continue;
    for (const DType dtype : {DType::kBF16, DType::kF32}) {
      if (dtype == DType::kBF16 ? !c.bf16 : !c.tf32) continue;
      cases::OpCase finite = c;
      finite.specials = cases::Specials::kNone;  // cuDNN promises nothing of what is not finite
      const cases::Verdict v = cases::check_case(finite, dtype, kSimt);
      INFO(c.op, "/", c.name, " ", name(dtype), ": ", v.detail);
      CHECK(v.judgement.pass);
      ++count;
    }
  }
  return count;
}

}  // namespace

TEST_CASE("products of bf16 and tf32 by cuBLASLt stay within the tolerance of their cases") {
  const lab::UseLibraries in_use(kSimt, true);
  const int64_t before = simt::lt_timings();
  CHECK(check_cases({"linear", "linear_gelu", "matmul"}) > 0);
  CHECK(simt::lt_timings() > before);
}

TEST_CASE("convolutions of bf16 and tf32 by cuDNN stay within the tolerance of their cases") {
  const lab::UseLibraries in_use(kSimt, true);
  const int64_t before = simt::dnn_plans();
  CHECK(check_cases({"conv2d"}) > 0);
  CHECK(simt::dnn_plans() > before);
}

TEST_CASE("the benchmark times own kernels beside the libraries, against the rates of the same run") {
  const struct {
    const char *op, *shape, *dtype;
    std::vector<std::string> kernels;  // of the forward pass
  } cases[] = {
      {"matmul", "16x16x16", "bf16", {"own", "cuBLASLt"}},
      {"matmul", "16x16x16", "tf32", {"own", "cuBLASLt"}},
      {"matmul", "16x16x16", "f32", {"own"}},
      {"matmul", "6x7x5", "bf16", {"own"}},
      {"conv2d", "1x4x4x8x8x3", "bf16", {"own", "cuDNN"}},
      {"attention", "1x5x2x8", "bf16", {"own", "cuDNN"}},
      {"layer_norm", "3x64", "bf16", {"own"}},
  };
  for (const auto& c : cases) {
    CAPTURE(c.op);
    CAPTURE(c.dtype);
    std::vector<std::string> kernels;
    for (const selftest::Row& row : selftest::bench_op_cases({.device = kSimt,
                                    .filter = c.op,
                                    .shapes = {c.shape},
                                    .dtypes = {c.dtype},
                                    .warm = true,
                                    .cold = true,
                                    .timed = true,
                                    .seconds = 0})) {
      CHECK(row.at("milliseconds") > 0);
      CHECK(row.at("p10_milliseconds") <= row.at("milliseconds"));
      CHECK(row.at("milliseconds") <= row.at("p90_milliseconds"));
      CHECK(row.at("peak_gflops") > 0);
      CHECK(row.at("memory_gb_per_second") > 0);
      CHECK(row.at("percent_of_peak") > 0);
      const bool forward = row.at("pass") == "forward";
      // Of attention the library has the forward pass alone.
      const bool beside =
          c.kernels.size() > 1 && row.at("kernels") == "own" && (forward || std::string_view(c.op) != "attention");
      if (beside) {
        CHECK(row.at("vendor") == c.kernels[1]);
        CHECK(row.at("percent_of_vendor") > 0);
      }
      if (forward && row.at("caches") == "cold") kernels.push_back(row.at("kernels"));
    }
    CHECK(kernels == c.kernels);
  }
  CHECK(!simt::lt_in_use());
  CHECK(!simt::dnn_in_use());
}

TEST_CASE("cuDNN's attention is the own kernel's within roundings, and refuses what it cannot do") {
  const lab::UseLibraries in_use(kSimt, true);
  constexpr int64_t kImages = 2, kTokens = 19, kHeads = 3, kSize = 16;
  std::vector<double> values;
  for (int i = 0; i < kImages * kTokens * 3 * kHeads * kSize; ++i) values.push_back(std::sin(0.37 * i));
  const Tensor qkv = Tensor::from(values, {kImages, kTokens, 3, kHeads, kSize}).to(DType::kBF16).to(kSimt);
  const Tensor out = Tensor::zeros({kImages, kTokens, kHeads * kSize}, DType::kBF16, kSimt);
  const AttentionShape shape{kImages, kTokens, kTokens, kHeads, kSize, 0.25};
  const auto run = [&](const AttentionShape& s) {
    return simt::dnn_attention(current_stream(kSimt), qkv.raw(), out.raw(), s);
  };
  const int64_t before = simt::dnn_plans();
  REQUIRE(run(shape));
  REQUIRE(run(shape));
  CHECK(simt::dnn_plans() == before + 1);
  const std::vector<double> own = ops::attention(Var(qkv), 0.25).value().to_doubles();
  CHECK(cases::relative_error(out.to_doubles(), own) < 0x1p-6);
  AttentionShape fewer = shape, odd = shape;
  fewer.tq = 1;
  odd.d = 12;
  CHECK(!run(fewer));
  CHECK(!run(odd));
  simt::use_dnn(false);
  CHECK(!run(shape));
}

TEST_CASE("a cuDNN that does not know attention is no row to beat; one that fails at it says so") {
  const lab::UseLibraries in_use(kSimt, true);
  const Injected restored;
  const auto run = [](int64_t tokens) {
    const Tensor qkv = Tensor::zeros({1, tokens, 3, 1, 8}, DType::kBF16, kSimt),
                 out = Tensor::empty({1, tokens, 8}, DType::kBF16, kSimt);
    return simt::dnn_attention(current_stream(kSimt), qkv.raw(), out.raw(), {1, tokens, tokens, 1, 8, 1});
  };
  constexpr int64_t kDescriptors = 6;  // queries, keys, values, outputs, the scale, the operation
  cuda_twin::fail_call("cudnnBackendCreateDescriptor", kDescriptors, cuda_twin::cudaErrorUnknown);
  CHECK(!run(23));
  cuda_twin::fail_no_more();
  CHECK(!run(23));
  CHECK(run(24));
  cuda_twin::fail_call("cudnnBackendExecute", 1, cuda_twin::cudaErrorUnknown);
  CHECK_THROWS_WITH_AS(run(24), doctest::Contains("cudnnBackendExecute"), Error);
}

TEST_CASE("a product is timed once, is remembered in a file, and damaged lines of it do nothing") {
  const lab::UseLibraries in_use(kSimt, true);
  const Injected restored;
  const auto product = [](int64_t rows) {
    const Tensor x = Tensor::full({rows, 64}, 0.5, DType::kBF16, kSimt),
                 w = Tensor::full({32, 64}, 0.25, DType::kBF16, kSimt);
    return ops::linear(Var(x), Var(w)).value().to_doubles();
  };
  const int64_t before = simt::lt_timings();
  CHECK(product(48) == std::vector<double>(48 * 32, 8));
  CHECK(product(48) == std::vector<double>(48 * 32, 8));
  CHECK(simt::lt_timings() == before + 1);
  const std::string folder = testing::temp("taut_test_cublaslt"), file = folder + "/taut/cublaslt.txt";
  std::filesystem::remove_all(folder);
  study::keep_products(kSimt, file);
  const std::string kept = study::read_text_file(file);
  CHECK(kept == simt::lt_choices());
  study::read_products(kSimt, file);
  simt::add_lt_choices("half a line\nname,of,a,product 0123\n\n");
  const size_t digit = kept.find(' ') + 20;
  REQUIRE(digit < kept.size());
  std::string damaged = kept;
  damaged[digit] = damaged[digit] == '0' ? '1' : '0';
  simt::add_lt_choices(damaged);
  CHECK(simt::lt_choices() == kept);
  // A whole line whose algorithm the library refuses is timed anew.
  const size_t begin = kept.rfind('\n', kept.find(",nt,48,32,64,")) + 1, end = kept.find(' ', begin);
  const std::string zeros(kept.find(' ', end + 1) - end - 1, '0');
  simt::add_lt_choices(simt::lt_choice(kept.substr(begin, end - begin), zeros) + "\n");
  const std::string refused = simt::lt_choices();
  CHECK(refused != kept);
  const int64_t timed = simt::lt_timings();
  CHECK(product(48) == std::vector<double>(48 * 32, 8));
  CHECK(simt::lt_timings() == timed + 1);
  CHECK(simt::lt_choices() != refused);
  study::read_products(kSimt, folder + "/none");
  std::filesystem::create_symlink("loop", folder + "/loop");
  CHECK_THROWS_WITH_AS(study::read_products(kSimt, folder + "/loop/cublaslt.txt"), doctest::Contains("/loop/"), Error);
  std::filesystem::remove_all(folder);
}

TEST_CASE("a step of a ViT by cuBLASLt and of a residual net by cuDNN lies as near to f32's as the CPU's") {
  const auto vit = [](Precision in, Device device) -> std::shared_ptr<nn::Model> {
    return testing::prepared("full", in, device);
  };
  const auto resnet = [](Precision in, Device device) {
    const auto net = testing::random_model(testing::small_resnet_config(), 1);
    net->set_requires_grad(true);
    net->set_precision(in);
    net->to(device);
    return net;
  };
  const auto check_steps = [](const char* what, const auto& made) {
    for (const Precision precision : {Precision::kBF16, Precision::kTF32}) {
      const auto measured = [&](Precision in, Device device) { return testing::measure(*made(in, device), device); };
      const Measured f32 = measured(Precision::kF32, {}), cpu = measured(precision, {});
      const lab::UseLibraries libraries(kSimt, true);
      check_near(precision, what, f32, cpu, measured(precision, kSimt));
    }
  };
  const int64_t products = cuda_twin::lt_products(), convolutions = cuda_twin::dnn_convolutions();
  check_steps("vit", vit);
  CHECK(cuda_twin::lt_products() > products);
  CHECK(cuda_twin::dnn_convolutions() == convolutions);
  check_steps("resnet", resnet);
  // Six convolutions with both gradients, but of what has few channels, the images', in two precisions.
  CHECK(cuda_twin::dnn_convolutions() == convolutions + 2 * (3 * 6 - 1));
}

TEST_CASE("training steps by cuBLASLt are recorded and replayed with all their products") {
  const auto config = testing::small_config();
  const Tensor x = testing::random_images(config, 2, 5), y = testing::random_labels(2, config.classes, 6);
  constexpr int kSteps = 4;
  const auto losses = [&](Precision in, Device device, const auto& after_step) {
    const auto vit = testing::prepared("full", in, device);
    finetune::Trainer trainer(vit, {});
    std::vector<double> all;
    for (int step = 0; step < kSteps; ++step) {
      all.push_back(trainer.step(x.to(device), y.to(device)).loss);
      after_step();
    }
    return all;
  };
  const auto f32 = losses(Precision::kF32, {}, [] {}), cpu = losses(Precision::kBF16, {}, [] {});
  const lab::UseLibraries libraries(kSimt, true);
  std::vector<int64_t> products = {cuda_twin::lt_products()}, timings;
  const auto got = losses(Precision::kBF16, kSimt, [&] {
    products.push_back(cuda_twin::lt_products());
    timings.push_back(simt::lt_timings());
  });
  CHECK(cases::relative_error(got, f32) <= testing::step_limit(Precision::kBF16, cpu, f32));
  // Four linear layers a block, forward and both gradients, and the patches', whose images want none. The head's five
  // classes are no rows that the library takes.
  const int64_t of_a_step = config.depth * 4 * 3 + 2;
  for (size_t step = 1; step < kSteps; ++step) {
    CAPTURE(step);
    CHECK(products[step + 1] - products[step] == of_a_step);
    CHECK(timings[step] == timings[0]);
  }
}

TEST_CASE("an attack's steps by cuDNN are recorded and replayed with all their convolutions") {
  const auto config = testing::small_resnet_config();
  const Tensor x = testing::random_images(config, 2, 5), y = testing::random_labels(2, config.classes, 6);
  attacks::AttackConfig attack;
  attack.eps = 0.03;
  attack.alpha = 0.01;
  attack.steps = 5;
  const auto losses = [&](Precision in, Device device) {
    const auto net = testing::random_model(config, 1);
    net->set_requires_grad(false);
    net->set_precision(in);
    net->to(device);
    const attacks::AttackSeed seed{7, 0, {0, 1}};
    return attacks::pgd([net](const Var& images) { return net->forward(images); }, x.to(device), y.to(device), attack,
                        seed)
        .losses;
  };
  const auto f32 = losses(Precision::kF32, {}), cpu = losses(Precision::kBF16, {});
  const lab::UseLibraries libraries(kSimt, true);
  const int64_t before = cuda_twin::dnn_convolutions();
  const auto got = losses(Precision::kBF16, kSimt);
  // A step is six convolutions forward and the gradients of what they read, but the images' of few channels; the last
  // images are judged forward.
  CHECK(cuda_twin::dnn_convolutions() - before == attack.steps * (6 + 5) + 6);
  REQUIRE(got.size() == f32.size());
  for (size_t k = 0; k < f32.size(); ++k) {
    CAPTURE(k);
    CHECK(cases::relative_error(got[k], f32[k]) <= testing::step_limit(Precision::kBF16, cpu[k], f32[k]));
  }
}

}  // namespace taut
