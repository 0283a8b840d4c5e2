// Imported data behind runs: their list is part of a run's identity; and taut data's rows, codes and contact sheet.
#include <algorithm>
#include <nlohmann/json.hpp>

#include "data/import/import.h"
#include "study/report/contact_sheet.h"
#include "study/run/run.h"
#include "tests/study/support.h"

namespace taut::study {
namespace {

namespace fs = std::filesystem;

// Class folders of small pictures in PPM; `shade` changes one of them.
void write_classes(const std::string& root, int shade, const std::string& prefix = "") {
  for (int c = 0; c < 3; ++c)
    for (int k = 0; k < 10; ++k) {
      std::string text = "P6\n32 32\n255\n";
      for (int i = 0; i < 32 * 32 * 3; ++i)
        text += static_cast<char>((i * (c + 1) + 11 * k + (k == 0 && c == 0 ? shade : 0)) % 251);
      write_text(fmt::format("{}/{}{}/{:02}.ppm", root, prefix, c == 0 ? "<b>cat" : c == 1 ? "dog" : "horse", k), text);
    }
}

Manifest imported(const std::string& from, const std::string& out, const std::string& name = "folder") {
  return import_dataset({.name = name, .archives = {from}, .out = out});
}

nlohmann::json first_row(const Outcome& o) { return nlohmann::json::parse(o.out).at(0); }

}  // namespace

TEST_CASE("an imported list enters the run's identity, and a run does not go on with another one") {
  const TempFolder folder;
  write_classes(folder / "a/raw", 0);
  write_classes(folder / "b/raw", 1);
  const Manifest first = imported(folder / "a/raw", folder / "data"),
                 second = imported(folder / "b/raw", folder / "other");
  REQUIRE(first.sha256 != second.sha256);
  const std::vector<std::string> arguments = {"data.path=" + (folder / "data"), "data.train_limit=0",
                                              "data.resize=stretch"};
  const PlanRow row = tiny_run(arguments);
  CHECK(row.config.text("data.sha256") == first.sha256);
  const std::string out = folder / "run";
  const Json result = run(row, out, {});
  CHECK(result.at("data_sha256") == first.sha256);
  CHECK(result.at("train_images").get<int64_t>() + 8 == first.count("train"));
  CHECK(run(tiny_run(), folder / "easy", {}).at("data_sha256") == "");

  // The same path with other data: another run, and no way on for this one.
  fs::rename(folder / "data", folder / "before");
  fs::rename(folder / "other", folder / "data");
  const PlanRow changed = tiny_run(arguments);
  CHECK(changed.run_id != row.run_id);
  Error error = error_of([&] { run(changed, out, {}); });
  CHECK(error.code() == Exit::kUsage);
  CHECK(std::string(error.what()).find("data.sha256") != std::string::npos);
  // A plan of the day before.
  error = error_of([&] { run(row, folder / "late", {}); });
  CHECK(error.code() == Exit::kMissing);
  CHECK(std::string(error.what()).find(first.sha256) != std::string::npos);
}

TEST_CASE("taut data: rows, exit codes, and one JSON array on standard output") {
  const TempFolder folder;
  write_classes(folder / "raw", 0);
  const std::string out = folder / "data";
  for (int again = 0; again < 2; ++again) {
    const Outcome o = taut({"data", "import", "folder", folder / "raw", "--out", out, "-o", "json"});
    CAPTURE(o.err);
    REQUIRE(o.code == 0);
    const auto row = first_row(o);
    CHECK(row.at("images") == 30);
    CHECK(row.at("train") == 24);
    CHECK(row.at("test") == 6);
    CHECK(row.at("classes") == 3);
    CHECK(row.at("skipped") == 0);
    CHECK(row.at("complete") == true);
    CHECK(o.err.find(again == 0 ? "MB on disk" : "nothing to do") != std::string::npos);
  }
  Outcome o = taut({"data", "check", out, "-o", "json"});
  CHECK(o.code == 0);
  CHECK(first_row(o) == nlohmann::json{{"name", "folder"}, {"images", 30}, {"problems", 0}});
  const std::string victim = out + "/raw/dog/03.ppm";
  std::string text = read_text_file(victim);
  text[100] = static_cast<char>(text[100] ^ 1);
  write_text(victim, text);
  o = taut({"data", "check", out, "-o", "json"});
  CHECK(o.code == 65);
  CHECK(first_row(o).at("problems") == 1);
  CHECK(o.err.find("raw/dog/03.ppm") != std::string::npos);

  CHECK(taut({"data", "import", "cub20", folder / "raw", "--out", out}).code == 2);
  CHECK(taut({"data", "import", "cub200", folder / "none.tgz", "--out", folder / "x"}).code == 66);
  CHECK(taut({"data", "import", "cub200", folder / "raw", "--out", folder / "x"}).code == 66);
  CHECK(taut({"data", "check", folder / "raw"}).code == 66);
  CHECK(taut({"data", "ls", "-o", "json"}).code == 0);
  // The size of files is limited: an error of the write, and nothing under the final name.
  std::string line = "ulimit -f 2; ";
  o = taut({"data", "import", "folder", folder / "raw", "--out", folder / "limited"}, line);
  CAPTURE(o.err);
  CHECK(o.code == 74);
  CHECK(!fs::exists(folder / "limited"));
}

TEST_CASE("taut data show: counts by class, split and domain, and a page that needs nothing else") {
  const TempFolder folder;
  write_classes(folder / "raw", 0, "photo/");
  write_classes(folder / "raw", 3, "sketch/");
  imported(folder / "raw", folder / "data", "pacs");
  const std::string page = folder / "sheet.html";
  const Outcome o = taut({"data", "show", folder / "data", "--html", page, "--per-class", "2", "-o", "json"});
  CAPTURE(o.err);
  REQUIRE(o.code == 0);
  const auto rows = nlohmann::json::parse(o.out);
  CHECK(rows.size() == 12);  // 3 classes x 2 domains x 2 splits
  CHECK(rows[0].at("images") == 8);
  const std::string html = read_text_file(page);
  CHECK(html.find("&lt;b&gt;cat") != std::string::npos);
  CHECK(html.find("<b>cat") == std::string::npos);
  size_t images = 0;
  for (size_t at = html.find("data:image/jpeg"); at != std::string::npos; at = html.find("data:image/jpeg", at + 1))
    ++images;
  CHECK(images == 12);
  CHECK(html.find("http://") == std::string::npos);
  CHECK(html.find("src=\"/") == std::string::npos);
  // Raw folders are shown as well, and an image that does not decode is a cell with the reason.
  write_text(folder / "raw/photo/dog/00.ppm", "P6\n32 32\n255\n");
  const SheetContents raw = sheet_contents(folder / "raw", "photo");
  CHECK(raw.counts.size() == 3);
  CHECK(contact_sheet_html(raw, 3).find("ends early") != std::string::npos);
  CHECK(taut({"data", "show", folder / "data", "--domain", "cartoon"}).code == 2);
}

}  // namespace taut::study
