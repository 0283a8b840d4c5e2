// Drills 9 to 11 on a real run's checkpoints: a flipped bit in every 4 KiB, cuts at every 4 KiB, another version's
// state. tests/study/run_directory.cc has members that are missing or too many, tests/study/resume.cc other settings.
#include "study/run/checkpoint.h"
#include "tests/drills/faults.h"

namespace taut::study {
namespace {

namespace fs = std::filesystem;

// Every file of the newest checkpoint, hurt by `harm` once for each 4 KiB, is named, and the one before is taken.
void check_fallback(const TinyRun& tiny, const std::function<std::string(std::string, size_t)>& harm) {
  const std::string run = tiny.folder / "run", newest = run + "/ckpt/step-00000012";
  int64_t tried = 0, files = 0;
  for (const auto& entry : fs::directory_iterator(newest)) {
    const std::string path = entry.path().string(), name = entry.path().filename().string();
    const std::string good = read_text_file(path);
    ++files;
    for (size_t at = 0; at < good.size(); at += 4096) {
      CAPTURE(name);
      CAPTURE(at);
      write_text(path, harm(good, at));
      std::string warning;
      const auto last = read_last_checkpoint(run, [&](const std::string& w) { warning += w; });
      REQUIRE(last.has_value());
      CHECK(last->step == 10);
      // A hurt manifest says that of a file it lists.
      CHECK(warning.find(name == "MANIFEST.sha256" ? newest : newest + "/" + name) != std::string::npos);
      CHECK(warning.find("the one before it is taken") != std::string::npos);
      ++tried;
    }
    write_text(path, good);
  }
  CHECK(files == 4);
  CHECK(tried > 50);
  CHECK(newest_step(run) == 12);
}

TEST_CASE("drill 9: a bit that flips in any 4 KiB of any file of a checkpoint") {
  const TinyRun tiny;
  REQUIRE(tiny.train("run", {}, {"model.strategy=full"}).code == 0);
  check_fallback(tiny, [](std::string bytes, size_t at) {
    const size_t where = std::min(bytes.size() - 1, at + at / 4096 % 4096);
    bytes[where] = static_cast<char>(bytes[where] ^ (1 << at / 4096 % 8));
    return bytes;
  });
}

TEST_CASE("drill 10: a checkpoint's file that ends at any 4 KiB") {
  const TinyRun tiny;
  REQUIRE(tiny.train("run", {}, {"model.strategy=full"}).code == 0);
  check_fallback(tiny, [](const std::string& bytes, size_t at) { return bytes.substr(0, at); });
}

TEST_CASE("drill 9: a run goes on from the checkpoint before a damaged one to the same bytes, and says which file") {
  const TinyRun tiny;
  const auto calm = tiny.calm();
  const std::string run = tiny.folder / "run";
  for (const char* name : {"model.safetensors", "optim.safetensors", "state.json", "MANIFEST.sha256"}) {
    copy_run(tiny.folder / "calm", run);
    fs::remove(run + "/result.json");
    const std::string path = run + "/ckpt/step-00000012/" + name;
    std::string bytes = read_text_file(path);
    bytes[bytes.size() / 2] = static_cast<char>(bytes[bytes.size() / 2] ^ 16);
    write_text(path, bytes);
    const Outcome o = tiny.train("run");
    CAPTURE(o.err);
    REQUIRE(o.code == 0);
    CHECK(o.err.find("warning: ") != std::string::npos);
    CHECK(o.err.find("resumed at step 10") != std::string::npos);
    CHECK(promised_files(run) == calm);
  }
}

TEST_CASE("drill 9: a bit that flips in an evaluation that was stopped half-way costs that evaluation alone") {
  const TinyRun tiny;
  const auto calm = tiny.calm();
  const std::string run = tiny.folder / "run", file = run + "/evaluation.json";
  const Outcome o =
      tiny.train("run", {.path = "/samples/step-00000006.json", .calls = ",open,", .action = "kill", .at = 1});
  REQUIRE(o.code == 128 + 9);
  const std::string good = read_text_file(file);
  const size_t verdicts = good.find("\"last\":\"") + 8;
  REQUIRE(verdicts < good.size());
  copy_run(run, tiny.folder / "stopped");
  for (const size_t at : {size_t{0}, verdicts, good.size() - 2}) {
    CAPTURE(at);
    copy_run(tiny.folder / "stopped", run);
    std::string bad = good;
    bad[at] = static_cast<char>(bad[at] ^ 1);  // a verdict turns from 0 to 1, or from 1 to 0
    write_text(file, bad);
    REQUIRE(tiny.train("run").code == 0);
    CHECK(promised_files(run) == calm);
  }
}

TEST_CASE("drill 11: a run goes on on another device to the bytes of a calm one") {
  const TinyRun tiny;
  const auto calm = tiny.calm();
  const std::string run = tiny.folder / "run";
  const Outcome o =
      tiny.train("run", {.path = "/run/ckpt/.tmp-step-00000012", .calls = ",mkdir,", .action = "kill", .at = 1});
  REQUIRE(o.code == 128 + 9);
  const Outcome other = tiny.train("run", {}, {"--device", "simt"});
  CAPTURE(other.err);
  REQUIRE(other.code == 0);
  CHECK(other.err.find("resumed at step 10") != std::string::npos);
  CHECK(promised_files(run) == calm);
}

TEST_CASE("drill 11: a checkpoint of another version of the program is refused with 2") {
  const TinyRun tiny;
  tiny.calm("run");
  const std::string run = tiny.folder / "run";
  fs::remove(run + "/result.json");
  auto last = read_last_checkpoint(run, [](const std::string& w) { FAIL(w); });
  last->state["format"] = 2;
  std::map<std::string, NamedTensors> files;
  for (const auto& [stem, tensors] : last->tensors) files[stem] = NamedTensors(tensors.begin(), tensors.end());
  write_checkpoint(run, 12, last->state, files);
  const Outcome o = tiny.train("run");
  CAPTURE(o.err);
  CHECK(o.code == 2);
  CHECK(o.err.find("expected format 1, got 2: another version of taut wrote it") != std::string::npos);
}

}  // namespace
}  // namespace taut::study
