// Training on one domain, judging in it and in the others: which images, which counts, through kills and caches.
#include <algorithm>
#include <cstdlib>
#include <set>

#include "data/dataset.h"
#include "finetune/delta.h"
#include "kernels/parallel.h"
#include "study/collect.h"
#include "study/run/data.h"
#include "study/run/interrupt.h"
#include "study/run/model.h"
#include "study/run/run.h"
#include "tests/study/support.h"

namespace taut::study {
namespace {

namespace fs = std::filesystem;

// A small picture: a bright bar whose direction is the class and whose colour and ground are the domain.
void write_picture(const std::string& path, int64_t kind, int64_t domain, int64_t index) {
  constexpr int64_t kSide = 31;
  std::string text = fmt::format("P6\n{0} {0}\n255\n", kSide);
  for (int64_t y = 0; y < kSide; ++y) {
    for (int64_t x = 0; x < kSide; ++x) {
      const int64_t along = kind == 0 ? x : kind == 1 ? y : (x + y) / 2;
      const bool bar = std::abs(along - 15 - index % 5 + 2) < 4;
      for (int64_t c = 0; c < 3; ++c) {
        const int64_t noise = (7 * x + 13 * y + 29 * index + 5 * c) % 23;
        text += static_cast<char>((bar ? 200 - 40 * domain : 30 + 40 * domain) + noise);
      }
    }
  }
  write_text(path, text);
}

// Three domains of three classes, laid out as PACS; of the middle one one class is empty.
struct Domains {
  Domains() {
    ::unsetenv("XDG_CACHE_HOME");
    const char *const domains[] = {"ink", "photo", "sketch"}, *const classes[] = {"bar", "beam", "cross"};
    for (int64_t d = 0; d < 3; ++d)
      for (int64_t k = 0; k < 3; ++k)
        for (int64_t i = 0; i < 10 + 3 * d; ++i)
          write_picture(folder / fmt::format("data/{}/{}/{:02}.ppm", domains[d], classes[k], i), k, d, i);
    fs::remove_all(folder / "data/sketch/bar");
  }
  PlanRow row(std::vector<std::string> more = {}) const {
    std::vector<std::string> arguments = {"data.path=" + (folder / "data"),
                                          "data.domain=photo",
                                          "data.resize=stretch",
                                          "data.train_limit=0",
                                          "data.validation=0.1",
                                          "eval.domains=all",
                                          "eval.n=0",
                                          "eval.shifts=rotation",
                                          "train.steps=16",
                                          "train.lr=1e-2",
                                          "eval.points=0,4"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return tiny_run(arguments);
  }
  TempFolder folder;
};

Json quiet_run(const PlanRow& row, const std::string& folder) {
  Progress progress(ProgressMode::kNone, 1);
  return run(row, folder, {.cache = "", .force_resume = false, .progress = &progress});
}

// Right answers of the run's last model, counted here: image by image from the files, with none of the harness.
int64_t counted(const PlanRow& row, const std::string& run, const std::string& weights, const DatasetPtr& dataset) {
  RunModel model = training_model(row.config, weights, dataset->classes());
  finetune::load_delta(run + "/delta.safetensors", *model.net, *model.strategy, model.options, model.base_hash);
  model.net->set_training(false);
  const Preprocess how = preprocess_of(row.config, model.net->config());
  const NoGrad no_grad;
  int64_t right = 0;
  for (int64_t i = 0; i < dataset->size(); ++i) {
    const Image image = preprocess(dataset->image(i), how);
    std::vector<float> planes(image.pixels.size());
    for (int64_t c = 0; c < image.channels; ++c)
      for (int64_t p = 0; p < image.height * image.width; ++p)
        planes[static_cast<size_t>(c * image.height * image.width + p)] =
            static_cast<float>(image.pixels[static_cast<size_t>(p * image.channels + c)]) / 255.0f;
    const Tensor batch = Tensor::from(planes, {1, image.channels, image.height, image.width});
    const std::vector<double> logits = model.net->forward(Var(batch)).value().to_doubles();
    right += std::max_element(logits.begin(), logits.end()) - logits.begin() == dataset->label(i);
  }
  return right;
}

const Json& domain_of(const Json& point, const std::string& name) {
  for (const Json& s : point.at("shifted"))
    if (s.at("domain") == name) return s;
  FAIL("there is no domain " << name);
  return point;
}

int64_t ones(const std::string& flags) { return std::count(flags.begin(), flags.end(), '1'); }

// Everything a finished run says of its domains agrees with itself and with a recount.
void check_run(const PlanRow& row, const std::string& run, const std::string& weights,
               const std::vector<std::string>& domains, bool attacked) {
  const Json result = read_json(run + "/result.json");
  const std::string path = row.config.text("data.path");
  const int64_t limit = row.config.integer("eval.n");
  std::map<std::string, double> lines;  // "step split metric"
  for (const std::string& text : lines_of(read_text_file(run + "/metrics.jsonl"))) {
    const Json line = Json::parse(text);
    lines[fmt::format("{} {} {}", line["step"].dump(), line["split"].get<std::string>(),
                      line["metric"].get<std::string>())] = line["value"].get<double>();
  }
  for (const Json& point : result.at("evaluations")) {
    const std::string step = point.at("step").dump();
    const Json samples =
        read_json(run + fmt::format("/samples/step-{:08}.json", point.at("step").get<int64_t>())).at("shifted");
    int64_t n = 0, correct = 0, robust = 0;
    double mean = 0;
    for (const std::string& domain : domains) {
      const Json& s = domain_of(point, domain);
      CHECK(s.at("other_domain") == true);
      n += s.at("n").get<int64_t>();
      correct += s.at("correct").get<int64_t>();
      const double accuracy = s.at("correct").get<double>() / s.at("n").get<double>();
      mean += accuracy / static_cast<double>(domains.size());
      CHECK(lines.at(step + " domain:" + domain + " clean_accuracy") == accuracy);
      const auto bits = std::ranges::find_if(samples, [&](const Json& j) { return j["domain"] == domain; });
      REQUIRE(bits != samples.end());
      CHECK((*bits)["clean"].get<std::string>().size() == s.at("n").get<size_t>());
      CHECK(ones((*bits)["clean"]) == s.at("correct"));
      REQUIRE(s.contains("robust_last_correct") == attacked);
      if (!attacked) continue;
      robust += s.at("robust_last_correct").get<int64_t>();
      CHECK(s.at("robust_best_correct") <= s.at("robust_last_correct"));
      CHECK(ones((*bits)["last"]) == s.at("robust_last_correct"));
      CHECK(lines.contains(step + " domain:" + domain + " robust_last_accuracy"));
    }
    const Json& pooled = point.at("out_of_domain");
    CHECK(pooled.at("domains") == domains.size());
    CHECK(pooled.at("n") == n);
    CHECK(pooled.at("correct") == correct);
    CHECK(pooled.at("mean_accuracy").get<double>() == doctest::Approx(mean).epsilon(1e-12));
    CHECK(lines.at(step + " out_of_domain clean_accuracy") == static_cast<double>(correct) / static_cast<double>(n));
    CHECK(lines.contains(step + " out_of_domain mean_clean_accuracy"));
    if (attacked) CHECK(pooled.at("robust_last_correct") == robust);
  }
  const Json& last = result.at("evaluations").back();
  int64_t n = 0, correct = 0;
  for (const std::string& domain : domains) {
    const DatasetPtr images = open_dataset(path, {.domain = domain, .limit = limit});
    const int64_t right = counted(row, run, weights, images);
    CAPTURE(domain);
    CHECK(domain_of(last, domain).at("n") == images->size());
    CHECK(domain_of(last, domain).at("correct") == right);
    n += images->size();
    correct += right;
  }
  CHECK(last.at("out_of_domain").at("n") == n);
  CHECK(last.at("out_of_domain").at("correct") == correct);
  const DatasetPtr own =
      open_dataset(path, {.split = "test", .domain = row.config.text("data.domain"), .limit = limit});
  CHECK(last.at("n") == own->size());
  CHECK(last.at("clean_correct") == counted(row, run, weights, own));
}

TEST_CASE("accuracy in and out of domain at every evaluation, per domain and pooled, agrees with a recount") {
  const Domains d;
  const PlanRow row = d.row({"eval.domains_attack=true"});
  const Json result = quiet_run(row, d.folder / "run");
  check_run(row, d.folder / "run", "", {"ink", "sketch"}, true);
  const Json& last = result.at("evaluations").back();
  CHECK(result.at("evaluations").size() == 3);
  CHECK(last.at("n") == 9);                         // of 39 photos, every fifth of a class (13: 3)
  CHECK(result.at("train_images") == 27);           // the others, less a tenth
  CHECK(domain_of(last, "ink").at("n") == 30);      // all of them: none was trained on
  CHECK(domain_of(last, "sketch").at("n") == 32);   // two classes of 16
  CHECK(last.at("out_of_domain").at("n") == 62);    // every image counts alike,
  CHECK(domain_of(last, "rotation").at("n") == 9);  // and changed test images are no other domain
  CHECK(domain_of(last, "rotation").at("other_domain") == false);
  CHECK(last.at("out_of_domain").at("correct").get<double>() / 62 > 0.34);  // it learned something
  int named = 0;
  for (const Json& check : last.at("checks")) named += check["name"].get<std::string>().starts_with("ink: ");
  CHECK(named > 0);
}

TEST_CASE("attacked domains have the counts that the attack command finds") {
  const Domains d;
  // vit_demo has no file of weights of its own, so one is made.
  const PlanRow made = d.row({"model.strategy=full", "train.steps=2", "eval.points=", "eval.domains=ink"});
  quiet_run(made, d.folder / "weights");
  const std::string weights = d.folder / "weights/delta.safetensors";
  const std::vector<std::string> more = {"model.weights=" + weights, "attack.random_start=false",
                                         "eval.domains_attack=true"};
  quiet_run(d.row(more), d.folder / "run");
  const Json last = read_json(d.folder / "run/result.json").at("evaluations").back();
  for (const char* domain : {"ink", "sketch"}) {
    const Outcome o = taut({"attack", "pgd", "model.name=vit_demo", "model.weights=" + weights, "model.strategy=lora",
                            "model.delta=" + (d.folder / "run/delta.safetensors"), "model.classes=3",
                            "data.path=" + (d.folder / "data"), std::string("data.domain=") + domain, "data.split=all",
                            "data.resize=stretch", "attack.eps=8/255", "attack.alpha=2/255", "attack.steps=2",
                            "attack.random_start=false", "eval.batch=4", "-o", "json"});
    INFO(o.err);
    REQUIRE(o.code == 0);
    const Json found = Json::parse(o.out).at(0);
    CHECK(domain_of(last, domain).at("robust_last_correct") == found.at("robust_last_correct"));
    CHECK(domain_of(last, domain).at("robust_best_correct") == found.at("robust_best_correct"));
    CHECK(domain_of(last, domain).at("n") == found.at("n"));
  }
}

TEST_CASE(
    "in-domain test images are none of the training images, and a domain that lacks a class numbers it all the same") {
  const Domains d;
  const Config config = d.row().config;
  const RunData data = open_run_data(config, preprocess_of(config, *net_config(config, 0)));
  const auto sources = [](const StorePtr& store) {
    std::set<std::string> names;
    for (int64_t i = 0; i < store->size(); ++i) names.insert(store->dataset().source(i));
    return names;
  };
  std::set<std::string> used = sources(data.train), both;
  used.merge(sources(data.validation));
  std::ranges::set_intersection(used, sources(data.test), std::inserter(both, both.end()));
  CHECK(both.empty());
  CHECK(used.size() + sources(data.test).size() == 39);
  const Dataset& sketch = data.shifted.back().store->dataset();
  CHECK(data.shifted.back().name == "sketch");
  CHECK(sketch.classes() == 3);
  CHECK(sketch.label(0) == 1);  // beam: bar has no sketches
  for (const std::string& name : sources(data.shifted.back().store)) CHECK(name.find("/sketch/") != std::string::npos);
}

TEST_CASE("domains that come split are judged on their test images") {
  const Domains d;
  const std::string root = d.folder / "split";
  for (const char* domain : {"clipart", "real"})
    for (const char* split : {"train", "test"})
      for (int64_t k = 0; k < 2; ++k)
        for (int64_t i = 0; i < (split == std::string("test") ? 2 : 5); ++i)
          write_picture(fmt::format("{}/{}/{}/c{}/{}.ppm", root, domain, split, k, i), k, 0, i);
  const Config config = d.row({"data.path=" + root, "data.domain=real", "data.validation=0"}).config;
  const RunData data = open_run_data(config, preprocess_of(config, *net_config(config, 0)));
  CHECK(data.train->size() == 10);
  CHECK(data.test->size() == 4);
  REQUIRE(data.shifted.size() == 2);
  CHECK(data.shifted[1].name == "clipart");
  CHECK(data.shifted[1].store->size() == 4);
  CHECK(data.shifted[1].store->dataset().source(0).find("/test/") != std::string::npos);
}

TEST_CASE("the same bytes with and without the cache, for any number of threads, and through interruptions") {
  const Domains d;
  const std::vector<std::string> attack = {"eval.domains_attack=true"};
  std::map<std::string, std::string> want;
  const int before = num_threads();
  for (const char* threads : {"1", "3"}) {
    for (const char* cache : {"off", "auto", "auto"}) {  // the second time it is there
      const std::string name = d.folder / fmt::format("run-{}-{}", threads, cache);
      if (std::string(cache) == "auto") fs::remove_all(name + "/runs");
      PlanRow row =
          d.row({"eval.domains_attack=true", std::string("threads=") + threads, std::string("data.cache=") + cache});
      Progress progress(ProgressMode::kNone, 1);
      run(row, name + "/runs/x",
          {.cache = "", .decoded = name + "/decoded", .force_resume = false, .progress = &progress});
      const auto files = promised_files(name + "/runs/x");
      if (want.empty()) want = files;
      CHECK(files == want);
      CHECK(fs::exists(name + "/decoded") == (std::string(cache) == "auto"));
    }
  }
  set_num_threads(before);
  const PlanRow row = d.row(attack);
  int stops = 0;
  set_interrupted(true);
  while (!fs::exists(d.folder / "storm/result.json") && stops < 200) {
    const Error error = error_of([&] { quiet_run(row, d.folder / "storm"); });
    if (error.code() == Exit::kOk) break;
    REQUIRE(error.code() == Exit::kInterrupted);
    set_interrupted(++stops % 2 == 0);
  }
  set_interrupted(false);
  quiet_run(row, d.folder / "storm");
  CHECK(stops > 0);
  CHECK(promised_files(d.folder / "storm") == want);
  CHECK(strays(d.folder / "storm").empty());
}

TEST_CASE("what is no other domain is refused before anything is trained") {
  const Domains d;
  const auto refused = [&](const std::vector<std::string>& more) {
    fs::remove_all(d.folder / "no");
    const Error error = error_of([&] { quiet_run(d.row(more), d.folder / "no"); });
    CHECK(!fs::exists(d.folder / "no/decoded"));
    return error;
  };
  Error own = refused({"eval.domains=ink,photo"});
  CHECK(own.code() == Exit::kUsage);
  CHECK(std::string(own.what()).find("'photo'") != std::string::npos);
  CHECK(refused({"eval.domains=ink,ink"}).code() == Exit::kUsage);
  CHECK(refused({"eval.domains=poster"}).code() == Exit::kMissing);
  CHECK(refused({"data.domain=", "data.path=procedural:easy"}).code() == Exit::kUsage);
  CHECK(refused({"data.path=" + (d.folder / "data/ink"), "data.domain=bar"}).code() != Exit::kOk);
  CHECK(!fs::exists(d.folder / "no/result.json"));
}

TEST_CASE("a report tells other domains from changed test images") {
  const Domains d;
  const std::string study = d.folder / "study.toml", out = d.folder / "out";
  write_text(study, kTinyStudy);
  std::vector<std::string> arguments = {"study", "run", study, "--out", out};
  for (const char* more : {"data.domain=photo", "data.resize=stretch", "data.train_limit=0", "data.validation=0.1",
                           "eval.domains=all", "eval.n=0"})
    arguments.emplace_back(more);
  arguments.push_back("data.path=" + (d.folder / "data"));
  const Outcome o = taut(arguments);
  INFO(o.err);
  REQUIRE(o.code == 0);
  CHECK(o.err.find("decoding 30 images of data-photo once into " + out + "/decoded/") != std::string::npos);
  const Plan plan = plan_from_json(read_json(out + "/study.json"), "study.json");
  const StudyResults results = collect(plan, out);
  REQUIRE(!results.runs[0].points.empty());
  const std::vector<ShiftedCount>& shifted = results.runs[0].points[0].shifted;
  REQUIRE(shifted.size() == 3);
  CHECK(!shifted[0].other_domain);
  CHECK(shifted[1].other_domain);
  CHECK(shifted[1].domain == "ink");
  CHECK(!shifted[1].robust_last.has_value());
  // Both runs found the images that the first one decoded: training, test, turned test images and two domains.
  const auto files = [](const std::string& path) {
    return std::distance(fs::directory_iterator(path), fs::directory_iterator());
  };
  CHECK(files(out + "/decoded") == 5);

  const std::string home = d.folder / "home";
  arguments[4] = d.folder / "elsewhere";
  REQUIRE(taut(arguments, "XDG_CACHE_HOME=" + home).code == 0);
  CHECK(files(home + "/taut") == 5);
  CHECK(!fs::exists(arguments[4] + "/decoded"));
  arguments[4] = d.folder / "nowhere";
  arguments.emplace_back("data.cache=/proc/taut");
  const Outcome nowhere = taut(arguments);
  CHECK(nowhere.code == 0);
  CHECK(nowhere.err.find("they are decoded every time") != std::string::npos);
  arguments.pop_back();
  // A file that must not grow is a failed write, not the end of the process by a signal.
  arguments[4] = d.folder / "limited";
  CHECK(taut(arguments, "ulimit -f 1;").code == 74);
}

TEST_CASE("real-pacs: DeiT-Tiny from photographs to the other domains of PACS" * doctest::skip()) {
  const char* named = std::getenv("TAUT_SHARED");
  const fs::path shared = fs::path(named != nullptr ? named : TAUT_SOURCE_DIR "/../shared") / "data";
  const std::string weights = (shared / "weights/deit_tiny_patch16_224_lnq.safetensors").string(),
                    data = (shared / "pacs").string();
  for (const std::string& path : {weights, data}) {
    if (fs::exists(path)) continue;
    MESSAGE("skipped: there is no " << path << " (TAUT_SHARED names another folder)");
    return;
  }
  const TempFolder folder;
  const std::vector<std::string> arguments = {"model.name=deit_tiny_patch16_224",
                                              "model.weights=" + weights,
                                              "model.image_size=112",
                                              "model.strategy=lp",
                                              "data.path=" + data,
                                              "data.domain=photo",
                                              "data.resize=stretch",
                                              "data.filter=bilinear",
                                              "data.train_limit=0",
                                              "data.validation=0.1",
                                              "eval.domains=all",
                                              "eval.shifts=",
                                              "eval.n=0",
                                              "eval.batch=16",
                                              "eval.train_n=0",
                                              "train.steps=60",
                                              "train.batch=32",
                                              "train.lr=1e-2",
                                              "eval.points=0,20",
                                              "attack.steps=2",
                                              "attack.eps=1/255",
                                              "attack.alpha=1/1020",
                                              "train.checkpoint_every=20"};
  const PlanRow row = tiny_run(arguments);
  const Json result = quiet_run(row, folder / "run");
  check_run(row, folder / "run", weights, {"art_painting", "cartoon", "sketch"}, false);
  const Json& last = result.at("evaluations").back();
  CHECK(last.at("n") == 56);
  CHECK(last.at("out_of_domain").at("n") == 840);
  // Features of ImageNet tell photographs of these classes apart, paintings less well, sketches hardly: the order that
  // every report on PACS gives. The probe is short and the images small.
  const auto accuracy = [](const Json& s) { return s.at("correct").get<double>() / s.at("n").get<double>(); };
  CHECK(last.at("clean_correct").get<double>() / 56 > 0.5);  // chance: 0.14
  CHECK(accuracy(domain_of(last, "art_painting")) > accuracy(domain_of(last, "sketch")));
  CHECK(accuracy(last.at("out_of_domain")) < last.at("clean_correct").get<double>() / 56);
}

}  // namespace
}  // namespace taut::study
