// What every strategy promises: the start, what gets a gradient, which kernels run, merging, deltas.
#include <doctest/doctest.h>

#include <filesystem>
#include <set>

#include "autograd/engine.h"
#include "autograd/ops.h"
#include "finetune/delta.h"
#include "finetune/train.h"
#include "kernels/arena.h"
#include "tests/small_vit.h"

namespace taut::finetune {
namespace {

using testing::random_images;
using testing::random_labels;
using testing::random_vit;
using testing::relative_difference;
using testing::small_config;

// All strategies but those that have no meaning for a ViT.
std::vector<std::string> vit_strategies() {
  std::vector<std::string> names = strategy_names();
  std::erase(names, "bn");
  return names;
}

StrategyOptions small_options() {
  StrategyOptions o;
  o.rank = 3;
  o.alpha = 6;
  o.reduction = 8;
  return o;
}

// Moves every trainable parameter off its start, so that what is tested is not an identity.
void disturb(nn::Vit& vit, uint64_t seed) {
  for (nn::NamedParameter& p : vit.parameters()) {
    if (!p.var.requires_grad()) continue;
    Tensor noise = Tensor::empty(p.var.shape(), p.var.dtype());
    nn::fill_normal(noise, 0.1, seed, p.path);
    p.var.set_value(ops::add(Var(p.var.value()), Var(noise)).value());
  }
}

}  // namespace

TEST_CASE("a fresh model of every strategy but the bottlenecks is its base, to the bit; bottlenecks start near it") {
  const nn::VitConfig config = small_config();
  const Tensor x = random_images(config, 3, 5);
  const NoGrad no_grad;
  const Tensor base = random_vit(config, 1)->forward(Var(x)).value();
  for (const std::string& name : vit_strategies()) {
    CAPTURE(name);
    const auto vit = random_vit(config, 1);
    strategy(name).apply(*vit, small_options(), 3);
    const Tensor y = vit->forward(Var(x)).value();
    if (name == "adapter" || name == "compacter") {
      CHECK(!same_bytes(y, base));
      CHECK(relative_difference(y, base) < (name == "adapter" ? 0.05 : 1e-3));
    } else {
      CHECK(same_bytes(y, base));
    }
  }
}

TEST_CASE("every trainable parameter gets a gradient, no frozen one does, and no kernel runs for a frozen weight") {
  const nn::VitConfig config = small_config();
  const Tensor x = random_images(config, 2, 5), y = random_labels(2, config.classes, 6);
  for (const std::string& name : vit_strategies()) {
    CAPTURE(name);
    const auto vit = random_vit(config, 1);
    strategy(name).apply(*vit, small_options(), 3);
    disturb(*vit, 4);
    std::vector<Var> wanted;
    std::vector<std::string> paths;
    for (const nn::NamedParameter& p : vit->parameters())
      if (p.var.requires_grad()) {
        wanted.push_back(p.var);
        paths.push_back(p.path);
      }
    reset_kernel_calls();
    const Grads grads = gradients(ops::cross_entropy(vit->forward(Var(x)), y), wanted);
    for (size_t i = 0; i < grads.size(); ++i) {
      CAPTURE(paths[i]);
      REQUIRE(grads[i].defined());
      CHECK(testing::largest(grads[i]) > 0);
    }
    // The head, the adapter's two linear layers, or every linear layer.
    const int64_t sites = 4 * config.depth, bottlenecks = 2 * config.depth;
    const int64_t expected = name == "full" ? sites + 2 : name == "adapter" ? 2 * bottlenecks + 1 : 1;
    CHECK(kernel_calls("linear_backward_weight") == expected);
    const bool norms = name == "full" || name == "bitfit" || name == "ln";
    CHECK(kernel_calls("layer_norm_backward_weight") == (norms ? 2 * config.depth + 1 : 0));
    if (name == "lp") CHECK(kernel_calls("linear_backward_input") == 0);
  }
}

TEST_CASE("an image gradient with frozen parameters runs no weight-gradient kernel and saves nothing for one") {
  const nn::VitConfig config = small_config();
  const Tensor x = random_images(config, 8, 5), y = random_labels(8, config.classes, 6);
  const auto vit = random_vit(config, 1);
  const auto saved_bytes = [&](bool image, bool weights) {
    vit->set_requires_grad(weights);
    const int64_t before = arena_stats().in_use;
    const Var input(x, image);
    const Var loss = ops::cross_entropy(vit->forward(input), y);
    return arena_stats().in_use - before;
  };
  const int64_t attack = saved_bytes(true, false), train = saved_bytes(false, true),
                nothing = saved_bytes(false, false);
  CHECK(nothing < attack);
  CHECK(attack < train);
  // Training keeps the inputs of qkv, proj, fc1 and fc2 besides: (3 dim + mlp) floats a token of each block but the
  // last, where proj, fc1 and fc2 see the class token alone.
  const int64_t t = config.tokens(), d = config.dim, m = config.mlp;
  const int64_t inputs = 4 * 8 * ((config.depth - 1) * t * (3 * d + m) + t * d + 2 * d + m);
  CHECK(train - attack >= inputs);

  vit->set_requires_grad(true);
  const nn::FrozenParameters frozen(*vit);
  const Var input(x, true);
  reset_kernel_calls();
  const Grads g = gradients(ops::cross_entropy(vit->forward(input), y), {input});
  REQUIRE(g[0].defined());
  CHECK(testing::largest(g[0]) > 0);
  for (const char* kernel : {"linear_backward_weight", "layer_norm_backward_weight", "sum_columns"}) {
    CAPTURE(kernel);
    CHECK(kernel_calls(kernel) == 0);
  }
  CHECK(kernel_calls("linear_backward_input") > 0);
}

TEST_CASE("what an evaluation attacks computes the image gradient alone, for every strategy") {
  const nn::VitConfig config = small_config();
  const Tensor x = random_images(config, 2, 5), y = random_labels(2, config.classes, 6);
  for (const std::string& name : vit_strategies()) {
    CAPTURE(name);
    const auto vit = random_vit(config, 1);
    strategy(name).apply(*vit, small_options(), 3);
    disturb(*vit, 4);
    const auto attacked = evaluation_model(*vit, strategy(name), small_options());
    const Var input(x, true);
    reset_kernel_calls();
    const Grads g = gradients(ops::cross_entropy(attacked->forward(input), y), {input});
    CHECK(testing::largest(g[0]) > 0);
    for (const char* kernel : {"linear_backward_weight", "layer_norm_backward_weight", "sum_columns"}) {
      CAPTURE(kernel);
      CHECK(kernel_calls(kernel) == 0);
    }
    // Merged: no product is left that only an adapted layer makes.
    if (strategy(name).can_merge()) CHECK(kernel_calls("matmul") == 0);
  }
}

TEST_CASE("merged equals unmerged, biases included, and merging what cannot be merged is refused") {
  const nn::VitConfig config = small_config();
  for (const std::string& name : vit_strategies()) {
    CAPTURE(name);
    const Strategy& s = strategy(name);
    const auto vit = random_vit(config, 1, DType::kF64);
    const Tensor x = random_images(config, 3, 5, DType::kF64);
    s.apply(*vit, small_options(), 3);
    disturb(*vit, 4);
    const NoGrad no_grad;
    const Tensor want = vit->forward(Var(x)).value();
    if (name == "adapter" || name == "compacter") {
      CHECK(!s.can_merge());
      CHECK_THROWS_WITH_AS(merge(*vit), doctest::Contains("cannot be folded"), Error);
    } else {
      CHECK(relative_difference(merge(*vit)->forward(Var(x)).value(), want) < 1e-12);
    }
    CHECK(same_bytes(rebuild(*vit, s, small_options())->forward(Var(x)).value(), want));
    const auto evaluated = evaluation_model(*vit, s, small_options());
    CHECK(evaluated->trainable_parameter_count() == 0);
    CHECK(relative_difference(evaluated->forward(Var(x)).value(), want) < 1e-12);
  }
}

TEST_CASE("a delta is loaded back bit-equal, and refused for another base, strategy or option") {
  const nn::VitConfig config = small_config();
  const Tensor x = random_images(config, 3, 5);
  const std::string file = (std::filesystem::temp_directory_path() / "taut_test_delta.safetensors").string();
  for (const std::string& name : vit_strategies()) {
    CAPTURE(name);
    const Strategy& s = strategy(name);
    const auto trained = random_vit(config, 1);
    const std::string base = base_hash(*trained);
    s.apply(*trained, small_options(), 3);
    disturb(*trained, 4);
    save_delta(file, *trained, s, small_options(), base);

    const auto fresh = random_vit(config, 1);
    CHECK(base_hash(*fresh) == base);
    s.apply(*fresh, small_options(), 9);
    load_delta(file, *fresh, s, small_options(), base);
    const NoGrad no_grad;
    CHECK(same_bytes(fresh->forward(Var(x)).value(), trained->forward(Var(x)).value()));

    CHECK_THROWS_WITH_AS(load_delta(file, *fresh, s, small_options(), base_hash(*random_vit(config, 2))),
                         doctest::Contains("base_sha256"), Error);
    StrategyOptions other = small_options();
    other.rank = 4;
    CHECK_THROWS_WITH_AS(load_delta(file, *fresh, s, other, base), doctest::Contains("rank 4"), Error);
  }
  std::filesystem::remove(file);
}

TEST_CASE("weight decay: norms and biases never, the released code's two exceptions in mode official only") {
  for (const Mode mode : {Mode::kFixed, Mode::kOfficial}) {
    const bool official = mode == Mode::kOfficial;
    CHECK(decays("blocks.0.attn.qkv.weight", mode));
    CHECK(decays("cls_token", mode));
    CHECK(decays("blocks.0.attn.qkv.query.lora_A", mode));
    CHECK(decays("blocks.0.mlp.fc2.adapter.down.left", mode));
    CHECK(!decays("blocks.0.norm1.weight", mode));
    CHECK(!decays("head.bias", mode));
    CHECK(decays("blocks.0.mlp.fc2.adapter.down.b", mode) == official);
    CHECK(decays("blocks.0.mlp.fc1.ia3", mode) == official);
  }
}

TEST_CASE("training learns, and reload-and-continue is bit-identical") {
  const nn::VitConfig config = small_config();
  const Tensor x = random_images(config, 16, 5), y = random_labels(16, config.classes, 6);
  for (const char* name : {"full", "lora", "compacter"}) {
    CAPTURE(name);
    TrainOptions options;
    options.lr = 1e-2;
    options.schedule = {nn::ScheduleKind::kCosine, 2, 30};
    const auto fresh = [&] {
      auto vit = random_vit(config, 1);
      strategy(name).apply(*vit, small_options(), 3);
      return vit;
    };
    const auto vit = fresh();
    Trainer trainer(vit, options);
    std::vector<double> losses;
    for (int i = 0; i < 10; ++i) losses.push_back(trainer.step(x, y).loss);
    const auto copy_of = [](const std::vector<std::pair<std::string, Tensor>>& state) {
      std::map<std::string, Tensor> copy;
      for (const auto& [n, t] : state) copy[n] = t.clone();
      return copy;
    };
    const auto parameters = copy_of(nn::state_of(*vit)), moments = copy_of(trainer.state());
    for (int i = 0; i < 20; ++i) losses.push_back(trainer.step(x, y).loss);
    CHECK(losses.back() < 0.7 * losses.front());

    const auto resumed = fresh();
    Trainer again(resumed, options);
    nn::load_state(*resumed, parameters, "memory");
    again.load_state(moments, 10, "memory");
    for (int i = 0; i < 20; ++i) CHECK(again.step(x, y).loss == losses[static_cast<size_t>(10 + i)]);
    const auto a = nn::state_of(*vit), b = nn::state_of(*resumed);
    for (size_t i = 0; i < a.size(); ++i) CHECK(same_bytes(a[i].second, b[i].second));
  }
}

TEST_CASE("a non-finite gradient stops training, names its tensor and updates nothing") {
  const nn::VitConfig config = small_config();
  const auto vit = random_vit(config, 1);
  strategy("lp").apply(*vit, {}, 1);
  Trainer trainer(vit, {});
  Tensor x = random_images(config, 2, 5);
  x.data<float>()[7] = std::numeric_limits<float>::quiet_NaN();
  const Tensor head = vit->parameter("head.weight").value().clone();
  try {
    trainer.step(x, random_labels(2, config.classes, 6));
    FAIL("a NaN pixel was trained on");
  } catch (const Error& e) {
    CHECK(e.code() == Exit::kNumeric);
  }
  CHECK(same_bytes(head, vit->parameter("head.weight").value()));
}

}  // namespace taut::finetune
