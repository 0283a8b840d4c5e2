// Drill 19: labels that no class has are bad data before anything trains.
#include "tests/data/support.h"
#include "tests/drills/faults.h"

namespace taut::study {
namespace {

namespace fs = std::filesystem;

// A folder of images and a list whose labels are i mod 2, but the last one's.
std::string listed_images(const TinyRun& tiny, const std::string& last) {
  const std::string data = tiny.folder / "data";
  std::string csv = "file,class_index\n";
  for (int i = 0; i < 40; ++i) {
    const auto png = test::encode_png(test::sample_image(28, 28, 1, static_cast<uint64_t>(i)));
    const std::string name = std::to_string(i) + ".png";
    write_text(data + "/" + name, std::string(png.begin(), png.end()));
    csv += name + "," + (i == 39 ? last : std::to_string(i % 2)) + "\n";
  }
  write_text(data + "/labels.csv", csv);
  return data;
}

TEST_CASE("drill 19: a label that is negative, no number, or beyond the model's classes is 65 before training") {
  const struct {
    const char *label, *classes, *word;
  } cases[] = {{"-1", "model.classes=0", "'-1'"},
               {"cat", "model.classes=0", "'cat'"},
               {"1000000", "model.classes=0", "'1000000'"},
               {"99999999999999999999", "model.classes=0", "'99999999999999999999'"},
               {"7", "model.classes=5", "got 5"},
               {"1", "model.classes=1", "got 1"}};
  for (const auto& c : cases) {
    CAPTURE(c.label);
    const TinyRun tiny;
    const std::string data = listed_images(tiny, c.label);
    const Outcome o = tiny.train("run", {}, {"data.path=" + data, c.classes});
    CAPTURE(o.err);
    CHECK(o.code == 65);
    CHECK(o.err.find(c.word) != std::string::npos);
    CHECK(!fs::exists(tiny.folder / "run/metrics.jsonl"));
    CHECK(newest_step(tiny.folder / "run") == -1);
  }
}

TEST_CASE("a run whose test images are training images is refused; a list without splits is divided") {
  const TinyRun tiny;
  const std::string data = listed_images(tiny, "1");
  const Outcome o = tiny.train("run", {}, {"data.path=" + data, "eval.n=0"});
  CAPTURE(o.err);
  REQUIRE(o.code == 0);
  const std::string result = read_text_file(tiny.folder / "run/result.json");
  CHECK(result.find("labels.csv gives 40 images no split: a fifth of each class was drawn (seed 0)") !=
        std::string::npos);
  CHECK(result.find("\"test_images\": 8") != std::string::npos);
  const Outcome same = tiny.train("same", {}, {"data.path=" + data, "data.split=all"});
  CAPTURE(same.err);
  CHECK(same.code == 2);
  CHECK(same.err.find("of the 12 test images are training images, too") != std::string::npos);
}

}  // namespace
}  // namespace taut::study
