// Published weights on real data give the published numbers to the last image; skipped where the data are not there.
#include <cmath>
#include <cstdlib>
#include <nlohmann/json.hpp>

#include "tests/study/support.h"
#include "tests/weight_files.h"

namespace taut::study {
namespace {

std::string shared_file(const std::string& path) {
  const char* named = std::getenv("TAUT_SHARED");
  const std::filesystem::path root = named != nullptr ? named : TAUT_SOURCE_DIR "/../shared";
  const std::filesystem::path file = root / "data" / path;
  if (std::filesystem::exists(file)) return file.string();
  MESSAGE("skipped: there is no " << file.string() << " (TAUT_SHARED names another folder)");
  return "";
}

nlohmann::json judged(const std::vector<std::string>& arguments) {
  std::vector<std::string> all = arguments;
  all.insert(all.end(), {"-o", "json"});
  const Outcome o = taut(all);
  INFO(o.err);
  REQUIRE(o.code == 0);
  return nlohmann::json::parse(o.out).at(0);
}

}  // namespace

TEST_CASE("real-accuracies: published weights give their published accuracies exactly" * doctest::skip()) {
  const struct {
    const char *model, *weights, *data;
    int correct;
  } cases[] = {{"cifar_resnet20", "weights/resnet20-12fca82f.th", "cifar-10-batches-bin", 9173},
               {"cifar_resnet56", "weights/resnet56-4bfd9763.th", "cifar-10-batches-bin", 9339},
               {"vnncomp_resnet2b", "weights/robust_resnet2b_eps2.pth", "cifar-10-batches-bin", 6925},
               {"trades_small_cnn", "mnist-trades/model_mnist_smallcnn.pt", "mnist-trades", 9948}};
  for (const auto& c : cases) {
    CAPTURE(c.model);
    const std::string weights = shared_file(c.weights), data = shared_file(c.data);
    if (weights.empty() || data.empty()) continue;
    const nlohmann::json row = judged({"eval", std::string("model.name=") + c.model, "model.weights=" + weights,
                                       "data.path=" + data, "data.split=test"});
    CHECK(row.at("n") == 10000);
    CHECK(row.at("top1_correct") == c.correct);
  }
}

TEST_CASE("real-renamed: published weights of CIFAR ResNets are renamed and come back bit-equal, prefixes included" *
          doctest::skip()) {
  const std::string weights = shared_file("weights/resnet20-12fca82f.th");
  if (weights.empty()) return;
  const TempFolder folder;
  const std::string there = folder / "there.safetensors", back = folder / "back.safetensors";
  REQUIRE(taut({"weights", "convert", weights, there, "--names", "kuangliu"}).code == 0);
  CHECK(testing::contents(there).contains("linear.weight"));
  REQUIRE(taut({"weights", "convert", there, back, "--names", "akamaster", "--prefix", "module."}).code == 0);
  CHECK(testing::contents(back) == testing::contents(weights));
}

TEST_CASE("real-pgd: PGD on an adversarially trained net lands in its published bands" * doctest::skip()) {
  const std::string weights = shared_file("weights/robust_resnet2b_eps2.pth"),
                    data = shared_file("cifar-10-batches-bin");
  if (weights.empty() || data.empty()) return;
  // Bands of all 10,000 images: from a tenth below a published attack of 100 steps to what 15 steps may miss of it.
  const struct {
    const char *eps, *alpha;
    double low, high;
  } cases[] = {{"1/255", "1/1020", 0.6214, 0.633}, {"2/255", "1/510", 0.5472, 0.568}};
  for (const auto& c : cases) {
    CAPTURE(c.eps);
    const nlohmann::json row =
        judged({"attack", "pgd", "model.name=vnncomp_resnet2b", "model.weights=" + weights, "data.path=" + data,
                "data.split=test", "data.limit=2000", std::string("attack.eps=") + c.eps,
                std::string("attack.alpha=") + c.alpha, "attack.steps=15"});
    const double n = row.at("n").get<double>(), robust = row.at("robust_last_correct").get<double>() / n;
    // Two deviations of a binomial sample of 2,000 either way, less what a sample of a fifth shares with the whole.
    const double noise = 2 * std::sqrt(0.25 / n * (1 - n / 10'000));
    CHECK(robust > c.low - noise);
    CHECK(robust < c.high + noise);
  }
}

}  // namespace taut::study
