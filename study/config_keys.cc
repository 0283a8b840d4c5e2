#include "study/config_keys.h"

#include <limits>

#include "attacks/attack.h"
#include "finetune/strategy.h"
#include "kernels/error.h"
#include "nn/models.h"
#include "tensor/nearest.h"
#include "tensor/precision.h"

namespace taut::study {
namespace {

constexpr double kInf = std::numeric_limits<double>::infinity();

Key text(std::string name, std::string built_in, std::string doc, bool names_run = true) {
  return {std::move(name), KeyType::kText, std::move(built_in), std::move(doc), -kInf, kInf, {}, names_run};
}
Key integer(std::string name, std::string built_in, double low, double high, std::string doc, bool names_run = true) {
  return {std::move(name), KeyType::kInteger, std::move(built_in), std::move(doc), low, high, {}, names_run};
}
Key number(std::string name, std::string built_in, double low, double high, std::string doc) {
  return {std::move(name), KeyType::kNumber, std::move(built_in), std::move(doc), low, high, {}};
}
Key flag(std::string name, std::string built_in, std::string doc) {
  return {std::move(name), KeyType::kFlag, std::move(built_in), std::move(doc), -kInf, kInf, {}};
}
Key choice(std::string name, std::string built_in, std::vector<std::string> choices, std::string doc) {
  return {std::move(name), KeyType::kChoice, std::move(built_in), std::move(doc), -kInf, kInf, std::move(choices)};
}
Key list(KeyType type, std::string name, std::string doc, double low = -kInf, double high = kInf) {
  return {std::move(name), type, "", std::move(doc), low, high, {}};
}

std::vector<Key> make_keys() {
  constexpr double kMany = 1e9, kSeed = 9007199254740992.0;  // integers that a double holds exactly
  return {
      choice("model.name", "vit_base_patch16_224", nn::model_names(), "model, one of `taut ls models`"),
      text("model.weights", "",
           "file of any format of `taut weights inspect`; empty: drawn from the seed; `procedural`: pre-trained here "
           "on the procedural upstream "
           "task"),
      text("model.delta", "", "what a run trained (delta.safetensors), or a folder that peft or AdapterHub wrote"),
      choice("model.strategy", "full", finetune::strategy_names(), "fine-tuning strategy"),
      integer("model.classes", "0", 0, 1e6, "outputs of the head; 0: the data's in training, else the model's"),
      choice("model.flavour", "timm", {"timm", "hf"}, "timm: epsilon 1e-6; hf: epsilon 1e-12 and the unused pooler"),
      choice("model.precision", "f32", precision_names(),
             "f32: the same bytes everywhere; tf32: factors of products rounded to 10 bits; bf16: activations and "
             "frozen weights stored in bf16, what trains in f32"),
      integer("model.image_size", "0", 0, 4096, "side of the input; 0: the model's"),
      list(KeyType::kTexts, "model.allow_missing", "patterns of tensors that a weights file may lack"),
      list(KeyType::kTexts, "model.allow_unexpected", "patterns of tensors of a weights file that are ignored"),

      integer("peft.rank", "8", 1, 4096, "LoRA: rank"),
      number("peft.alpha", "8", 0, 1e6, "LoRA: the update is scaled by alpha / rank"),
      integer("peft.reduction", "0", 0, 4096, "adapter and compacter: bottleneck = width / reduction; 0: 8 and 32"),
      integer("peft.bottleneck", "0", 0, 65536, "adapter and compacter: the bottleneck itself, instead"),
      integer("peft.phm_n", "4", 1, 64, "compacter: blocks of the Kronecker sum"),
      integer("peft.phm_rank", "1", 1, 64, "compacter: rank of its factors"),

      text("data.path", "", "data set; its format is recognised: `taut ls datasets`"),
      text("data.sha256", "", "SHA-256 of an imported set's list of images; empty: the one that data.path has"),
      text("data.fallback", "", "data set that takes the place of one that is not on this machine"),
      text("data.labels", "", "CSV with the columns file,class_index"),
      text("data.split", "", "train, validation, test or all; empty: test"),
      text("data.domain", "", "one folder of ROOT/DOMAIN/CLASS"),
      list(KeyType::kIntegers, "data.classes", "only these classes, renumbered in this order", 0, 1e6),
      integer("data.limit", "0", 0, kMany, "at most so many images, for a quick look; 0: all"),
      text("data.cache", "auto",
           "folder of images decoded once; off: none; auto: $XDG_CACHE_HOME/taut, else beside the runs", false),
      text("data.root", "", "folder in which relative data.path and model.weights are looked up", false),
      choice("data.resize", "auto", {"auto", "stretch", "short_side", "centre", "none"},
             "how images get the model's size; auto: as the model was trained"),
      choice("data.filter", "auto", {"auto", "bilinear", "bicubic"}, "filter of the resize"),
      integer("data.short_side", "0", 0, 16384, "short_side: the short side before the crop; 0: size x 256 / 224"),
      list(KeyType::kNumbers, "data.mean", "per channel, subtracted inside the model; empty: the model's", -10, 10),
      list(KeyType::kNumbers, "data.std", "per channel; empty: the model's", 1e-6, 10),
      number("data.validation", "0.1", 0, kMany,
             "held out of the training images: below 1 a share drawn by the seed, else the last so many"),
      integer("data.train_limit", "0", 0, kMany, "at most so many training images; 0: all"),

      choice("attack.name", "pgd", attacks::attack_names(), "attack"),
      choice("attack.norm", "linf", {"linf", "l2"}, "norm of the budget"),
      number("attack.eps", "1/255", 0, 1e3, "budget, in pixels of [0, 1]"),
      number("attack.alpha", "1/1020", 0, 1e3, "step"),
      integer("attack.steps", "15", 0, 1e5, "steps"),
      flag("attack.random_start", "true", "start at a uniform point of the ball"),
      choice("attack.loss", "ce", {"ce", "margin"}, "what is ascended: cross-entropy, or the margin of the logits"),
      integer("attack.restarts", "1", 1, 1000, "random starts; the strongest counts, image by image"),
      integer("attack.targets", "9", 1, 1000, "mtpgd: classes that are attempted, the likeliest first"),

      integer("train.steps", "0", 0, kMany, "updates; 0: train.epochs decides"),
      integer("train.epochs", "20", 0, 1e6, "passes over the training images"),
      integer("train.batch", "128", 1, 65536, "images an update"),
      number("train.lr", "5e-3", 0, 1e38, "learning rate"),
      number("train.weight_decay", "0", 0, 1e3, "decoupled weight decay"),
      number("train.clip", "1", 0, 1e9, "global gradient norm; 0: no clipping"),
      integer("train.warmup", "800", 0, kMany, "updates of linear warm-up"),
      choice("train.schedule", "cosine", {"constant", "linear", "cosine"}, "learning rate after the warm-up"),
      number("train.label_smoothing", "0", 0, 1, "label smoothing"),
      flag("train.replacement", "false", "draw batches with replacement instead of by epochs"),
      integer("train.log_every", "10", 1, kMany, "updates between lines of metrics"),
      integer("train.checkpoint_every", "100", 0, kMany,
              "updates between checkpoints, besides those at evaluation points; 0: only those"),
      integer("train.keep", "2", 1, 1000, "checkpoints kept"),

      choice("eval.schedule", "official-code", {"official-code", "paper-text", "list"}, "when to evaluate"),
      list(KeyType::kIntegers, "eval.points",
           "updates after which to evaluate, for eval.schedule=list; the last update "
           "is always one",
           0, kMany),
      integer("eval.n", "0", 0, kMany, "test images, clean and attacked; 0: all"),
      integer("eval.per_class", "0", 0, kMany, "instead of eval.n: the first so many test images of each class"),
      integer("eval.batch", "32", 1, 65536, "images a batch, and at most lost when a run is killed while it evaluates"),
      integer("eval.train_n", "0", 0, kMany, "training images whose clean accuracy is measured"),
      list(KeyType::kTexts, "eval.shifts", "shifted domains made from the test images: rotation, texture"),
      list(KeyType::kTexts, "eval.domains",
           "domains other than data.domain whose images are judged too; all: every one"),
      flag("eval.domains_attack", "false", "attack them too"),
      integer("eval.keep_images", "4", 0, 1000, "attacked images kept for the report"),

      choice("study.mode", "fixed", {"fixed", "official"},
             "official: copies what changes numbers in the released code"),

      integer("pretrain.steps", "1875", 1, kMany, "updates on the procedural upstream task"),
      integer("pretrain.batch", "64", 1, 65536, "fresh images an update"),
      number("pretrain.lr", "2e-3", 0, 1e3, "peak learning rate"),
      number("pretrain.weight_decay", "0.05", 0, 1e3, "decoupled weight decay"),
      number("pretrain.clip", "1", 0, 1e9, "global gradient norm"),
      integer("pretrain.warmup", "93", 0, kMany, "updates of warm-up"),
      number("pretrain.smoothing", "0.1", 0, 1, "label smoothing"),
      number("pretrain.figure_weight", "1", 0, 1e3, "weight of the squared error against the clean figure"),
      integer("pretrain.seed", "0", 0, kSeed, "seed of the task's classes, images and initial weights"),

      integer("seed", "0", 0, kSeed, "seed of everything random in a run"),
      {"threads", KeyType::kInteger, "0", "threads; 0: one a processor; no result depends on it", 0, 256, {}, false},
  };
}

}  // namespace

const std::vector<Key>& all_keys() {
  static const std::vector<Key> keys = make_keys();
  return keys;
}

const Key& find_key(const std::string& name) {
  std::vector<std::string> names;
  for (const Key& key : all_keys()) {
    if (key.name == name) return key;
    names.push_back(key.name);
  }
  fail(Exit::kUsage, "[config] there is no setting '{}'; hint: {}", name, did_you_mean(name, names));
}

}  // namespace taut::study
