// The run directory and its checkpoints: locks, orphans, manifests, bit flips, full disks.
#include "study/run/directory.h"

#include <sys/resource.h>
#include <unistd.h>

#include <csignal>

#include "study/run/checkpoint.h"
#include "tests/study/support.h"

namespace taut::study {
namespace {

namespace fs = std::filesystem;

NamedTensors some_tensors(double value) {
  return {{"w", Tensor::full({3, 5}, value)}, {"b", Tensor::full({5}, -value)}};
}

void write_steps(const std::string& run, std::initializer_list<int64_t> steps) {
  for (const int64_t step : steps)
    write_checkpoint(run, step, {{"step", step}}, {{"model", some_tensors(static_cast<double>(step))}});
}

std::vector<std::string> checkpoints_in(const std::string& run) {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(run + "/ckpt"))
    if (!entry.is_symlink()) names.push_back(entry.path().filename().string());
  std::sort(names.begin(), names.end());
  return names;
}

TEST_CASE("one process at a time, and no lock outlives its process") {
  const TempFolder folder;
  const std::string run = folder / "run";
  {
    const RunDirectory first(run);
    const Error error = error_of([&] { RunDirectory second(run); });
    CHECK(error.code() == Exit::kInterrupted);
    CHECK(std::string(error.what()).find(run) != std::string::npos);
  }
  const pid_t child = ::fork();
  if (child == 0) {
    const RunDirectory held(run);
    ::kill(::getpid(), SIGKILL);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  CHECK(WIFSIGNALED(status));
  CHECK(error_of([&] { RunDirectory after(run); }).code() == Exit::kOk);
}

TEST_CASE("what interrupted writes left is removed at the start, everything else stays") {
  const TempFolder folder;
  const std::string run = folder / "a run with spaces and ü";
  write_text(run + "/result.json.tmp", "{");
  write_text(run + "/ckpt/.tmp-step-00000008/model.safetensors", "x");
  write_text(run + "/ckpt/step-00000004/state.json", "{}");
  write_text(run + "/notes.txt", "mine");
  const RunDirectory directory(run);
  CHECK(strays(run).empty());
  CHECK(fs::exists(run + "/ckpt/step-00000004/state.json"));
  CHECK(fs::exists(run + "/notes.txt"));
}

TEST_CASE("metrics are cut back to what a checkpoint recorded") {
  const TempFolder folder;
  RunDirectory directory(folder / "run");
  directory.append_metric({{"step", 1}});
  const int64_t bytes = directory.sync_metrics();
  directory.append_metric({{"step", 2}});
  directory.truncate_metrics(bytes);
  directory.append_metric({{"step", 3}});
  CHECK(read_text_file(directory.file("metrics.jsonl")) == "{\"step\":1}\n{\"step\":3}\n");
  CHECK(error_of([&] { directory.truncate_metrics(1000); }).code() == Exit::kBadData);
}

TEST_CASE("a folder that cannot be written is an I/O error") {
  CHECK(error_of([] { RunDirectory d("/proc/taut-cannot-be-here"); }).code() == Exit::kIo);
  const TempFolder folder;
  write_text(folder / "file", "x");
  CHECK(error_of([&] { RunDirectory d(folder / "file"); }).code() == Exit::kIo);
}

TEST_CASE("a checkpoint comes back as it was, and the last one counts") {
  const TempFolder folder;
  const std::string run = folder / "run";
  write_steps(run, {3, 12});
  const auto last = read_last_checkpoint(run, [](const std::string& w) { FAIL(w); });
  REQUIRE(last.has_value());
  CHECK(last->step == 12);
  CHECK(last->state.at("step") == 12);
  CHECK(same_bytes(last->tensors.at("model").at("w"), Tensor::full({3, 5}, 12)));
  CHECK(fs::read_symlink(run + "/ckpt/last") == "step-00000012");
  CHECK(!read_last_checkpoint(folder / "empty", [](const std::string&) {}).has_value());
}

TEST_CASE("a flipped bit anywhere in a checkpoint is seen, named, and the one before is taken") {
  const TempFolder folder;
  const std::string run = folder / "run";
  write_steps(run, {1, 2});
  for (const char* name : {"model.safetensors", "state.json", "MANIFEST.sha256"}) {
    const std::string path = run + "/ckpt/step-00000002/" + name;
    const std::string good = read_text_file(path);
    for (size_t at = 0; at < good.size(); at += std::max<size_t>(1, good.size() / 40)) {
      CAPTURE(name);
      CAPTURE(at);
      std::string bad = good;
      bad[at] = static_cast<char>(bad[at] ^ 4);
      write_text(path, bad);
      std::string warning;
      const auto last = read_last_checkpoint(run, [&](const std::string& w) { warning += w; });
      REQUIRE(last.has_value());
      CHECK(last->step == 1);
      CHECK(warning.find("step-00000002") != std::string::npos);
    }
    write_text(path, good);
  }
}

TEST_CASE("a truncated, missing or additional member of a checkpoint is seen") {
  const TempFolder folder;
  const std::string run = folder / "run";
  const std::string newest = run + "/ckpt/step-00000002";
  const std::vector<std::function<void()>> harms = {
      [&] { fs::resize_file(newest + "/model.safetensors", 20); }, [&] { fs::remove(newest + "/model.safetensors"); },
      [&] { write_text(newest + "/extra.safetensors", "x"); }, [&] { fs::remove(newest + "/MANIFEST.sha256"); },
      [&] { write_text(newest + "/MANIFEST.sha256", ""); }};
  for (const auto& harm : harms) {
    fs::remove_all(run);
    write_steps(run, {1, 2});
    harm();
    int warnings = 0;
    const auto last = read_last_checkpoint(run, [&](const std::string&) { ++warnings; });
    REQUIRE(last.has_value());
    CHECK(last->step == 1);
    CHECK(warnings == 1);
  }
}

TEST_CASE("which checkpoints remain depends on steps alone") {
  const TempFolder folder;
  const auto planned = [](int64_t step) { return step % 10 == 0; };
  write_steps(folder / "calm", {10, 20, 30});
  prune_checkpoints(folder / "calm", 2, planned);
  CHECK(checkpoints_in(folder / "calm") == std::vector<std::string>{"step-00000020", "step-00000030"});
  write_steps(folder / "storm", {10, 13, 20, 27, 30});
  prune_checkpoints(folder / "storm", 2, planned);
  CHECK(checkpoints_in(folder / "storm") == checkpoints_in(folder / "calm"));
  write_steps(folder / "storm", {33});
  prune_checkpoints(folder / "storm", 2, planned);
  CHECK(checkpoints_in(folder / "storm").back() == "step-00000033");
}

TEST_CASE("a checkpoint of the same step replaces the one that is there") {
  const TempFolder folder;
  const std::string run = folder / "run";
  write_steps(run, {5});
  write_checkpoint(run, 5, {{"step", 5}, {"again", true}}, {{"model", some_tensors(9)}});
  const auto last = read_last_checkpoint(run, [](const std::string& w) { FAIL(w); });
  CHECK(last->state.contains("again"));
  CHECK(checkpoints_in(run).size() == 1);
}

TEST_CASE("a disk that is full leaves the older checkpoint and nothing partial") {
  const TempFolder folder;
  const std::string run = folder / "run";
  write_steps(run, {1});
  const pid_t child = ::fork();  // the limit of a file's size stands for the full disk; it cannot be raised again
  if (child == 0) {
    ::signal(SIGXFSZ, SIG_IGN);
    const rlimit limit{1000, 1000};
    ::setrlimit(RLIMIT_FSIZE, &limit);
    const Error error = error_of([&] {
      write_checkpoint(run, 2, {{"step", 2}}, {{"model", {{"w", Tensor::full({4096}, 1)}}}});
    });
    ::_exit(static_cast<int>(error.code()));
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  REQUIRE(WIFEXITED(status));
  CHECK(WEXITSTATUS(status) == static_cast<int>(Exit::kIo));
  CHECK(strays(run).empty());
  const auto last = read_last_checkpoint(run, [](const std::string& w) { FAIL(w); });
  REQUIRE(last.has_value());
  CHECK(last->step == 1);
}

}  // namespace
}  // namespace taut::study
