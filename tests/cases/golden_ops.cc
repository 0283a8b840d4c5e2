// Golden cases of kind `op`: inputs `in.X`, outputs `out.I`, upstream gradients `dy.I`, gradients `grad.X`.
#include <functional>

#include "autograd/engine.h"
#include "autograd/ops.h"
#include "tests/cases/golden.h"

namespace taut::cases {
namespace {

// The inputs of a case as vars, by name.
class Inputs {
 public:
  explicit Inputs(GoldenCase& c) {
    for (const std::string& name : c.names()) {
      if (!name.starts_with("in.")) continue;
      const Tensor t = c.tensor(name);
      const bool floating = is_floating(t.dtype());
      vars_.emplace(name.substr(3), Var(floating ? t.to(c.dtype()) : t, floating));
    }
  }
  const Var& operator[](const std::string& name) const {
    const auto it = vars_.find(name);
    if (it == vars_.end()) fail(Exit::kBadData, "[golden] expected an input 'in.{}'", name);
    return it->second;
  }
  Var optional(const std::string& name) const { return vars_.contains(name) ? vars_.at(name) : Var(); }
  const std::map<std::string, Var>& all() const { return vars_; }

 private:
  std::map<std::string, Var> vars_;
};

using RunOp = std::function<std::vector<Var>(const Inputs&, const nlohmann::json&)>;

RunOp unary(Var (*op)(const Var&)) {
  return [op](const Inputs& in, const nlohmann::json&) -> std::vector<Var> { return {op(in["x"])}; };
}
RunOp binary(Var (*op)(const Var&, const Var&)) {
  return [op](const Inputs& in, const nlohmann::json&) -> std::vector<Var> { return {op(in["a"], in["b"])}; };
}
RunOp along_dim(Var (*op)(const Var&, int64_t)) {
  return [op](const Inputs& in, const nlohmann::json& attrs) -> std::vector<Var> {
    return {op(in["x"], attrs.at("dim").get<int64_t>())};
  };
}

std::vector<Var> cross_entropy(const Inputs& in, const nlohmann::json& attrs) {
  static const std::map<std::string, ops::Reduction> kReductions{
      {"mean", ops::Reduction::kMean}, {"sum", ops::Reduction::kSum}, {"none", ops::Reduction::kNone}};
  const std::string reduction = attrs.at("reduction");
  return {ops::cross_entropy(in["x"], in["target"].value(), attrs.at("label_smoothing"), kReductions.at(reduction))};
}

// q, k, v (b, h, t, d) each -> (b, t, 3, h, d), and back from (b, t, h d).
std::vector<Var> attention(const Inputs& in, const nlohmann::json& attrs) {
  if (attrs.at("layout") != "b h t d") fail(Exit::kBadData, "[golden] unknown layout {}", attrs.at("layout").dump());
  const Shape s = in["q"].shape();
  const int64_t b = s.at(0), heads = s.at(1), t = s.at(2), d = s.at(3);
  std::vector<Var> parts;
  for (const char* name : {"q", "k", "v"})
    parts.push_back(ops::reshape(ops::permute(in[name], {0, 2, 1, 3}), {b, t, 1, heads, d}));
  const Var y = ops::attention(ops::concat(parts, 2), attrs.at("scale"));
  return {ops::permute(ops::reshape(y, {b, t, heads, d}), {0, 2, 1, 3})};
}

std::vector<Var> phm_linear(const Inputs& in, const nlohmann::json& attrs) {
  if (!attrs.value("row_vector", true)) fail(Exit::kBadData, "[golden] expected the row-vector convention");
  return {ops::phm_linear(in["x"], in["rule"], in["left"], in["right"], in.optional("b"))};
}

// Images of the cases are (n, c, h, w), ours (n, h, w, c).
Var to_nhwc(const Var& x) { return ops::permute(x, {0, 2, 3, 1}); }
Var to_nchw(const Var& x) { return ops::permute(x, {0, 3, 1, 2}); }

std::vector<Var> batch_norm(const Inputs& in, const nlohmann::json& attrs) {
  const Tensor mean = in["running_mean"].value().clone(), variance = in["running_var"].value().clone();
  const Var y = ops::batch_norm(to_nhwc(in["x"]), in["w"], in["b"], mean, variance, attrs.at("training"),
                                attrs.at("momentum"), attrs.at("eps"));
  return {to_nchw(y), Var(mean), Var(variance)};
}

// One number for rows and columns, or a pair.
HW pair_of(const nlohmann::json& value) {
  return value.is_array() ? HW(value.at(0), value.at(1)) : HW(value.get<int64_t>());
}

std::vector<Var> conv2d(const Inputs& in, const nlohmann::json& attrs) {
  if (attrs.at("layout") != "nchw oihw") fail(Exit::kBadData, "[golden] unknown layout {}", attrs.at("layout").dump());
  const Var& w = in["w"];
  const nlohmann::json& padding = attrs.at("padding");
  ops::Conv2d how;
  if (padding == "same")
    how = ops::same_padding({w.size(2), w.size(3)}, pair_of(attrs.at("dilation")));
  else if (padding != "valid")
    how.padding = pair_of(padding);
  how.stride = pair_of(attrs.at("stride"));
  how.dilation = pair_of(attrs.at("dilation"));
  how.groups = attrs.at("groups");
  return {to_nchw(ops::conv2d(to_nhwc(in["x"]), w, in.optional("b"), how))};
}

// Without a stride, or with null, windows lie side by side.
HW stride_of(const nlohmann::json& attrs) {
  return attrs.contains("stride") && !attrs.at("stride").is_null() ? pair_of(attrs.at("stride")) : 0;
}

std::vector<Var> max_pool(const Inputs& in, const nlohmann::json& attrs) {
  return {to_nchw(
      ops::max_pool(to_nhwc(in["x"]), pair_of(attrs.at("kernel")), stride_of(attrs), pair_of(attrs.at("padding"))))};
}

std::vector<Var> avg_pool(const Inputs& in, const nlohmann::json& attrs) {
  return {to_nchw(ops::avg_pool(to_nhwc(in["x"]), pair_of(attrs.at("kernel")), stride_of(attrs),
                                pair_of(attrs.at("padding")), attrs.value("count_include_pad", true)))};
}

std::vector<Var> adaptive_avg_pool(const Inputs& in, const nlohmann::json& attrs) {
  const HW size = pair_of(attrs.at("output"));
  return {to_nchw(ops::adaptive_avg_pool(to_nhwc(in["x"]), size.h, size.w))};
}

const std::map<std::string, RunOp>& table() {
  static const std::map<std::string, RunOp> kTable{
      {"add", binary(ops::add)},
      {"sub", binary(ops::sub)},
      {"mul", binary(ops::mul)},
      {"div", binary(ops::div)},
      {"relu", unary(ops::relu)},
      {"gelu_erf", unary(ops::gelu_erf)},
      {"gelu_tanh", unary(ops::gelu_tanh)},
      {"silu", unary(ops::silu)},
      {"tanh", unary(ops::tanh)},
      {"sigmoid", unary(ops::sigmoid)},
      {"exp", unary(ops::exp)},
      {"log", unary(ops::log)},
      {"sqrt", unary(ops::sqrt)},
      {"softmax", along_dim(ops::softmax)},
      {"log_softmax", along_dim(ops::log_softmax)},
      {"matmul",
       [](const Inputs& in, const nlohmann::json&) -> std::vector<Var> { return {ops::matmul(in["a"], in["b"])}; }},
      {"linear",
       [](const Inputs& in, const nlohmann::json&) -> std::vector<Var> {
         return {ops::linear(in["x"], in["w"], in.optional("b"))};
       }},
      {"low_rank",
       [](const Inputs& in, const nlohmann::json& attrs) -> std::vector<Var> {
         return {ops::low_rank(in["x"], in["w"], in.optional("bias"), {in["a"]}, {in["b"]}, attrs.at("scale"))};
       }},
      {"phm_linear", phm_linear},
      {"layer_norm",
       [](const Inputs& in, const nlohmann::json& attrs) -> std::vector<Var> {
         return {ops::layer_norm(in["x"], in["w"], in["b"], attrs.at("eps"))};
       }},
      {"cross_entropy", cross_entropy},
      {"attention", attention},
      {"batch_norm", batch_norm},
      {"conv2d", conv2d},
      {"max_pool2d", max_pool},
      {"avg_pool2d", avg_pool},
      {"adaptive_avg_pool2d", adaptive_avg_pool},
  };
  return kTable;
}

}  // namespace

void run_golden_op(GoldenCase& c) {
  const std::string op = c.attrs().at("op");
  const auto run = table().find(op);
  if (run == table().end()) return c.unsupported(fmt::format("operator '{}' is not known", op));
  const Inputs in(c);
  std::vector<Var> outputs = run->second(in, c.attrs());
  for (size_t i = 0; i < outputs.size(); ++i) c.compare(fmt::format("out.{}", i), outputs[i].value(), kGoldenOp);
  // The last ones may have no gradient: running statistics.
  while (!outputs.empty() && !outputs.back().requires_grad()) outputs.pop_back();
  Grads dy;
  for (size_t i = 0; i < outputs.size(); ++i) dy.push_back(c.tensor(fmt::format("dy.{}", i)).to(c.dtype()));
  std::vector<Var> wanted;
  std::vector<std::string> names;
  for (const auto& [name, var] : in.all()) {
    if (!c.has("grad." + name)) continue;
    names.push_back("grad." + name);
    wanted.push_back(var);
  }
  const Grads dx = gradients(outputs, dy, wanted);
  for (size_t i = 0; i < dx.size(); ++i) c.compare(names[i], dx[i], kGoldenOp);
}

}  // namespace taut::cases
