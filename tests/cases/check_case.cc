#include "tests/cases/check_case.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <list>

#include "autograd/engine.h"
#include "kernels/lab/mismatches.h"
#include "kernels/parallel.h"
#include "kernels/red_zones.h"
#include "tests/cases/choice.h"
#include "tests/cases/differences.h"
#include "tests/cases/taped_gradients.h"

namespace taut::cases {
namespace {

std::vector<Var> make_vars(const std::vector<Tensor>& inputs, const std::vector<bool>& mask) {
  std::vector<Var> vars;
  for (size_t i = 0; i < inputs.size(); ++i) vars.emplace_back(inputs[i], mask[i]);
  return vars;
}

// The same values one element off any alignment.
Tensor misaligned(const Tensor& t) {
  Tensor buffer = Tensor::empty({t.numel() + 1}, t.dtype(), t.device());
  Tensor view = buffer.slice(0, 1, t.numel()).reshape(t.shape());
  view.copy_from(t);
  return view;
}

// Equal in NaN, infinity with its sign, and finite.
bool same_kinds(const std::vector<double>& a, const std::vector<double>& b) {
  const auto kind = [](double v) { return std::isnan(v) ? 2 : std::isinf(v) ? (v > 0 ? 1 : -1) : 0; };
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [&](double x, double y) { return kind(x) == kind(y); });
}

// The process's settings as they were, whatever happens in between.
class Settings {
 public:
  ~Settings() {
    set_num_threads(threads_);
    set_cpu_isa_for_testing(isa_);
  }

 private:
  const int threads_ = num_threads();
  const Isa isa_ = cpu_isa();
};

// One check after the other; each that fails adds to `detail`.
class Checker {
 public:
  Checker(const OpCase& c, DType dtype, Device device, bool red_zones)
      : c_(c), dtype_(dtype), device_(device), mask_(differentiable(c)) {
    red_zones_.emplace_back(Device{});
    if (red_zones && !on_cpu_) red_zones_.emplace_back(device);
    has_gradients_ = std::find(mask_.begin(), mask_.end(), true) != mask_.end();
  }

  Verdict run() {
    for (const RedZones& zones : red_zones_) take_red_zone_faults(zones.device());  // of whoever came before
    inputs_ = make_inputs(c_, dtype_, device_);
    std::vector<Tensor> before;
    for (const Tensor& t : inputs_) before.push_back(t.clone());
    base_ = run_case(c_, inputs_, mask_);
    for (size_t i = 0; i < inputs_.size(); ++i) expect(same_bytes(inputs_[i], before[i]), "input {} was changed", i);
    for (size_t o = 0; o < base_.outputs.size(); ++o) dy_.push_back(make_upstream(c_, o, base_.outputs[o]));
    expect_red_zones(base_, inputs_, "in the first run");
    compare_outputs();
    if (has_gradients_) compare_gradients();
    if (!on_cpu_) compare_with_cpu();
    if (on_cpu_ || is_small(c_)) {
      same_bytes_however_it_runs();
      every_needs_mask();
      if (c_.exact && !(dtype_ == DType::kBF16 && c_.stores_between)) exact_integers();
      special_values();
    }
    expect_red_zones({}, {}, "in another run");
    red_zones_.clear();
    if (on_cpu_ && dtype_ == DType::kF64 && has_gradients_ && c_.smooth) {
      const Differences d = central_differences(c_, inputs_, mask_);
      judge("gradient against central differences", d.analytic, d.numeric, {std::ssize(d.numeric)}, kDifferenceLimit);
    }
    return std::move(verdict_);
  }

 private:
  template <class... Args>
  void expect(bool ok, fmt::format_string<Args...> format, Args&&... args) {
    if (ok) return;
    if (!verdict_.detail.empty()) verdict_.detail += "; ";
    verdict_.detail += fmt::format(format, std::forward<Args>(args)...);
    verdict_.judgement.pass = false;
  }

  void judge(const std::string& what, const std::vector<double>& got, const std::vector<double>& wanted,
             const Shape& shape, double limit) {
    const double error = relative_error(got, wanted);
    verdict_.judgement.add(error, limit);
    if (error <= limit) return;
    expect(false, "{}: error {:.3g} over its limit {:.3g}, {}", what, error, limit,
           lab::mismatches(got, wanted, shape, limit, epsilon()));
  }
  double epsilon() const {
    if (dtype_ == DType::kF64) return std::numeric_limits<double>::epsilon();
    if (dtype_ == DType::kBF16) return 0x1p-7;
    return c_.tf32 ? 0x1p-10 : std::numeric_limits<float>::epsilon();
  }

  // What was written beside memory since the last call. `ran` and `inputs` are alive; what is neither they nor dy, the
  // op made for itself.
  void expect_red_zones(const Ran& ran, const std::vector<Tensor>& inputs, const std::string& how) {
    for (const RedZones& zones : red_zones_)
      for (const RedZoneFault& fault : take_red_zone_faults(zones.device())) {
        std::string what = "memory that the op made";
        const auto look_in = [&](const char* name, const std::vector<Tensor>& tensors) {
          for (size_t i = 0; i < tensors.size(); ++i) {
            if (fault.released || !tensors[i].defined() || tensors[i].device() != zones.device()) continue;
            const auto offset = tensors[i].raw() - static_cast<const std::byte*>(fault.memory);
            if (offset >= 0 && offset <= static_cast<int64_t>(fault.bytes)) what = fmt::format("{} {}", name, i);
          }
        };
        look_in("gradient", ran.gradients);
        look_in("upstream gradient", dy_);
        look_in("output", ran.outputs);
        look_in("input", inputs);
        expect(false, "{} has {} bytes, and byte {} was written {}", what, fault.bytes, fault.at, how);
      }
  }

  double limit_of(const std::vector<double>& plain, const std::vector<double>& wanted, double f64_limit) const {
    if (dtype_ == DType::kF64) return f64_limit;
    if (dtype_ == DType::kBF16) {
      constexpr double kMostOnCpu = 1e-2;
      const double limit = bf16_budget(plain, wanted);
      return device_.kind == DeviceKind::kCpu ? std::min(limit, kMostOnCpu) : limit;
    }
    if (c_.tf32) return tf32_budget(plain, wanted);
    return budget(plain, wanted, c_.winograd ? kWinogradFactor : kBudgetFactor);
  }

  // What the plain loop of this precision reads.
  std::vector<Tensor> as_read(const std::vector<Tensor>& tensors) const {
    if (!c_.tf32) return tensors;
    std::vector<Tensor> read;
    for (const Tensor& t : tensors) {
      std::vector<double> values = t.to_doubles();
      if (is_floating(t.dtype()))
        for (double& v : values) v = rounded_to_tf32(v);
      read.push_back(Tensor::from(values, t.shape()));
    }
    return read;
  }
  static std::vector<double> as_stored(DType dtype, std::vector<double> values) {
    if (dtype == DType::kBF16)
      for (double& v : values) v = rounded_to_bf16(v);
    return values;
  }

  void expect_not_all_zero(const std::string& what, const std::vector<double>& values) {
    const bool all_zero = std::all_of(values.begin(), values.end(), [](double v) { return v == 0; });
    expect(values.empty() || c_.zeros || !all_zero, "{} is zero everywhere", what);
  }

  void compare_outputs() {
    const Values wanted = to_values(c_.oracle.f64(to_arrays<double>(inputs_)));
    Values plain(wanted.size());
    if (dtype_ != DType::kF64) plain = to_values(c_.oracle.f32(to_arrays<float>(as_read(inputs_))));
    TAUT_CHECK(base_.outputs.size() == wanted.size(), "[{}] expected {} outputs, got {}", c_.op, wanted.size(),
               base_.outputs.size());
    for (size_t o = 0; o < wanted.size(); ++o) {
      const std::vector<double> got = base_.outputs[o].to_doubles();
      const double limit = limit_of(plain[o], wanted[o], kF64Limit);
      judge(fmt::format("output {}", o), got, wanted[o], base_.outputs[o].shape(), limit);
      expect_not_all_zero(fmt::format("output {}", o), got);
    }
  }

  void compare_gradients() {
    const Values wanted = oracle_gradients<double>(c_, inputs_, dy_, mask_);
    Values plain(mask_.size());
    if (dtype_ != DType::kF64) plain = oracle_gradients<float>(c_, as_read(inputs_), as_read(dy_), mask_);
    for (size_t i = 0; i < mask_.size(); ++i) {
      if (!mask_[i]) continue;
      const Tensor& dx = base_.gradients[i];
      const bool fits = dx.defined() && dx.shape() == inputs_[i].shape() && dx.dtype() == dtype_;
      expect(fits, "gradient {} is {}", i, to_string(dx, 0));
      if (!fits) continue;
      const std::vector<double> got = dx.to_doubles();
      const double limit = limit_of(plain[i], wanted[i], kF64GradientLimit);
      judge(fmt::format("gradient {}", i), got, wanted[i], dx.shape(), limit);
      expect_not_all_zero(fmt::format("gradient {}", i), got);
    }
  }

  void compare_with_cpu() {
    const Ran cpu = run_case(c_, make_inputs(c_, dtype_, Device{}), mask_);
    for (size_t o = 0; o < cpu.outputs.size(); ++o) verdict_.equals_cpu &= same_bytes(cpu.outputs[o], base_.outputs[o]);
    for (size_t i = 0; i < mask_.size(); ++i)
      verdict_.equals_cpu &= !mask_[i] || same_bytes(cpu.gradients[i], base_.gradients[i]);
    expect(verdict_.equals_cpu || dtype_ != DType::kF32 || c_.winograd || c_.tf32, "other bytes than on the cpu");
  }

  void expect_same(const Ran& ran, const std::vector<bool>& mask, const std::string& how) {
    expect_same(ran, mask, how, inputs_);
  }
  void expect_same(const Ran& ran, const std::vector<bool>& mask, const std::string& how,
                   const std::vector<Tensor>& inputs) {
    expect_red_zones(ran, inputs, how);
    for (size_t o = 0; o < ran.outputs.size(); ++o)
      expect(same_bytes(ran.outputs[o], base_.outputs[o]), "output {} has other bytes {}", o, how);
    for (size_t i = 0; i < mask.size(); ++i)
      expect(!mask[i] || same_bytes(ran.gradients[i], base_.gradients[i]), "gradient {} has other bytes {}", i, how);
  }

  void same_bytes_however_it_runs() {
    expect_same(run_case(c_, inputs_, mask_), mask_, "in a second run");
    const Settings restored;
    for (const int n : {1, 3}) {
      if (!on_cpu_) continue;
      set_num_threads(n);
      expect_same(run_case(c_, inputs_, mask_), mask_, fmt::format("with {} threads", n));
    }
    std::vector<Tensor> views;
    for (const Tensor& t : inputs_) views.push_back(misaligned(t));
    expect_same(run_case(c_, views, mask_), mask_, "on misaligned memory", views);
    if (on_cpu_ && set_cpu_isa_for_testing(cpu_isa() == Isa::kAvx512 ? Isa::kAvx2 : Isa::kAvx512))
      expect_same(run_case(c_, inputs_, mask_), mask_, fmt::format("on {}", name(cpu_isa())));
  }

  void every_needs_mask() {
    std::vector<size_t> wanting;
    for (size_t i = 0; i < mask_.size(); ++i)
      if (mask_[i]) wanting.push_back(i);
    // All of up to six; of more, one or two of them and all but one or two, for there are hundreds.
    const auto n = static_cast<int>(wanting.size());
    for (size_t bits = 1; bits + 1 < size_t{1} << n; ++bits) {
      const int count = std::popcount(bits);
      if (n > 6 && count > 2 && count < n - 2) continue;
      std::vector<bool> mask(mask_.size(), false);
      std::string text;
      for (size_t j = 0; j < wanting.size(); ++j) {
        if ((bits >> j & 1) == 0) continue;
        mask[wanting[j]] = true;
        text += fmt::format("{}{}", text.empty() ? "" : ", ", wanting[j]);
      }
      expect_same(run_case(c_, inputs_, mask), mask, fmt::format("where only {} want gradients", text));
      only_what_is_asked(mask, text);
    }
  }

  // Asks the node itself, recorded with every need, for the gradients of `mask` alone.
  void only_what_is_asked(const std::vector<bool>& mask, const std::string& text) {
    const std::vector<Var> vars = make_vars(inputs_, mask_);
    const std::vector<Var> outputs = c_.run(vars);
    const auto& node = outputs[0].info()->node;
    if (node == nullptr || node->outputs != std::ssize(outputs)) return;  // an op made of several nodes
    Needs needs(node->inputs.size(), false);
    for (size_t k = 0; k < needs.size(); ++k) {
      if (node->inputs[k] == nullptr) continue;
      const auto at = std::find_if(vars.begin(), vars.end(), [&](const Var& v) { return v.info() == node->inputs[k]; });
      if (at == vars.end()) return;
      needs[k] = mask[static_cast<size_t>(at - vars.begin())];
    }
    const Grads dx = node->backward(dy_, needs);
    for (size_t k = 0; k < needs.size(); ++k)
      expect(needs[k] || !dx[k].defined(), "backward made gradient {} where only {} want one", k, text);
  }

  void exact_integers() {
    const std::vector<Tensor> inputs = make_inputs(c_, dtype_, device_, true);
    const Ran ran = run_case(c_, inputs, mask_, true);
    const Values wanted = to_values(c_.oracle.f64(to_arrays<double>(inputs)));
    Grads dy;
    for (size_t o = 0; o < ran.outputs.size(); ++o) {
      expect(ran.outputs[o].to_doubles() == as_stored(ran.outputs[o].dtype(), wanted[o]),
             "output {} of whole numbers is not exact", o);
      dy.push_back(make_upstream(c_, o, ran.outputs[o], true));
    }
    if (!has_gradients_) return;
    const Values gradients = oracle_gradients<double>(c_, inputs, dy, mask_);
    for (size_t i = 0; i < mask_.size(); ++i)
      expect(!mask_[i] || ran.gradients[i].to_doubles() == as_stored(ran.gradients[i].dtype(), gradients[i]),
             "gradient {} of whole numbers is not exact", i);
  }

  void special_values() {
    if (c_.specials == Specials::kNone) return;
    // In these modes a library may do the work, which promises nothing of what is not finite.
    if (device_.kind == DeviceKind::kCuda && (c_.tf32 || dtype_ == DType::kBF16)) return;
    std::vector<double> specials{std::nan("")};
    constexpr double kInfinity = std::numeric_limits<double>::infinity();
    if (c_.specials == Specials::kAll) specials.insert(specials.end(), {kInfinity, -kInfinity});
    const std::vector<bool> none(inputs_.size(), false);
    for (size_t i = 0; i < inputs_.size(); ++i) {
      if (!is_floating(inputs_[i].dtype()) || inputs_[i].numel() == 0) continue;
      for (const double special : specials) {
        std::vector<Tensor> inputs = inputs_;
        std::vector<double> values = inputs[i].to_doubles();
        values[values.size() / 2] = special;
        inputs[i] = Tensor::from(values, inputs[i].shape()).to(dtype_).to(device_);
        const Values wanted = to_values(c_.oracle.f64(to_arrays<double>(inputs)));
        const Ran ran = run_case(c_, inputs, none);
        for (size_t o = 0; o < wanted.size(); ++o)
          expect(same_kinds(ran.outputs[o].to_doubles(), wanted[o]), "output {}: {} in input {} comes out elsewhere", o,
                 special, i);
      }
    }
  }

  const OpCase& c_;
  const DType dtype_;
  const Device device_;
  const bool on_cpu_ = device_.kind == DeviceKind::kCpu;
  const std::vector<bool> mask_;
  bool has_gradients_ = false;
  std::vector<Tensor> inputs_;
  Grads dy_;
  Ran base_;
  std::list<RedZones> red_zones_;  // of the host's memory and, where they are asked for, the device's
  Verdict verdict_;
};

}  // namespace

std::vector<bool> differentiable(const OpCase& c) {
  std::vector<bool> mask;
  for (const Input& input : c.inputs) mask.push_back(input.differentiable && input.classes == 0);
  return mask;
}

namespace {

// `upstream` makes dy of the outputs, where gradients are asked for.
template <class Upstream>
Ran run_with(const OpCase& c, const std::vector<Tensor>& inputs, const std::vector<bool>& mask, Upstream&& upstream) {
  const std::vector<Var> vars = make_vars(inputs, mask);
  const std::vector<Var> outputs = c.run(vars);
  Ran ran;
  ran.gradients.resize(inputs.size());
  for (const Var& v : outputs) ran.outputs.push_back(v.value());
  std::vector<Var> wanted;
  for (size_t i = 0; i < vars.size(); ++i)
    if (mask[i]) wanted.push_back(vars[i]);
  if (wanted.empty()) return ran;
  const Grads dx = gradients(outputs, upstream(ran.outputs), wanted);
  for (size_t i = 0, k = 0; i < vars.size(); ++i)
    if (mask[i]) ran.gradients[i] = dx[k++];
  return ran;
}

}  // namespace

Ran run_case(const OpCase& c, const std::vector<Tensor>& inputs, const std::vector<bool>& mask, bool integers) {
  return run_with(c, inputs, mask, [&](const std::vector<Tensor>& outputs) {
    Grads dy;
    for (size_t o = 0; o < outputs.size(); ++o) dy.push_back(make_upstream(c, o, outputs[o], integers));
    return dy;
  });
}

Ran run_case(const OpCase& c, const std::vector<Tensor>& inputs, const std::vector<bool>& mask, const Grads& dy) {
  return run_with(c, inputs, mask, [&](const std::vector<Tensor>&) { return dy; });
}

Verdict check_case(const OpCase& c, DType dtype, Device device, bool red_zones) {
  const Settings restored;
  try {
    return Checker(c, dtype, device, red_zones).run();
  } catch (const Error& e) {
    if (device.kind != DeviceKind::kCpu && (e.code() == Exit::kMemory || e.code() == Exit::kUnavailable))
      throw;  // the device's failure, no case's
    Verdict v;
    v.judgement.pass = false;
    v.detail = e.what();
    return v;
  }
}

Verdict check_reject(const RejectCase& c) {
  Verdict v;
  try {
    c.call();
    v.detail = "expected to be refused";
  } catch (const Error& e) {
    if (std::string(e.what()).find(c.message) == std::string::npos)
      v.detail = fmt::format("expected a message with '{}', got '{}'", c.message, e.what());
    else if (e.code() != c.code)
      v.detail = fmt::format("expected exit code {}, got {}", static_cast<int>(c.code), static_cast<int>(e.code()));
  }
  v.judgement.pass = v.detail.empty();
  return v;
}

}  // namespace taut::cases
