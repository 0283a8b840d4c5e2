// taut study submit: the manifest, commands, workers on this machine, and what goes to Slurm's commands, which are
// scripts here (tests/slurm has the real ones).
#include <signal.h>
#include <unistd.h>

#include <fstream>
#include <set>

#include "study/run/directory.h"
#include "study/study.h"
#include "study/submit/local.h"
#include "study/submit/manifest.h"
#include "study/submit/process.h"
#include "study/submit/slurm.h"
#include "tests/study/support.h"

namespace taut::study {
namespace {

namespace fs = std::filesystem;

// Six runs.
std::string six_runs() {
  std::string text = kTinyStudy;
  return text.replace(text.find("[study]\n"), 8, "[study]\nseeds = [0, 1, 2]\n");
}

std::string write_study(const TempFolder& folder, const std::string& text = six_runs()) {
  write_text(folder / "tiny.toml", text);
  return folder / "tiny.toml";
}

Json rows_of(const Outcome& outcome) {
  REQUIRE_MESSAGE(outcome.code == 0, outcome.err);
  return Json::parse(outcome.out);
}

// The store's bytes that the study's runs merge to.
std::string merged(const std::string& study, const std::string& db) {
  const Outcome outcome = taut({"study", "merge", study, "--db", db});
  REQUIRE_MESSAGE(outcome.code == 0, outcome.err);
  return read_text_file(db);
}

std::string store_of_one_machine() {
  static const std::string bytes = [] {
    const TempFolder folder;
    const std::string study = write_study(folder);
    REQUIRE(taut({"study", "run", study, "--out", folder / "out"}).code == 0);
    return merged(folder / "out", folder / "db");
  }();
  return bytes;
}

TEST_CASE("numbers become the list that sbatch takes") {
  CHECK(array_list({}) == "");
  CHECK(array_list({3}) == "3");
  CHECK(array_list({0, 1, 2}) == "0-2");
  CHECK(array_list({3, 7, 8, 9, 20, 22, 23}) == "3,7-9,20,22-23");
}

TEST_CASE("a command line comes back from a shell as it was") {
  const std::vector<std::string> words = {"printf", "%s\n", "", "it's", "a b", "$HOME", "`x`", "x;y", "[1]", "~", "é"};
  CHECK(run_program({"/bin/sh", "-c", shell_line(words)}).out == "\nit's\na b\n$HOME\n`x`\nx;y\n[1]\n~\né\n");
}

TEST_CASE("a program's end and both of its outputs are known") {
  const Output output = run_program({"/bin/sh", "-c", "echo out; echo err >&2; exit 3"});
  CHECK(output.code == 3);
  CHECK(output.out == "out\n");
  CHECK(output.err == "err\n");
  CHECK(run_program({"/bin/sh", "-c", "kill -9 $$"}).code == 128 + 9);
  CHECK(run_program({"no-such-program-here"}).code == 127);
}

TEST_CASE("a plan that was submitted changes no more") {
  const TempFolder folder;
  const Plan plan = make_plan(kTinyStudy, "tiny.toml", Source::kFile, {});
  const std::string out = folder / "out";
  CHECK(error_of([&] { open_manifest(out); }).code() == Exit::kMissing);
  write_plan(plan, out);
  write_plan(make_plan(kTinyStudy, "tiny.toml", Source::kFile, {"seed=1"}), out);  // not yet submitted
  write_plan(plan, out);
  const StudyManifest manifest = open_manifest(out);
  CHECK(manifest.plan.rows.size() == 2);
  CHECK(manifest.index_of(plan.rows[1].run_id) == 1);
  CHECK(manifest.row(1).config.hash() == plan.rows[1].config.hash());
  CHECK(error_of([&] { manifest.row(2); }).code() == Exit::kUsage);
  CHECK(error_of([&] { manifest.index_of("easy-lorra"); }).code() == Exit::kUsage);
  write_plan(plan, out);  // the same one is welcome

  const Error other = error_of([&] { write_plan(make_plan(kTinyStudy, "t", Source::kFile, {"seed=1"}), out); });
  CHECK(other.code() == Exit::kUsage);
  CHECK(std::string(other.what()).find(plan.rows[0].run_id) != std::string::npos);
  CHECK(error_of([&] { write_plan(make_plan(six_runs(), "t", Source::kFile, {}), out); }).code() == Exit::kUsage);
  const Outcome run = taut({"study", "run", write_study(folder), "seed=1", "--out", out});
  CHECK(run.code == 2);

  std::string text = read_text_file(out + "/study.json");
  text.replace(text.find("\"12\""), 4, "\"13\"");
  write_text(out + "/study.json", text);
  const Error damaged = error_of([&] { open_manifest(out); });
  CHECK(damaged.code() == Exit::kBadData);
  CHECK(std::string(damaged.what()).find(out + "/study.json") != std::string::npos);
}

TEST_CASE("print lists a command for each run that is not done, and the commands make the study") {
  const TempFolder folder;
  const std::string study = write_study(folder), out = folder / "a b";
  const Json rows = rows_of(taut({"study", "submit", study, "--out", out, "-t", "1", "-o", "json"}));
  REQUIRE(rows.size() == 6);
  std::set<std::string> ids;
  for (const Json& row : rows) ids.insert(row.at("run_id").get<std::string>());
  CHECK(ids.size() == 6);
  for (size_t i = 0; i < 6; ++i) {
    const std::string command = rows[i].at("command");
    const Output output = run_program({"/bin/sh", "-c", command});
    REQUIRE_MESSAGE(output.code == 0, output.err);
    const Json left = rows_of(taut({"study", "submit", out, "--executor", "print", "-o", "json"}));
    CHECK(left.size() == 5 - i);
  }
  CHECK(run_program({"/bin/sh", "-c", rows[0].at("command")}).code == 0);  // already done
  CHECK(merged(out, folder / "db") == store_of_one_machine());
  fs::remove(out + "/runs/" + rows[2].at("run_id").get<std::string>() + "/result.json");
  const Json again = rows_of(taut({"study", "submit", out, "-o", "json"}));
  REQUIRE(again.size() == 1);
  CHECK(again[0].at("run_id") == rows[2].at("run_id"));
}

TEST_CASE("what cannot be submitted is said before anything is written") {
  const TempFolder folder;
  const std::string study = write_study(folder), out = folder / "out";
  CHECK(taut({"study", "submit", study}).code == 2);
  CHECK(taut({"study", "submit", folder / "none"}).code == 66);
  CHECK(taut({"study", "submit", study, "--out", out, "--executor", "cloud"}).code == 2);
  CHECK(taut({"study", "run", "--manifest", out, "--index", "0"}).code == 66);
  for (const char* command : {"submit", "run"}) {
    const Outcome unread = taut({"study", command, study, "attack.targets=3", "--out", out});
    CHECK(unread.code == 2);
    CHECK(unread.err.find("[attack.targets]") != std::string::npos);
  }
  CHECK(!fs::exists(out));
  REQUIRE(taut({"study", "submit", study, "--out", out}).code == 0);
  CHECK(taut({"study", "submit", out, "seed=3"}).code == 2);
  for (const std::vector<std::string>& which :
       std::vector<std::vector<std::string>>{{},
                                             {"--index", "6"},
                                             {"--index", "0", "--run-id", "x"},
                                             {"--run-id", "x"},
                                             {"--index", "0", "--part", "3/2"}}) {
    std::vector<std::string> words = {"study", "run", "--manifest", out};
    words.insert(words.end(), which.begin(), which.end());
    CHECK(taut(words).code == 2);
  }
}

// The command with its standard error in a file, in the background.
pid_t start(const std::vector<std::string>& arguments, const std::string& err) {
  std::vector<std::string> words = {TAUT_BINARY};
  words.insert(words.end(), arguments.begin(), arguments.end());
  return start_program(words, err, {});
}

int end_of(pid_t child) {
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

TEST_CASE("two processes of one row: the second ends with 75 at once, and a lock dies with its process") {
  const TempFolder folder;
  std::string longer = six_runs();
  longer.replace(longer.find("train.steps = 12"), 16, "train.steps = 4000");
  const std::string study = write_study(folder, longer), out = folder / "out";
  REQUIRE(taut({"study", "submit", study, "--out", out}).code == 0);
  const std::string id = open_manifest(out).plan.rows[0].run_id, run = out + "/runs/" + id;
  const auto begin = [&] {
    const pid_t child = start({"study", "run", "--manifest", out, "--index", "0", "-t", "1"}, folder / "err");
    for (int i = 0; i < 20000 && !(fs::exists(run + "/ckpt/last") && run_state(out, id) == "running"); ++i)
      ::usleep(1000);
    return child;
  };
  for (int i = 0; i < 3; ++i) {
    const pid_t child = begin();
    const Outcome second = taut({"study", "run", "--manifest", out, "--run-id", id});
    CHECK(second.code == 75);
    CHECK(second.err.find(run) != std::string::npos);
    ::kill(child, SIGKILL);
    CHECK(end_of(child) == 128 + SIGKILL);
    CHECK(run_state(out, id) == "todo");
  }
}

Task shell_task(const std::string& id, const std::string& script) {
  return {.index = 0, .run_id = id, .state = "todo", .share = {}, .words = {"/bin/sh", "-c", script}};
}

TEST_CASE("a worker that dies is started again, but not for ever; a run that fails is not") {
  const TempFolder folder;
  const std::string study = folder / "";
  const std::string once = shell_line({folder / "was-here"});
  const std::vector<Task> tasks = {shell_task("dies", "echo try; kill -9 $$"), shell_task("fails", "echo try; exit 65"),
                                   shell_task("recovers", "test -e " + once + " && exit 0; : >" + once + "; exit 75"),
                                   shell_task("memory", "echo try; exit 71"), shell_task("works", "echo try")};
  const auto states =
      run_locally(study, tasks, {.workers = 2, .gpus = {}, .restarts = 2, .progress = ProgressMode::kNone});
  CHECK(states == std::vector<std::string>{"failed", "failed", "done", "failed", "done"});
  const auto tries = [&](const std::string& id) {
    return lines_of(read_text_file(study + "/logs/" + id + ".log")).size();
  };
  CHECK(tries("dies") == 3);
  CHECK(tries("fails") == 1);
  CHECK(tries("memory") == 3);
  CHECK(tries("works") == 1);
}

TEST_CASE("each worker has a GPU of its own") {
  const TempFolder folder;
  const std::string script = "echo $CUDA_VISIBLE_DEVICES; touch $0; while ! test -e $1; do sleep 0.01; done";
  // Each waits until the other has begun.
  const std::string a = folder / "a", b = folder / "b";
  std::vector<Task> tasks = {shell_task("first", script), shell_task("second", script)};
  tasks[0].words.insert(tasks[0].words.end(), {a, b});
  tasks[1].words.insert(tasks[1].words.end(), {b, a});
  run_locally(folder / "", tasks, {.workers = 2, .gpus = {"3", "5"}, .restarts = 0, .progress = ProgressMode::kNone});
  const std::string first = read_text_file(folder / "logs/first.log"),
                    second = read_text_file(folder / "logs/second.log");
  CHECK(std::set<std::string>{first, second} == std::set<std::string>{"3\n", "5\n"});
}

std::vector<pid_t> children_of(pid_t parent) {
  std::ifstream in(fmt::format("/proc/{}/task/{}/children", parent, parent));
  std::vector<pid_t> list;
  for (pid_t child = 0; in >> child;) list.push_back(child);
  return list;
}

TEST_CASE("local: two workers, one killed, and the store is that of one machine") {
  const TempFolder folder;
  const std::string study = write_study(folder), out = folder / "out";
  const pid_t submit =
      start({"study", "submit", study, "--out", out, "--executor", "local", "-j", "2", "--progress", "plain"},
            folder / "err");
  std::vector<pid_t> workers;
  for (int i = 0; i < 20000 && workers.size() < 2; ++i) {
    ::usleep(500);
    workers = children_of(submit);
  }
  REQUIRE(workers.size() == 2);
  ::kill(workers[0], SIGKILL);
  CHECK(end_of(submit) == 0);
  CHECK(read_text_file(folder / "err").find("killed by signal 9; started again, 1 of 3") != std::string::npos);
  CHECK(merged(out, folder / "db") == store_of_one_machine());
  CHECK(rows_of(taut({"study", "submit", out, "--executor", "local", "-o", "json"})).empty());
}

TEST_CASE("local, a run shared by three processes: the store is that of one machine") {
  const TempFolder folder;
  const std::string study = write_study(folder), out = folder / "out";
  const Outcome outcome =
      taut({"study", "submit", study, "--out", out, "--executor", "local", "-j", "2", "--parts", "3"});
  REQUIRE_MESSAGE(outcome.code == 0, outcome.err);
  CHECK(merged(out, folder / "db") == store_of_one_machine());
  CHECK(fs::is_empty(out + "/shares"));
}

TEST_CASE("local: SIGTERM ends it with 75 and every worker with a checkpoint; again, it goes on") {
  const TempFolder folder;
  std::string longer = six_runs();
  longer.replace(longer.find("train.steps = 12"), 16, "train.steps = 400");
  const std::string study = write_study(folder, longer), out = folder / "out";
  const pid_t submit =
      start({"study", "submit", study, "--out", out, "--executor", "local", "-j", "2"}, folder / "err");
  const auto saved = [&] {
    int n = 0;
    for (const auto& run : fs::directory_iterator(out + "/runs")) n += fs::exists(run.path() / "ckpt/last");
    return n;
  };
  for (int i = 0; i < 20000 && !(fs::exists(out + "/runs") && saved() >= 2); ++i) ::usleep(1000);
  const std::vector<pid_t> workers = children_of(submit);
  ::kill(submit, SIGTERM);
  CHECK(end_of(submit) == 75);
  for (const pid_t worker : workers) CHECK(::kill(worker, 0) != 0);
  for (const auto& run : fs::directory_iterator(out + "/runs")) CHECK(!fs::exists(run.path() / "failed.json"));
  const Json left = rows_of(taut({"study", "submit", out, "-o", "json"}));
  CHECK(left.size() >= 4);
  for (const Json& row : left) CHECK(row.at("state") == "todo");
}

TEST_CASE("local: workers end with a submit that is killed") {
  const TempFolder folder;
  std::string longer = six_runs();
  longer.replace(longer.find("train.steps = 12"), 16, "train.steps = 4000");
  const std::string study = write_study(folder, longer), out = folder / "out";
  const pid_t submit =
      start({"study", "submit", study, "--out", out, "--executor", "local", "-j", "2"}, folder / "err");
  std::vector<pid_t> workers;
  for (int i = 0; i < 20000 && workers.size() < 2; ++i) {
    ::usleep(500);
    workers = children_of(submit);
  }
  REQUIRE(workers.size() == 2);
  ::usleep(100'000);
  ::kill(submit, SIGKILL);
  CHECK(end_of(submit) == 128 + SIGKILL);
  const auto running = [&] {
    int n = 0;
    for (const Row& row : study_status(out)) n += row.at("state") == "running";
    return n;
  };
  int still = 2;
  for (int i = 0; i < 2000 && (still = running()) > 0; ++i) ::usleep(10'000);
  CHECK(still == 0);  // their locks died with them
}

// sbatch, squeue and scontrol as scripts: jobs are files, the queue is a file.
class StandIn {
 public:
  explicit StandIn(const TempFolder& folder) : folder_(folder / "slurm") {
    write_text(folder_ + "/config", "MaxArraySize            = 4\n");
    write_text(folder_ + "/queue", "");
    write_text(folder_ + "/state", "JobId=7 JobState=RUNNING Reason=None\n");
    const std::string at = shell_line({folder_});
    program("sbatch", "n=$(ls " + at + " | grep -c job); cp \"$2\" " + at + "/job-$n; echo $((n + 7))");
    program("squeue", "cat " + at + "/queue");
    program("scontrol", "case $1:$2 in show:config) cat " + at + "/config;; show:job) cat " + at +
                            "/state;; requeue:*) echo $2 >>" + at + "/requeued;; esac");
  }
  std::string environment() const { return "PATH=" + shell_line({folder_}) + ":$PATH"; }
  std::string file(const std::string& name) const { return folder_ + "/" + name; }
  std::string text(const std::string& name) const { return read_text_file(file(name)); }
  bool has(const std::string& name) const { return fs::exists(file(name)); }
  void program(const std::string& name, const std::string& body) const {
    write_text(file(name), "#!/bin/sh\n" + body + "\n");
    fs::permissions(file(name), fs::perms::owner_all);
  }

 private:
  std::string folder_;
};

std::string line_with(const std::string& text, const std::string& part) {
  for (const std::string& line : lines_of(text))
    if (line.find(part) != std::string::npos) return line;
  return "";
}

TEST_CASE("slurm: what is not done and not in the queue is sent, in arrays that the cluster takes") {
  const TempFolder folder;
  const StandIn slurm(folder);
  const std::string study = write_study(folder), out = folder / "out";
  const auto submit = [&](std::vector<std::string> more = {}) {
    std::vector<std::string> words = {"study", "submit", out, "--executor", "slurm", "-o", "json"};
    words.insert(words.end(), more.begin(), more.end());
    return rows_of(taut(words, slurm.environment()));
  };
  REQUIRE(taut({"study", "submit", study, "--out", out}).code == 0);
  const Json first = submit({"--throttle", "2", "--sbatch=--partition=gpu", "--sbatch=--time=4:00:00", "-t", "3"});
  REQUIRE(first.size() == 6);
  CHECK(first[5].at("job") == "8_1");  // the second array, which begins at row 4
  CHECK(line_with(slurm.text("job-0"), "--array") == "#SBATCH --array=0-3%2");
  CHECK(line_with(slurm.text("job-1"), "--array") == "#SBATCH --array=0-1%2");
  for (const char* option : {"--partition=gpu", "--time=4:00:00", "--cpus-per-task=3", "--requeue",
                             "--open-mode=append", "--signal=B:USR1@120"})
    CHECK(line_with(slurm.text("job-1"), option) == std::string("#SBATCH ") + option);

  // All of them in the queue: nothing is sent. Then two are lost, and one is done.
  const std::string name = "taut-" + open_manifest(out).sha256.substr(0, 12) + "-";
  std::string queue;
  const auto queued = [&](int array, int task) { return fmt::format("{} {}{}\n", task, name, array); };
  for (const auto& [array, task] : {std::pair{0, 0}, {0, 1}, {0, 2}, {0, 3}, {4, 0}, {4, 1}})
    queue += queued(array, task);
  write_text(slurm.file("queue"), "N/A my job\n5 another job\n" + queue + "5 another-job\n3 " + name + "p2-0\n\n");
  for (const Json& row : submit()) CHECK(row.at("state") == "queued");
  CHECK(!slurm.has("job-2"));
  write_text(slurm.file("queue"), queued(0, 1) + queued(0, 3));
  REQUIRE(taut({"study", "run", "--manifest", out, "--index", "2"}).code == 0);
  const Json again = submit();
  CHECK(again.size() == 5);
  CHECK(line_with(slurm.text("job-2"), "--array") == "#SBATCH --array=0");
  CHECK(line_with(slurm.text("job-3"), "--array") == "#SBATCH --array=0-1");
  CHECK(again[1].at("state") == "queued");

  // Twelve tasks where two processes share a run.
  write_text(slurm.file("queue"), "");
  CHECK(submit({"--parts", "2"}).size() == 10);
  CHECK(line_with(slurm.text("job-4"), "--array") == "#SBATCH --array=0-3");
  CHECK(line_with(slurm.text("job-5"), "--array") == "#SBATCH --array=2-3");
  CHECK(line_with(slurm.text("job-5"), "--job-name") == "#SBATCH --job-name=" + name + "p2-4");
}

TEST_CASE("slurm: a run on a GPU asks for one, unless an option says how many") {
  const TempFolder folder;
  const StandIn slurm(folder);
  const std::string study = write_study(folder);
  int n = 0;
  const auto script = [&](const std::vector<std::string>& more) {
    std::vector<std::string> words = {"study",      "submit", study, "--out", folder / fmt::format("out-{}", n++),
                                      "--executor", "slurm"};
    words.insert(words.end(), more.begin(), more.end());
    const std::string job = fmt::format("job-{}", 2 * (n - 1));
    CHECK(taut(words, slurm.environment()).code == 0);
    return slurm.text(job);
  };
  CHECK(script({}).find("gpu") == std::string::npos);
  CHECK(script({"--sbatch=--partition=gpu"}).find("--gres") == std::string::npos);
  for (const char* option : {"--partition=gpu", "--account=gpu-users", "-pgpu"})
    CHECK(script({"--device", "cuda", std::string("--sbatch=") + option}).find("#SBATCH --gres=gpu:1\n") !=
          std::string::npos);
  for (const char* option : {"--gres=gpu:2", "--gpus=1", "-G1", "--gpus-per-task=1", "--tres-per-task=gres/gpu:1"})
    CHECK(script({"--device", "cuda", std::string("--sbatch=") + option}).find("--gres=gpu:1\n") == std::string::npos);
}

TEST_CASE("slurm: a command that is missing or fails is said, with what it said") {
  const TempFolder folder;
  const StandIn slurm(folder);
  const std::string study = write_study(folder), out = folder / "out";
  const std::vector<std::string> words = {"study", "submit", study, "--out", out, "--executor", "slurm"};
  slurm.program("sbatch", "echo 'Invalid account' >&2; exit 1");
  const Outcome refused = taut(words, slurm.environment());
  CHECK(refused.code == 69);
  CHECK(refused.err.find("Invalid account") != std::string::npos);
  fs::remove(slurm.file("scontrol"));
  const Outcome missing = taut(words, "PATH=" + shell_line({folder / "slurm"}));
  CHECK(missing.code == 69);
  CHECK(missing.err.find("--executor local") != std::string::npos);
}

TEST_CASE("slurm's job script: a run, its warning signal, and the requeue that is bounded") {
  const TempFolder folder;
  const StandIn slurm(folder);
  std::string longer = six_runs();
  longer.replace(longer.find("train.steps = 12"), 16, "train.steps = 4000");
  const std::string study = write_study(folder, longer), out = folder / "o u't";
  REQUIRE(taut({"study", "submit", study, "--out", out, "--executor", "slurm"}, slurm.environment()).code == 0);
  const Plan plan = open_manifest(out).plan;
  const auto job = [&](const std::string& environment, int64_t row, int signal) {
    const std::string run = out + "/runs/" + plan.rows[static_cast<size_t>(row)].run_id;
    fs::remove_all(run);
    const std::string line = slurm.environment() + " SLURM_ARRAY_JOB_ID=7 SLURM_CPUS_ON_NODE=1 " + environment +
                             fmt::format(" SLURM_ARRAY_TASK_ID={} exec /bin/bash ", row % 4) +
                             shell_line({slurm.file(row < 4 ? "job-0" : "job-1")});
    const pid_t child = start_program({"/bin/sh", "-c", line}, folder / "log", {});
    for (int i = 0; i < 20000 && !fs::exists(run + "/ckpt/last"); ++i) ::usleep(1000);
    ::kill(child, signal);
    const int code = end_of(child);
    CHECK(run_state(out, plan.rows[static_cast<size_t>(row)].run_id) == "todo");
    return code;
  };
  CHECK(job("", 0, SIGUSR1) == 75);
  CHECK(slurm.text("requeued") == "7_0\n");
  CHECK(job("SLURM_RESTART_COUNT=19", 5, SIGTERM) == 75);
  CHECK(slurm.text("requeued") == "7_0\n7_1\n");
  CHECK(job("SLURM_RESTART_COUNT=20", 0, SIGUSR1) == 75);
  write_text(slurm.file("state"), "JobId=7 JobState=CANCELLED Reason=None\n");
  CHECK(job("", 0, SIGTERM) == 75);
  CHECK(slurm.text("requeued") == "7_0\n7_1\n");
}

}  // namespace
}  // namespace taut::study
