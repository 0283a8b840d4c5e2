#include "study/run/share.h"

#include <unistd.h>

#include <filesystem>

#include "kernels/error.h"
#include "kernels/parallel.h"
#include "study/run/checkpoint.h"
#include "study/run/environment.h"
#include "study/run/interrupt.h"
#include "study/run/point.h"
#include "study/run/setup.h"
#include "study/run/state.h"
#include "study/run/stored_result.h"
#include "study/schedule.h"
#include "study/text_file.h"
#include "tensor/sha256.h"

namespace taut::study {
namespace fs = std::filesystem;
namespace {

constexpr useconds_t kPoll = 200'000;
constexpr const char *kEnd = "share.json", *kImages = "samples/images.safetensors";

std::string verdicts_name(int64_t step) { return checkpoint_name(step) + ".json"; }

// Verdicts with what they belong to; the sum is over the text of the rest.
Json sealed(Json json) {
  json["sha256"] = sha256_of(json.dump());
  return json;
}

// Throws Error(kBadData) naming the file.
Json read_sealed(const std::string& file) {
  Json json = read_json(file);
  const std::string sum = json.is_object() ? json.value("sha256", "") : "";
  if (json.is_object()) json.erase("sha256");
  if (sha256_of(json.dump()) != sum) fail(Exit::kBadData, "[{}] is damaged: its SHA-256 is not the one it names", file);
  return json;
}

class SharedRun {
 public:
  SharedRun(const PlanRow& row, std::string folder, std::string shared, Share share, const RunOptions& options)
      : row_(row),
        config_(row.config),
        folder_(std::move(folder)),
        shared_(std::move(shared)),
        share_(share),
        options_(options) {}

  Json result() {
    if (StoredResult stored = stored_result(folder_, row_.run_id); stored.done()) return std::move(stored.json);
    {
      RunDirectory directory(share_folder(shared_, share_));
      if (StoredResult stored = stored_result(folder_, row_.run_id); stored.done()) {
        std::error_code ignored;  // merged since, and all of this removed
        fs::remove_all(shared_, ignored);
        return std::move(stored.json);
      }
      train();
      if (!share_is_done(shared_, share_)) judge(directory);
    }
    for (Share other{1, share_.of}; other.part <= other.of; ++other.part)
      if (!share_is_done(shared_, other)) return nullptr;
    return is_trained() ? merge() : Json(nullptr);
  }

 private:
  std::string points() const { return shared_ + "/points"; }
  std::string trained() const { return shared_ + "/train"; }
  bool is_trained() const { return stored_result(trained(), row_.run_id).done(); }

  void say(const std::string& line) const {
    const std::string text = fmt::format("{} {} of {}: {}", row_.run_id, share_.part, share_.of, line);
    if (options_.progress != nullptr)
      options_.progress->say(text);
    else
      fmt::print(stderr, "{}\n", text);
  }

  // Returns at once where another process trains.
  void train() const {
    if (is_trained()) return;
    RunOptions training = options_;
    training.points = points();
    try {
      run(row_, trained(), training);
    } catch (const Error& error) {
      if (error.code() != Exit::kInterrupted || interrupted()) throw;
    }
  }

  void judge(RunDirectory& directory) const {
    const RunSetup setup = set_up(row_, trained(), options_, [this](const std::string& line) { say(line); });
    const bool head_only = setup.model.strategy->reach() == finetune::Reach::kHead;
    FeatureCache cache(setup.model.net);
    Evaluator evaluator(config_, directory, setup.model, setup.data, head_only ? &cache : nullptr, options_.progress,
                        share_);
    for (const int64_t step : setup.points) {
      if (fs::exists(directory.file(verdicts_name(step)))) continue;
      wait_for(step);
      load_point(points(), step, config_, setup.model);
      if (options_.progress != nullptr)
        options_.progress->set_label(
            fmt::format("{} share {} of {}, step {} of {}", row_.run_id, share_.part, share_.of, step, setup.total));
      const Json verdicts = evaluator.measure(step, step == setup.total);
      directory.write(verdicts_name(step), sealed({{"step", step},
                                                   {"part", share_.part},
                                                   {"of", share_.of},
                                                   {"config_sha256", config_.hash()},
                                                   {"base_sha256", setup.model.base_hash},
                                                   {"sizes", sizes_of(setup.data)},
                                                   {"verdicts", verdicts}})
                                                   .dump() +
                                               "\n");
      directory.remove("evaluation.json");
    }
    directory.write(kEnd, Json({{"part", share_.part}, {"of", share_.of}, {"points", setup.points}}).dump() + "\n");
  }

  // Images of each split, of all shares together.
  Json sizes_of(const RunData& data) const {
    Json sizes = {{"test", data.test->size()}};
    for (const ShiftedData& s : data.shifted) {
      sizes[(s.other_domain ? "domain:" : "shift:") + s.name] = s.store->size();
      if (s.other_domain && config_.flag("eval.domains_attack")) sizes["attack:" + s.name] = s.store->size();
    }
    if (data.train_sample != nullptr) sizes["train"] = data.train_sample->size();
    return sizes;
  }

  void wait_for(int64_t step) const {
    for (bool told = false; !has_checkpoint(points(), step); ::usleep(kPoll)) {
      if (is_trained())
        fail(Exit::kMissing, "[{}/ckpt/{}] the model of that point is gone; hint: remove {} to train anew", points(),
             checkpoint_name(step), trained());
      stop_if_interrupted("share");
      train();
      if (!std::exchange(told, true) && !has_checkpoint(points(), step))
        say(fmt::format("waiting for step {}, which another process trains", step));
    }
  }

  // One step's verdicts of all shares, in the images' order.
  Json gathered(int64_t step) const {
    Json verdicts, sizes;
    for (Share other{1, share_.of}; other.part <= other.of; ++other.part) {
      const std::string file = share_folder(shared_, other) + "/" + verdicts_name(step);
      try {
        const Json json = read_sealed(file);
        if (json.at("step") != step || json.at("part") != other.part || json.at("of") != other.of ||
            json.at("config_sha256") != config_.hash())
          fail(Exit::kBadData, "[{}] belongs to another share, step or run", file);
        if (other.part == 1) {
          verdicts = json.at("verdicts");
          sizes = json.at("sizes");
          continue;
        }
        if (json.at("sizes") != sizes) fail(Exit::kBadData, "[{}] is of other images than share 1", file);
        for (const auto& [split, batches] : json.at("verdicts").items())
          for (const Json& batch : batches) verdicts.at(split).push_back(batch);
      } catch (const nlohmann::json::exception& error) {
        fail(Exit::kBadData, "[{}] cannot be understood: {}", file, error.what());
      } catch (const Error& error) {
        fail(error.code(), "{}; hint: remove {} and the share is judged anew", error.what(),
             share_folder(shared_, other));
      }
    }
    for (const auto& [split, n] : sizes.items())
      if (!verdicts.contains(split) || images_in(verdicts[split]) != n.get<int64_t>())
        fail(Exit::kBadData, "[{}] step {}, {}: expected {} images in {} shares, got {}", shared_, step, split,
             n.dump(), share_.of, verdicts.contains(split) ? images_in(verdicts[split]) : 0);
    return verdicts;
  }

  // The lines that training wrote and those of the points, as one process writes them: a point follows its step.
  Json merge() const {
    std::unique_ptr<RunDirectory> own;
    try {
      own = std::make_unique<RunDirectory>(folder_);
    } catch (const Error& error) {
      if (error.code() == Exit::kInterrupted) return nullptr;  // another process merges
      throw;
    }
    RunDirectory& directory = *own;
    Json merged = take_result(directory, row_.run_id, [this](const std::string& line) { say(line); });
    if (!merged.is_null()) return merged;
    Json result = read_json(trained() + "/result.json");
    const std::vector<std::string> lines = lines_of(read_text_file(trained() + "/metrics.jsonl"));
    directory.write("config.resolved.toml", config_.to_toml());
    directory.write("env.json", environment().dump(2) + "\n");
    directory.remove("failed.json");
    directory.truncate_metrics(0);
    size_t at = 0;
    const auto trained_until = [&](int64_t step) {
      for (; at < lines.size(); ++at) {
        const Json line = Json::parse(lines[at], nullptr, false);
        if (!line.is_object() || !line.contains("step"))
          fail(Exit::kBadData, "[{}/metrics.jsonl] line {} is no metric; hint: remove {} to train anew", trained(),
               at + 1, trained());
        if (line["step"].get<int64_t>() > step) return;
        directory.append_metric(line);
      }
    };
    const int64_t total = result.at("steps");
    result["evaluations"] = Json::array();
    for (const int64_t step :
         evaluation_points(config_.text("eval.schedule"), config_.integers("eval.points"), total)) {
      const PointRecord point = point_of(config_, step, gathered(step));
      trained_until(step);
      result["evaluations"].push_back(record(point, directory));
    }
    trained_until(total);
    const auto copy = [&](const std::string& from, const std::string& name) {
      if (fs::exists(from + "/" + name))
        fs::copy_file(from + "/" + name, directory.file(name), fs::copy_options::overwrite_existing);
    };
    copy(trained(), "delta.safetensors");
    // The first share that has images at all.
    for (Share other{1, share_.of}; other.part <= other.of; ++other.part) copy(share_folder(shared_, other), kImages);
    directory.sync_metrics();
    directory.write("result.json", result.dump(2) + "\n");
    directory.log(fmt::format("merged of {} shares", share_.of));
    std::error_code ignored;
    fs::remove_all(shared_, ignored);
    say("the last share: merged");
    return result;
  }

  const PlanRow& row_;
  const Config& config_;
  const std::string folder_, shared_;
  const Share share_;
  const RunOptions& options_;
};

}  // namespace

std::string share_folder(const std::string& shared, Share share) {
  return fmt::format("{}/{}-of-{}", shared, share.part, share.of);
}

bool share_is_done(const std::string& shared, Share share) {
  return fs::exists(share_folder(shared, share) + "/" + kEnd);
}

Json run_share(const PlanRow& row, const std::string& folder, const std::string& shared, Share share,
               const RunOptions& options) {
  TAUT_CHECK(share.of >= 1 && share.part >= 1 && share.part <= share.of,
             "[--share] expected I/N with 1 <= I <= N, got {}/{}", share.part, share.of);
  if (row.config.integer("threads") > 0) set_num_threads(static_cast<int>(row.config.integer("threads")));
  return SharedRun(row, folder, shared, share, options).result();
}

}  // namespace taut::study
