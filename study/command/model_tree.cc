#include "study/command/model_tree.h"

#include <algorithm>
#include <memory>

#include "kernels/error.h"

namespace taut::study {
namespace {

// "blocks.0.norm1" of "blocks.0.norm1.weight".
std::pair<std::string, std::string> layer_and_name(const std::string& path) {
  const size_t dot = path.rfind('.');
  if (dot == std::string::npos) return {path, ""};
  return {path.substr(0, dot), path.substr(dot + 1)};
}

struct Node {
  std::string name;
  ModelLayer sum;  // of everything below; tensors and output are its own
  std::vector<std::unique_ptr<Node>> children;

  Node& child(const std::string& wanted) {
    for (const auto& c : children)
      if (c->name == wanted) return *c;
    children.push_back(std::make_unique<Node>());
    children.back()->name = wanted;
    return *children.back();
  }
  void add(const ModelLayer& layer) {
    sum.trainable += layer.trainable;
    sum.parameters += layer.parameters;
    sum.flops += layer.flops;
  }
};

void add_rows(const Node& node, const std::string& mark, const std::string& indent, std::vector<Row>& rows) {
  rows.push_back({{"layer", mark + node.name + (node.sum.trainable > 0 ? " *" : "")},
                  {"tensors", node.sum.tensors},
                  {"output", node.sum.output},
                  {"trainable", node.sum.trainable},
                  {"parameters", node.sum.parameters},
                  {"mflop", node.sum.flops * 1e-6}});
  for (const auto& child : node.children) {
    const bool last = child == node.children.back();
    add_rows(*child, indent + (last ? "└─ " : "├─ "), indent + (last ? "   " : "│  "), rows);
  }
}

}  // namespace

std::vector<ModelLayer> layers_of(const nn::Model& net) {
  std::vector<ModelLayer> layers;
  const auto list = [&](const nn::NamedParameter& p, const char* what) -> ModelLayer& {
    const auto [path, name] = layer_and_name(p.path);
    size_t at = 0;
    while (at < layers.size() && layers[at].path != path) ++at;
    if (at == layers.size()) layers.push_back({.path = path, .tensors = "", .output = ""});
    ModelLayer& l = layers[at];
    l.tensors += fmt::format("{}{}{}{}", l.tensors.empty() ? "" : ", ", name.empty() ? "" : name + " ",
                             to_string(p.var.shape()), what);
    return l;
  };
  for (const nn::NamedParameter& p : net.parameters()) {
    ModelLayer& l = list(p, p.var.requires_grad() ? "*" : "");
    l.parameters += p.var.value().numel();
    if (p.var.requires_grad()) l.trainable += p.var.value().numel();
  }
  for (const nn::NamedBuffer& b : net.buffers()) list(b, " buffer");

  size_t after = 0;
  for (const nn::LayerCost& cost : net.config().layer_costs()) {
    size_t at = 0;
    while (at < layers.size() && layers[at].path != cost.path) ++at;
    if (at == layers.size())
      layers.insert(layers.begin() + static_cast<int64_t>(at = after + 1),
                    {.path = cost.path, .tensors = "no parameters", .output = ""});
    layers[at].output = to_string(cost.output);
    layers[at].flops = cost.flops;
    after = at;
  }
  return layers;
}

std::vector<Row> layer_rows(const std::vector<ModelLayer>& layers) {
  std::vector<Row> rows;
  for (const ModelLayer& l : layers) {
    Row row = {{"layer", l.path}, {"tensors", l.tensors}, {"trainable", l.trainable}, {"parameters", l.parameters}};
    if (!l.output.empty()) {
      row["output"] = l.output;
      row["mflop"] = l.flops * 1e-6;
    }
    rows.push_back(std::move(row));
  }
  return rows;
}

std::vector<Row> tree_rows(const std::string& name, const std::vector<ModelLayer>& layers) {
  Node root;
  root.name = name;
  for (const ModelLayer& l : layers) {
    Node* node = &root;
    node->add(l);
    for (size_t from = 0, dot; from <= l.path.size(); from = dot + 1) {
      dot = std::min(l.path.find('.', from), l.path.size());
      node = &node->child(l.path.substr(from, dot - from));
      node->add(l);
    }
    node->sum.tensors = l.tensors;
    node->sum.output = l.output;
  }
  std::vector<Row> rows;
  add_rows(root, "", "", rows);
  return rows;
}

}  // namespace taut::study
