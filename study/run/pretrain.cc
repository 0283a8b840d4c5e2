#include "study/run/pretrain.h"

#include <unistd.h>

#include <cmath>
#include <filesystem>
#include <utility>

#include "autograd/engine.h"
#include "autograd/ops.h"
#include "data/procedural.h"
#include "finetune/train.h"
#include "kernels/error.h"
#include "nn/init.h"
#include "nn/models.h"
#include "nn/weights.h"
#include "study/plan.h"
#include "study/run/checkpoint.h"
#include "study/run/interrupt.h"
#include "study/text_file.h"
#include "tensor/safetensors.h"
#include "tensor/sha256.h"

namespace taut::study {
namespace {

constexpr int64_t kCheckpointEvery = 200;
constexpr double kUnitsAnImage = 3;  // a training step costs three forward passes

std::string name_of(const Config& config) {
  std::string settings = "1 " + config.text("model.name");  // the number counts changes of what is computed here
  for (const Key& key : all_keys()) {
    if (!key.name.starts_with("pretrain.")) continue;
    settings += key.type == KeyType::kInteger ? fmt::format(" {}", config.integer(key.name))
                                              : fmt::format(" {:.17g}", config.number(key.name));
  }
  return "pretrained-" + sha256_of(settings).substr(0, 12);
}

std::string file_of(const Config& config, const std::string& cache) {
  return (std::filesystem::path(cache) / (name_of(config) + ".safetensors")).string();
}

// The network under pre-training: the ViT and the map to the figure.
class Figures : public nn::Module {
 public:
  explicit Figures(std::shared_ptr<nn::Vit> v) : vit(add_child("vit", std::move(v))) {
    map = add_child("figure", std::make_shared<nn::Linear>(vit->config().dim, ProceduralTask::kCells));
  }
  std::shared_ptr<nn::Vit> vit;
  std::shared_ptr<nn::Linear> map;
};

struct Pretraining {
  explicit Pretraining(const Config& config)
      : task(ProceduralTask::upstream(static_cast<uint64_t>(config.integer("pretrain.seed")))),
        net(std::make_shared<nn::Vit>(nn::vit_config(config.text("model.name"), "timm", task.classes()))),
        batch(config.integer("pretrain.batch")),
        lr(config.number("pretrain.lr")),
        clip(config.number("pretrain.clip")),
        smoothing(config.number("pretrain.smoothing")),
        figure_weight(config.number("pretrain.figure_weight")) {
    const nn::VitConfig& shape = net.vit->config();
    TAUT_CHECK(shape.channels == 1 && shape.image_size == ProceduralTask::kSide,
               "[model.weights] `procedural` makes weights for grey images of side {}, got model.name={}; hint: "
               "model.name=vit_demo",
               ProceduralTask::kSide, config.text("model.name"));
    const auto seed = static_cast<uint64_t>(config.integer("pretrain.seed"));
    nn::init_model(*net.vit, seed);
    Tensor weight = Tensor::zeros(net.map->weight.shape());
    nn::fill_normal(weight, 0.02, seed, "figure.weight");
    net.map->weight.set_value(weight);
    schedule = {nn::ScheduleKind::kCosine, config.integer("pretrain.warmup"), config.integer("pretrain.steps")};
    net.set_requires_grad(true);
    std::vector<nn::NamedParameter> parameters;
    std::vector<bool> decay;
    for (nn::NamedParameter& p : net.parameters()) {
      decay.push_back(finetune::decays(p.path, finetune::Mode::kFixed));
      parameters.push_back(std::move(p));
    }
    optimizer = std::make_unique<nn::AdamW>(
        std::move(parameters), std::move(decay),
        nn::AdamWOptions{
            .beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8, .weight_decay = config.number("pretrain.weight_decay")});
  }

  // Returns the loss.
  double update() {
    const int64_t step = optimizer->steps(), side = ProceduralTask::kSide;
    Tensor images = Tensor::empty({batch, 1, side, side}), labels = Tensor::empty({batch}, DType::kI64),
           targets = Tensor::empty({batch, ProceduralTask::kCells});
    task.batch(step * batch, batch, images.data<float>(), labels.data<int64_t>(), targets.data<float>());
    std::vector<Var> wanted;
    for (const nn::NamedParameter& p : optimizer->parameters()) wanted.push_back(p.var);
    const Var features = net.vit->features(Var(images));
    const Var classes = ops::cross_entropy(net.vit->classify(features), labels, smoothing);
    const Var error = ops::sub(net.map->forward(features), Var(targets));
    const Var loss = ops::add(classes, ops::scale(ops::mean(ops::square(error)), figure_weight));
    const double value = loss.value().item();
    if (!std::isfinite(value))
      fail(Exit::kNumeric, "[pretrain] the loss of update {} is {}; hint: lower pretrain.lr", step + 1, value);
    const std::vector<Tensor> grads = gradients(loss, wanted);
    const double scale = clip > 0 ? nn::clip_factor(nn::global_norm(grads), clip) : 1;
    optimizer->step(grads, lr * schedule.factor(step + 1), scale);
    return value;
  }

  void save(const std::string& folder) const {
    write_checkpoint(folder, optimizer->steps(), {{"step", optimizer->steps()}},
                     {{"model", nn::state_of(net)}, {"optim", optimizer->state()}});
    prune_checkpoints(folder, 1, [](int64_t) { return true; });
  }

  void resume(const std::string& folder, Progress* progress) {
    const auto last = read_last_checkpoint(folder, [&](const std::string& warning) {
      if (progress != nullptr) progress->say("warning: " + warning);
    });
    if (!last) return;
    nn::load_state(net, last->tensors.at("model"), last->folder);
    optimizer->load_state(last->tensors.at("optim"), last->step, last->folder);
  }

  ProceduralTask task;
  Figures net;
  int64_t batch;
  double lr, clip, smoothing, figure_weight;
  nn::Schedule schedule;
  std::unique_ptr<nn::AdamW> optimizer;
};

void write_weights(const nn::Vit& vit, const std::string& file, const std::string& name) {
  std::vector<std::pair<std::string, Tensor>> tensors;
  for (const nn::NameEntry& e : nn::name_map(vit.config(), nn::NameStyle::kTimm))
    tensors.emplace_back(e.external, vit.parameter(e.path).value().reshape(e.shape));
  write_safetensors(file, tensors, {{"task", "procedural upstream"}, {"settings", name}});
}

void pretrain(Pretraining& work, const Config& config, const std::string& file, const std::string& folder,
              Progress* progress) {
  work.resume(folder, progress);
  if (progress != nullptr) {
    progress->skip(kUnitsAnImage * static_cast<double>(work.optimizer->steps() * work.batch));
    progress->set_label("pre-training");
  }
  const int64_t total = config.integer("pretrain.steps");
  while (work.optimizer->steps() < total) {
    if (interrupted()) {
      work.save(folder);
      stop_if_interrupted("pretrain");
    }
    const double loss = work.update();
    const int64_t step = work.optimizer->steps();
    if (progress != nullptr) {
      progress->advance(kUnitsAnImage * static_cast<double>(work.batch));
      progress->set_label(fmt::format("pre-training, update {} of {}, loss {:.3f}", step, total, loss));
    }
    if (step % kCheckpointEvery == 0 && step < total) work.save(folder);
  }
  write_weights(*work.net.vit, file, name_of(config));
}

}  // namespace

double pretraining_cost(const Config& config, const std::string& cache) {
  if (config.text("model.weights") != "procedural" || std::filesystem::exists(file_of(config, cache))) return 0;
  return kUnitsAnImage * static_cast<double>(config.integer("pretrain.steps") * config.integer("pretrain.batch"));
}

std::string pretrained_weights(const Config& config, const std::string& cache, Progress* progress) {
  const std::string file = file_of(config, cache);
  const std::string folder = (std::filesystem::path(cache) / name_of(config)).string();
  if (std::filesystem::exists(file)) return file;
  Pretraining work(config);
  for (bool told = false; !std::filesystem::exists(file); ::usleep(200'000)) {
    try {
      RunDirectory directory(folder);
      // Whoever had the folder until now may have made the file.
      if (!std::filesystem::exists(file)) pretrain(work, config, file, folder, progress);
      std::error_code ignored;
      std::filesystem::remove_all(folder, ignored);
      return file;
    } catch (const Error& error) {
      stop_if_interrupted("pretrain");
      // A folder that another process is removing, its file made, can be neither made nor locked.
      if (error.code() != Exit::kInterrupted && !std::filesystem::exists(file)) throw;
    }
    if (progress != nullptr && !std::exchange(told, true))
      progress->say(fmt::format("waiting for another process that makes {}", file));
  }
  return file;
}

std::string weights_file(const Config& config, const std::string& cache, Progress* progress) {
  if (config.text("model.weights") == "procedural") return pretrained_weights(config, cache, progress);
  return located(config, "model.weights");
}

}  // namespace taut::study
