// Compacter (Karimi Mahabadi et al., 2021) as AdapterHub's CompacterConfig() places it: the adapter's places and
// residuals, its two layers being parametrised hypercomplex products, y = x sum_i kron(A_i, s_i t_i) + b, with one rule
// A (n, n, n) for all of them.
//
// A ~ N(0, 1e-4), b = 0. Factors: the configuration asks for Glorot-uniform; the released library draws Xavier-normal
// for every value of that option, which mode `official` copies. Fans of a slice (m, k): in k, out m.
#include <cmath>

#include "autograd/ops.h"
#include "finetune/bottleneck.h"
#include "finetune/strategies.h"
#include "nn/init.h"

namespace taut::finetune {
namespace {

constexpr int64_t kReduction = 32;

class PhmLinear : public nn::Module {
 public:
  PhmLinear(int64_t in, int64_t out, Var rule, const StrategyOptions& o, const std::string& path, uint64_t seed)
      : left(add_parameter("left", Tensor::zeros({o.phm_n, in / o.phm_n, o.phm_rank}, rule.dtype()))),
        right(add_parameter("right", Tensor::zeros({o.phm_n, o.phm_rank, out / o.phm_n}, rule.dtype()))),
        b(add_parameter("b", Tensor::zeros({out}, rule.dtype()))),
        rule_(share_parameter("rule", std::move(rule))) {
    init(left, o.mode, seed, path + ".left");
    init(right, o.mode, seed, path + ".right");
  }
  Var forward(const Var& x) { return ops::phm_linear(x, rule_, left, right, b); }

  Var& left;
  Var& right;
  Var& b;

 private:
  static void init(const Var& factor, Mode mode, uint64_t seed, const std::string& path) {
    Tensor t = factor.value();
    const auto fans = static_cast<double>(factor.size(1) + factor.size(2));
    if (mode == Mode::kOfficial)
      nn::fill_normal(t, std::sqrt(2 / fans), seed, path);
    else
      nn::fill_uniform(t, std::sqrt(6 / fans), seed, path);
  }

  Var& rule_;
};

class PhmBottleneck : public Bottleneck {
 public:
  PhmBottleneck(int64_t dim, int64_t size, const Var& rule, const StrategyOptions& o, const std::string& path,
                uint64_t seed)
      : down_(add_child("down", std::make_shared<PhmLinear>(dim, size, rule, o, path + ".down", seed))),
        up_(add_child("up", std::make_shared<PhmLinear>(size, dim, rule, o, path + ".up", seed))) {}
  Var down(const Var& x, BottleneckForm::Activation f) override { return activated(down_->forward(x), f); }
  Var up(const Var& u, const Var& a) override { return ops::add(up_->forward(u), a); }

 private:
  std::shared_ptr<PhmLinear> down_, up_;
};

class Compacter : public Strategy {
 public:
  explicit Compacter(BottleneckForm form) : form_(form) {}
  const char* name() const override { return "compacter"; }
  const char* description() const override { return "Compacter: Kronecker-factored bottlenecks with one shared rule"; }
  bool can_merge() const override { return false; }

  bool adds_layers() const override { return true; }

  void apply(nn::Model& model, const StrategyOptions& options, uint64_t seed) const override {
    const auto* config = dynamic_cast<const nn::VitConfig*>(&model.config());
    TAUT_CHECK(config != nullptr,
               "[model.strategy] 'compacter' factors the linear bottlenecks of transformers and is defined for nothing "
               "else; hint: adapter");
    const int64_t size = checked_size(*config, options);
    freeze_backbone(model);
    Tensor values = Tensor::zeros({options.phm_n, options.phm_n, options.phm_n}, model.dtype());
    nn::fill_normal(values, 1e-4, seed, "phm_rule");
    const Var rule(values, true);
    add_bottlenecks(model, name(), form_, [&](int64_t dim, const std::string& path) {
      return std::make_shared<PhmBottleneck>(dim, size, rule, options, path, seed);
    });
  }

  std::vector<nn::NameEntry> added_names(const nn::VitConfig& c, const StrategyOptions& options) const override {
    const int64_t size = checked_size(c, options), n = options.phm_n, rank = options.phm_rank;
    std::vector<nn::NameEntry> map;
    const auto add = [&](const std::string& hub, const std::string& ours, int64_t in, int64_t out) {
      map.push_back({hub + "W_left", ours + ".left", {n, in / n, rank}});
      map.push_back({hub + "W_right", ours + ".right", {n, rank, out / n}});
      map.push_back({hub + "b", ours + ".b", {out}});
    };
    const std::vector<BottleneckPath> paths = bottleneck_paths(c);
    for (const BottleneckPath& p : paths) {
      add(p.hub + "compacter.adapter_down.0.", p.ours + ".down", c.dim, size);
      add(p.hub + "compacter.adapter_up.", p.ours + ".up", size, c.dim);
    }
    // The shared rule is listed where the tree meets it first.
    map.push_back({"vit.shared_parameters.compacter.phm_rule", paths[0].ours + ".down.rule", {n, n, n}});
    return map;
  }

 private:
  static int64_t checked_size(const nn::VitConfig& c, const StrategyOptions& o) {
    const int64_t size = bottleneck_size(c.dim, o, kReduction);
    TAUT_CHECK(o.phm_n >= 1 && c.dim % o.phm_n == 0 && size % o.phm_n == 0,
               "[peft.phm_n] expected a divisor of the width {} and of the bottleneck {}, got {}", c.dim, size,
               o.phm_n);
    TAUT_CHECK(o.phm_rank >= 1, "[peft.phm_rank] expected a rank >= 1, got {}", o.phm_rank);
    return size;
  }

  BottleneckForm form_;
};

}  // namespace

const Strategy& compacter(const BottleneckForm& form) { return strategy_of_form<Compacter>(form); }
const Strategy& compacter() { return compacter(BottleneckForm{}); }

}  // namespace taut::finetune
