#include "study/import/yaml.h"

#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <sstream>

#include "kernels/error.h"
#include "study/text_file.h"
#include "tensor/files/file_bytes.h"

namespace taut::study {
namespace {

using Kind = YamlNode::Kind;

// Builds the tree from the parser's events, so that a bomb is refused before it grows.
class Builder : public YAML::EventHandler {
 public:
  explicit Builder(std::string name) : name_(std::move(name)) {}
  std::vector<YamlNode> documents;

  void OnDocumentStart(const YAML::Mark&) override {
    open_.clear();
    anchors_.clear();
  }
  void OnDocumentEnd() override {}

  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override { leaf(mark, node(Kind::kNull, mark), anchor); }

  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                const std::string& value) override {
    check_tag(mark, tag);
    YamlNode scalar = node(Kind::kScalar, mark);
    scalar.quoted = tag == "!";
    scalar.text = value;
    const bool none = !scalar.quoted && (value == "~" || value == "null" || value == "Null" || value == "NULL");
    if (none) scalar = node(Kind::kNull, mark);
    leaf(mark, std::move(scalar), anchor);
  }

  void OnAlias(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    const auto it = anchors_.find(anchor);
    if (it == anchors_.end()) refuse(mark, "expected no alias of what is around it");
    const YamlNode copy = it->second.second;
    count(mark, it->second.first);
    add(mark, copy, it->second.first);
  }

  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value) override {
    begin(Kind::kList, mark, tag, anchor);
  }
  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value) override {
    begin(Kind::kMap, mark, tag, anchor);
  }
  void OnSequenceEnd() override { end(); }
  void OnMapEnd() override { end(); }

 private:
  struct Open {
    YamlNode node;
    YAML::anchor_t anchor = 0;
    size_t nodes = 1;      // with those below it
    bool has_key = false;  // of a map: the next node is the value of `key`
    std::string key;
    YAML::Mark mark;
  };

  [[noreturn]] void refuse(const YAML::Mark& mark, const std::string& why) const {
    fail(Exit::kBadData, "[{}:{}] {}", name_, mark.line + 1, why);
  }

  // Words like !!python/object make a loader run code; here nothing but YAML's own types has a meaning.
  void check_tag(const YAML::Mark& mark, const std::string& tag) const {
    static const std::string kOwn = "tag:yaml.org,2002:";
    static const std::vector<std::string> kTypes = {"str", "int", "float", "bool", "null", "seq", "map"};
    const bool known = tag.empty() || tag == "?" || tag == "!" ||
                       (tag.starts_with(kOwn) && std::ranges::count(kTypes, tag.substr(kOwn.size())) > 0);
    if (!known) refuse(mark, fmt::format("expected plain YAML, got the tag '{}'", tag.substr(0, 80)));
  }

  static YamlNode node(Kind kind, const YAML::Mark& mark) {
    YamlNode made;
    made.kind = kind;
    made.line = mark.line + 1;
    return made;
  }

  void count(const YAML::Mark& mark, size_t nodes) {
    nodes_ += nodes;
    if (nodes_ > YamlLimits::kNodes)
      refuse(mark, fmt::format("expected at most {} values of {} characters, every alias counted as what it stands for",
                               YamlLimits::kNodes, YamlLimits::kText));
  }

  void leaf(const YAML::Mark& mark, YamlNode made, YAML::anchor_t anchor) {
    const size_t nodes = 1 + made.text.size() / YamlLimits::kText;
    count(mark, nodes);
    if (anchor != 0) anchors_[anchor] = {nodes, made};
    add(mark, std::move(made), nodes);
  }

  void begin(Kind kind, const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor) {
    check_tag(mark, tag);
    count(mark, 1);
    if (open_.size() >= YamlLimits::kDepth) refuse(mark, fmt::format("expected at most {} levels", YamlLimits::kDepth));
    if (!open_.empty() && open_.back().node.is_map() && !open_.back().has_key)
      refuse(mark, "expected a scalar as a key");
    Open& opened = open_.emplace_back();
    opened.node = node(kind, mark);
    opened.anchor = anchor;
    opened.mark = mark;
  }

  void end() {
    Open closed = std::move(open_.back());
    open_.pop_back();
    if (closed.anchor != 0) anchors_[closed.anchor] = {closed.nodes, closed.node};
    add(closed.mark, std::move(closed.node), closed.nodes);
  }

  void add(const YAML::Mark& mark, YamlNode made, size_t nodes) {
    if (open_.empty()) {
      if (made.kind != Kind::kNull) documents.push_back(std::move(made));
      return;
    }
    Open& around = open_.back();
    around.nodes += nodes;
    if (!around.node.is_map()) {
      around.node.items.push_back(std::move(made));
      return;
    }
    if (around.has_key) {
      around.node.fields.emplace_back(around.key, std::move(made));
      around.has_key = false;
      return;
    }
    if (made.kind != Kind::kScalar && made.kind != Kind::kNull) refuse(mark, "expected a scalar as a key");
    around.key = made.kind == Kind::kNull ? "null" : made.text;
    if (around.key == "<<" && !made.quoted) refuse(mark, "expected no merge key; hint: write the fields out");
    if (around.node.find(around.key) != nullptr)
      refuse(mark, fmt::format("expected each key once, got '{}' twice", around.key.substr(0, 80)));
    around.has_key = true;
  }

  std::string name_;
  std::vector<Open> open_;
  std::map<YAML::anchor_t, std::pair<size_t, YamlNode>> anchors_;
  size_t nodes_ = 0;
};

}  // namespace

const YamlNode* YamlNode::find(const std::string& key) const {
  const auto it = std::ranges::find_if(fields, [&](const auto& field) { return field.first == key; });
  return it == fields.end() ? nullptr : &it->second;
}

std::string YamlNode::to_text() const {
  std::string all;
  switch (kind) {
    case Kind::kNull: return "null";
    case Kind::kScalar: return text;
    case Kind::kList:
      for (const YamlNode& item : items) all += (all.empty() ? "" : ", ") + item.to_text();
      return "[" + all + "]";
    case Kind::kMap:
      for (const auto& [key, value] : fields) all += (all.empty() ? "" : ", ") + key + ": " + value.to_text();
      return "{" + all + "}";
  }
  return all;
}

std::vector<YamlNode> parse_yaml(const std::string& text, const std::string& name) {
  if (text.size() > YamlLimits::kBytes)
    fail(Exit::kBadData, "[{}] expected a file of settings of at most {} bytes, got {}", name, YamlLimits::kBytes,
         text.size());
  if (!is_utf8(text)) fail(Exit::kBadData, "[{}] expected UTF-8", name);
  Builder builder(name);
  try {
    std::istringstream stream(text);
    YAML::Parser parser(stream);
    while (parser.HandleNextDocument(builder)) {
    }
  } catch (const YAML::Exception& error) {
    fail(Exit::kBadData, "[{}:{}] is no YAML: {}", name, error.mark.line + 1, error.msg);
  }
  return std::move(builder.documents);
}

std::vector<YamlNode> read_yaml(const std::string& path) {
  std::error_code error;
  const auto bytes = std::filesystem::file_size(path, error);
  if (!error && bytes > YamlLimits::kBytes)
    fail(Exit::kBadData, "[{}] expected a file of settings of at most {} bytes, got {}", path, YamlLimits::kBytes,
         bytes);
  return parse_yaml(read_text_file(path), path);
}

}  // namespace taut::study
