// cuBLASLt and cuDNN, by their twins: the host code above them, with the numbers of the op cases.
#include <doctest/doctest.h>

#include <algorithm>
#include <filesystem>

#include "autograd/ops.h"
#include "finetune/train.h"
#include "kernels/conv2d.h"
#include "kernels/cuda/dnn.h"
#include "kernels/cuda/lt.h"
#include "kernels/error.h"
#include "study/run/products.h"
#include "study/text_file.h"
#include "tests/cases/check_case.h"
#include "tests/cuda/injected.h"
#include "tests/small_vit.h"
#include "tests/weight_files.h"

namespace taut {
namespace {

constexpr Device kSimt{DeviceKind::kSimt, 0};

// Both libraries are in use while this lives.
class Libraries {
 public:
  Libraries() { use(true); }
  ~Libraries() { use(false); }
  Libraries(const Libraries&) = delete;
  Libraries& operator=(const Libraries&) = delete;

 private:
  static void use(bool on) {
    simt::use_lt(on);
    simt::use_dnn(on);
  }
};

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
  const Libraries libraries;
  const int64_t before = simt::lt_timings();
  CHECK(check_cases({"linear", "linear_gelu", "matmul"}) > 0);
  CHECK(simt::lt_timings() > before);
}

TEST_CASE("convolutions of bf16 and tf32 by cuDNN stay within the tolerance of their cases") {
  const Libraries libraries;
  const int64_t before = simt::dnn_plans();
  CHECK(check_cases({"conv2d"}) > 0);
  CHECK(simt::dnn_plans() > before);
}

TEST_CASE("a product is timed once, is remembered in a file, and damaged lines of it do nothing") {
  const Libraries libraries;
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
  CHECK(simt::lt_choices() == kept);
  study::read_products(kSimt, folder + "/none");
  std::filesystem::remove_all(folder);
}

TEST_CASE("a training step with both libraries is recorded and replayed") {
  const Libraries libraries;
  const auto config = testing::small_config();
  const auto own = testing::random_vit(config, 1), by_library = testing::random_vit(config, 1);
  for (const auto& vit : {own, by_library}) {
    vit->set_requires_grad(true);
    vit->set_precision(Precision::kBF16);
    vit->to(kSimt);
  }
  finetune::Trainer a(own, {}), b(by_library, {});
  const Tensor x = testing::random_images(config, 2, 5), y = testing::random_labels(2, config.classes, 6);
  for (int step = 0; step < 4; ++step) {
    simt::use_lt(false);
    const double wanted = a.step(x, y).loss;
    simt::use_lt(true);
    CHECK(b.step(x, y).loss == doctest::Approx(wanted).epsilon(0x1p-6));
  }
}

}  // namespace taut
