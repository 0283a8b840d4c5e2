// The page in a real browser without a network: all drawings arrive in the document, the colours of the strategies and
// the pictures of the samples arrive on the screen, and the console stays silent. A test of its own (report_chromium),
// which ctest reports as skipped where there is no Chromium.
#include <doctest/doctest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <set>

#include "data/decode_isolated.h"
#include "kernels/error.h"
#include "study/report/report.h"
#include "tests/report/synthetic.h"

namespace taut::study {
namespace {

namespace fs = std::filesystem;

std::string find_chromium() {
  const char* path = std::getenv("PATH");
  std::string rest = path == nullptr ? "" : path;
  while (!rest.empty()) {
    const size_t end = rest.find(':');
    for (const char* name : {"chromium", "chromium-browser", "google-chrome"}) {
      const fs::path program = fs::path(rest.substr(0, end)) / name;
      if (fs::exists(program)) return program.string();
    }
    rest = end == std::string::npos ? "" : rest.substr(end + 1);
  }
  return {};
}

std::string read(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

TEST_CASE("the page renders in headless Chromium") {
  const std::string chromium = find_chromium();
  if (chromium.empty()) {
    std::puts("skipped: no Chromium on PATH, so that the report was not opened in a browser");
    return;
  }
  const fs::path folder = fs::temp_directory_path() / ("taut-test-chromium-" + std::to_string(getpid()));
  fs::remove_all(folder);
  const StudyResults results = synthetic_results();
  const std::string index = write_report(results, analyse(results, {.resamples = 100}), (folder / "report").string());
  // No name resolves, so whatever the page asked of a network would fail and be logged.
  const std::string page = (folder / "report" / "01-fine.html").string();
  const auto browse = [&](const std::string& options, const std::string& file) {
    const std::string command = "timeout 300 '" + chromium +
                                "' --headless --no-sandbox --disable-gpu --hide-scrollbars --enable-logging=stderr "
                                "--host-resolver-rules='MAP * ~NOTFOUND' --user-data-dir='" +
                                (folder / "profile").string() + "' " + options + " 'file://" + file + "' >'" +
                                (folder / "out").string() + "' 2>'" + (folder / "err").string() + "'";
    const int status = std::system(command.c_str());
    REQUIRE(WIFEXITED(status));
    REQUIRE(WEXITSTATUS(status) == 0);
    CHECK(read(folder / "err").find("CONSOLE") == std::string::npos);
  };

  const auto counted = [&](const std::string& what) {
    const std::string dom = read(folder / "out");
    size_t n = 0;
    for (size_t at = dom.find(what); at != std::string::npos; at = dom.find(what, at + 1)) ++n;
    return n;
  };
  browse("--dump-dom", index);
  CHECK(counted("<svg") == 2);
  CHECK(counted("id=\"methods\"") == 1);
  CHECK(counted("sort by this column") > 10);  // the script ran
  browse("--dump-dom", page);
  CHECK(counted("<svg") == 5);
  CHECK(counted("<img") == 3 * (1 + 2 * 7));  // images x (clean, then two a strategy)

  using Colour = std::array<uint8_t, 3>;
  const auto colours_of = [](const Image& image) {
    std::set<Colour> colours;
    for (int64_t i = 0; i < image.height * image.width; ++i) {
      const uint8_t* p = image.pixels.data() + 3 * i;
      colours.insert({p[0], p[1], p[2]});
    }
    return colours;
  };
  const std::string shot = (folder / "shot.png").string();
  browse("--window-size=1200,5200 --screenshot='" + shot + "'", page);
  const Image image = decode_file(shot);
  CHECK(image.width == 1200);
  const std::vector<Colour> strategies = {{0x56, 0xB4, 0xE9}, {0x00, 0x72, 0xB2}, {0xE6, 0x9F, 0x00},
                                          {0xCC, 0x79, 0xA7}, {0x00, 0x9E, 0x73}, {0xD5, 0x5E, 0x00}};
  std::vector<Colour> expected = strategies;
  expected.push_back({0x00, 0x00, 0x00});
  expected.push_back({0xFF, 0xFF, 0xFF});
  expected.push_back({0xB3, 0xB3, 0xB3});  // the figure of a clean sample, 0.7
  const std::set<Colour> light = colours_of(image);
  for (const Colour& colour : expected) {
    CAPTURE(static_cast<int>(colour[0]));
    CHECK(light.contains(colour));
  }

  // A narrow and a wide window, light and dark: the corner is the page's background, and every strategy is drawn on the
  // data set's page.
  for (const int width : {500, 1280})
    for (const bool dark : {false, true})
      for (const std::string& file : {index, page}) {
        CAPTURE(width);
        CAPTURE(dark);
        CAPTURE(file);
        browse(fmt::format("--blink-settings=preferredColorScheme={} --window-size={},9000 --screenshot='{}'",
                           dark ? 0 : 1, width, shot),
               file);
        const Image window = decode_file(shot);
        CHECK(window.width == width);
        CHECK((window.pixels[0] < 128) == dark);
        if (file == index) continue;
        const std::set<Colour> seen = colours_of(window);
        for (const Colour& colour : strategies)  // LoRA's blue is a lighter one on dark paper
          CHECK(seen.contains(dark && colour == Colour{0x00, 0x72, 0xB2} ? Colour{0x2F, 0x8F, 0xD6} : colour));
      }
  // A report of 840 runs opens, its script done; how long that takes is printed, the browser's own start beside it.
  SyntheticOptions many;
  many.seeds = 60;
  many.images = 80;
  const StudyResults large = synthetic_results(many);
  const std::string first = write_report(large, analyse(large, {.resamples = 50}), (folder / "large").string());
  std::ofstream(folder / "blank.html") << "<!doctype html><title>blank</title>";
  const auto seconds_to_open = [&](const std::string& file) {
    const auto begin = std::chrono::steady_clock::now();
    browse("--dump-dom", file);
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  };
  const double start = seconds_to_open((folder / "blank.html").string());
  for (const std::string& file : {first, (folder / "large" / "01-fine.html").string()}) {
    const double seconds = seconds_to_open(file);
    MESSAGE(fs::path(file).filename().string(), " of 840 runs: ", seconds, " s, an empty page: ", start, " s");
    CHECK(counted("sort by this column") > 3);
  }
  browse("--print-to-pdf='" + (folder / "page.pdf").string() + "'", page);
  CHECK(read(folder / "page.pdf").starts_with("%PDF"));
  fs::remove_all(folder);
}

}  // namespace
}  // namespace taut::study
