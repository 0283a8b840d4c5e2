// Drill 14: places that cannot be written, that are gone, that have odd names, and links that lead in circles.
#include <sys/stat.h>

#include <cerrno>

#include "tests/data/support.h"
#include "tests/drills/faults.h"

namespace taut::study {
namespace {

namespace fs = std::filesystem;

// Runs a line of shell with $TAUT and $STUDY set, and standard error apart.
Outcome shell(const TinyRun& tiny, const std::string& line) {
  const std::string out = tiny.folder / "shell.out", err = tiny.folder / "shell.err";
  const std::string whole = "TAUT=" + shell_word(TAUT_BINARY) + "; STUDY=" + shell_word(tiny.folder / "tiny.toml") +
                            "; cd " + shell_word(tiny.folder / ".") + "; { " + line + "; } >" + shell_word(out) +
                            " 2>" + shell_word(err);
  const int status = std::system(whole.c_str());
  return {WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status), read_text_file(out), read_text_file(err)};
}

TEST_CASE("drill 14: what cannot be written is an I/O error that names the place, with nothing partial") {
  const TinyRun tiny;
  const std::string run = tiny.folder / "run";
  const std::string read_only = std::to_string(EROFS);
  for (const char* calls : {",mkdir,", ",open,"}) {
    CAPTURE(calls);
    fs::remove_all(run);
    const Outcome o = tiny.train("run", {.path = "/run", .calls = calls, .action = read_only});
    CAPTURE(o.err);
    CHECK(o.code == 74);
    CHECK(o.err.find(run) != std::string::npos);
    CHECK(o.err.find("Read-only file system") != std::string::npos);
    CHECK((!fs::exists(run) || fs::is_empty(run)));
  }
  // Something else has a name that the run needs. Nothing of it may be touched.
  for (const std::string name : {"run", "run/ckpt", "run/samples", "run/metrics.jsonl/x", "run/result.json.tmp/x"}) {
    CAPTURE(name);
    fs::remove_all(run);
    write_text(tiny.folder / name, "mine");
    const Outcome o = tiny.train("run");
    CAPTURE(o.err);
    CHECK((o.code == 74 || name.find(".tmp") != std::string::npos));  // an orphan's name is cleaned up instead
    if (o.code != 74) continue;
    CHECK(o.err.find(run) != std::string::npos);
    CHECK(read_text_file(tiny.folder / name) == "mine");
    CHECK(!fs::exists(run + "/result.json"));
  }
}

TEST_CASE("drill 14: a working folder that is gone matters to relative paths only") {
  const TinyRun tiny;
  const Outcome relative = shell(tiny, "mkdir gone; cd gone; rmdir ../gone; $TAUT train -c $STUDY --out run");
  CAPTURE(relative.err);
  CHECK(relative.code == 74);
  CHECK(relative.err.find("[run]") != std::string::npos);
  const Outcome absolute =
      shell(tiny, "mkdir gone; cd gone; rmdir ../gone; $TAUT train -c $STUDY --out " + shell_word(tiny.folder / "run"));
  CAPTURE(absolute.err);
  CHECK(absolute.code == 0);
  CHECK(promised_files(tiny.folder / "run") == tiny.calm());
  CHECK(shell(tiny, "mkdir gone; cd gone; rmdir ../gone; $TAUT doctor").code == 0);
}

TEST_CASE("drill 14: names with spaces, letters of any language, line feeds and 255 bytes are names like others") {
  const TinyRun tiny;
  const auto calm = tiny.calm();
  for (const std::string& name : {std::string("a b  c"), std::string("über/日本語"), std::string("two\nlines"),
                                  std::string("-o"), std::string("$(touch x)`'\""), std::string(255, 'n')}) {
    CAPTURE(name);
    const Outcome o = taut({"train", "-c", tiny.folder / "tiny.toml", "--out=" + (tiny.folder / name), "-t", "1"});
    CAPTURE(o.err);
    CHECK(o.code == 0);
    CHECK(promised_files(tiny.folder / name) == calm);
  }
  const Outcome longer = tiny.train(std::string(256, 'n'));
  CHECK(longer.code == 74);
  CHECK(longer.err.find("File name too long") != std::string::npos);
}

TEST_CASE("drill 14: odd names of images, and folders that contain themselves") {
  const TinyRun tiny;
  const auto image = [](uint64_t k) {
    const auto png = test::encode_png(test::sample_image(28, 28, 1, k));
    return std::string(png.begin(), png.end());
  };
  const std::string data = tiny.folder / "data";
  for (uint64_t k = 0; k < 20; ++k)
    for (const std::string c : {"a class", "ß\n"}) {
      std::string name = std::to_string(k);
      name += k % 3 == 0 ? std::string(" \n.png") : std::string(250 - name.size(), 'x') + ".png";
      write_text(data + "/" + c + "/" + name, image(k));
    }
  fs::create_directory_symlink("..", data + "/a class/again");
  fs::create_symlink("loop", data + "/a class/loop");
  const Outcome o = tiny.train("run", {}, {"data.path=" + data});
  CAPTURE(o.err);
  CHECK(o.code == 0);
  CHECK(o.err.find("skipped a class/again: not an image file") != std::string::npos);

  fs::create_symlink("circle", tiny.folder / "circle");
  const Outcome out = tiny.train("circle/run");
  CAPTURE(out.err);
  CHECK(out.code == 74);
  CHECK(out.err.find("circle") != std::string::npos);
  for (const std::string key : {"data.path=", "model.weights="}) {
    const Outcome in = tiny.train("other", {}, {key + (tiny.folder / "circle")});
    CAPTURE(in.err);
    CHECK((in.code == 66 || in.code == 74));
    CHECK(in.err.find("circle") != std::string::npos);
  }
}

}  // namespace
}  // namespace taut::study
