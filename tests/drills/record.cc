// What a run writes down of itself is whole and the same wherever it lies.
#include <nlohmann/json.hpp>

#include "nn/init.h"
#include "nn/models.h"
#include "nn/weights.h"
#include "tensor/safetensors.h"
#include "tests/data/support.h"
#include "tests/drills/faults.h"

namespace taut::study {
namespace {

TEST_CASE("the checks of an attack cover every image of every batch, not the last batch's") {
  const TinyRun tiny;
  tiny.calm("run");  // 12 images in batches of 4
  const auto result = nlohmann::json::parse(read_text_file(tiny.folder / "run/result.json"));
  CHECK(result.at("evaluations").size() == 3);
  for (const auto& evaluation : result.at("evaluations")) {
    int counted = 0;
    for (const auto& check : evaluation.at("checks")) {
      const std::string name = check.at("name"), value = check.at("value");
      if (name != "re-judge" && name != "clean path") continue;
      CHECK(value.find(" of 12 ") != std::string::npos);
      ++counted;
    }
    CHECK(counted == 2);
  }
  // One image's pixels are enough for the whole evaluation's: the largest distance is that of the largest batch.
  for (const char* batch : {"1", "12"}) {
    const std::string name = std::string("batch") + batch;
    REQUIRE(tiny.train(name, {}, {std::string("eval.batch=") + batch}).code == 0);
    const auto other = nlohmann::json::parse(read_text_file(tiny.folder / (name + "/result.json")));
    for (size_t i = 0; i < 3; ++i)
      for (size_t c = 0; c < 4; ++c)  // budget, range, finite: the same text whatever the batches were
        if (c != 3) CHECK(other.at("evaluations")[i].at("checks")[c] == result.at("evaluations")[i].at("checks")[c]);
  }
}

TEST_CASE("no result holds the place where data, weights or the run lie, and elsewhere it has the same bytes") {
  std::map<std::string, std::string> first;
  for (int place = 0; place < 2; ++place) {
    const TinyRun tiny;
    const std::string data = tiny.folder / "data", weights = tiny.folder / "w/base.safetensors";
    const auto image = [](uint64_t k) {
      const auto png = test::encode_png(test::sample_image(28, 28, 1, k));
      return std::string(png.begin(), png.end());
    };
    for (uint64_t k = 0; k < 24; ++k)
      write_text(fmt::format("{}/{}/{}.png", data, k % 2 ? "odd" : "even", k), image(k));
    write_text(data + "/odd/notes.txt", "no image");
    nn::Vit vit(nn::vit_config("vit_demo"));
    nn::init_model(vit, 5);
    std::vector<std::pair<std::string, Tensor>> tensors;
    for (const nn::NameEntry& e : nn::name_map(vit.config(), nn::NameStyle::kTimm))
      tensors.emplace_back(e.external, nn::file_of_rows(e, vit.parameter(e.path).value()));
    std::filesystem::create_directories(tiny.folder / "w");
    write_safetensors(weights, tensors);
    const Outcome o = tiny.train(
        "run", {}, {"data.path=data", "model.weights=w/base.safetensors", "data.root=" + (tiny.folder / ".")});
    CAPTURE(o.err);
    REQUIRE(o.code == 0);
    const auto files = promised_files(tiny.folder / "run");
    for (const auto& [name, bytes] : files) {
      CAPTURE(name);
      CHECK(bytes.find(tiny.folder / "") == std::string::npos);
    }
    const std::string result = files.at("result.json");
    CHECK(result.find("data comes without a split") != std::string::npos);
    CHECK(result.find("skipped odd/notes.txt: not an image file") != std::string::npos);
    if (place == 0)
      first = files;
    else
      CHECK(files == first);
  }
}

}  // namespace
}  // namespace taut::study
