// Drill 8: the power goes. Every call of a run that changes the file system is written down; a model of a disk replays
// any prefix of them and forgets what was not synced, in four ways: the data of files, the entries of folders, both, or
// the data beyond what was synced read as zeros. What the disk then holds must go on from the last checkpoint that the
// program had called finished.
#include <algorithm>
#include <optional>

#include "tests/drills/faults.h"

namespace taut::study {
namespace {

namespace fs = std::filesystem;

enum class Loss { kData, kEntries, kBoth, kZeros };

class Disk {
 public:
  // `root` is there already and its entry is safe.
  explicit Disk(std::string root) : root_(std::move(root)) { nodes_.push_back({Kind::kFolder, {}, {}, {}, {}}); }

  void apply(const Change& c) {
    if (c.call == "create") {
      enter(c.path, make(Kind::kFile, c.inode));
    } else if (c.call == "mkdir") {
      enter(c.path, make(Kind::kFolder, c.inode));
    } else if (c.call == "symlink") {
      enter(c.path, make(Kind::kLink, c.inode));
      nodes_.back().data = nodes_.back().safe_data = c.bytes;
    } else if (c.call == "truncate") {
      nodes_[of_.at(c.inode)].data.resize(static_cast<size_t>(c.number));
    } else if (c.call == "write") {
      std::string& data = nodes_[of_.at(c.inode)].data;
      const size_t end = static_cast<size_t>(c.number) + c.bytes.size();
      if (data.size() < end) data.resize(end);
      data.replace(static_cast<size_t>(c.number), c.bytes.size(), c.bytes);
    } else if (c.call == "fsync") {
      Node& node = nodes_[c.path == root_ ? 0 : of_.at(c.inode)];
      node.safe_data = node.data;
      node.safe_entries = node.entries;
    } else if (c.call == "rename") {
      auto& from = folder_of(c.path).entries;
      const size_t moved = from.at(name_of(c.path));
      from.erase(name_of(c.path));
      folder_of(c.to).entries[name_of(c.to)] = moved;
    } else if (c.call == "unlink") {
      folder_of(c.path).entries.erase(name_of(c.path));
    } else {
      FAIL("unknown call " << c.call);
    }
  }

  // What is left under `to` when the power goes now.
  void leave(Loss loss, const std::string& to) const {
    fs::remove_all(to);
    leave(nodes_[0], loss, to);
  }

 private:
  enum class Kind { kFile, kFolder, kLink };
  struct Node {
    Kind kind;
    std::string data, safe_data;
    std::map<std::string, size_t> entries, safe_entries;
  };

  size_t make(Kind kind, uint64_t inode) {
    of_[inode] = nodes_.size();  // numbers are used again after a file is gone
    nodes_.push_back({kind, {}, {}, {}, {}});
    return nodes_.size() - 1;
  }
  static std::string name_of(const std::string& path) { return fs::path(path).filename().string(); }
  Node& folder_of(const std::string& path) {
    REQUIRE(path.starts_with(root_ + "/"));
    size_t at = 0;
    const fs::path inside = fs::path(path.substr(root_.size() + 1)).parent_path();
    for (const fs::path& part : inside) at = nodes_[at].entries.at(part.string());
    return nodes_[at];
  }
  void enter(const std::string& path, size_t node) { folder_of(path).entries[name_of(path)] = node; }

  void leave(const Node& node, Loss loss, const std::string& path) const {
    if (node.kind == Kind::kLink) return fs::create_symlink(node.data, path);
    if (node.kind == Kind::kFile) {
      std::string data = loss == Loss::kEntries ? node.data : node.safe_data;
      if (loss == Loss::kZeros) data.resize(std::max(data.size(), node.data.size()));
      return write_text(path, data);
    }
    fs::create_directories(path);
    const bool forgets = loss == Loss::kEntries || loss == Loss::kBoth;
    for (const auto& [name, child] : forgets ? node.safe_entries : node.entries)
      leave(nodes_[child], loss, path + "/" + name);
  }

  std::string root_;
  std::vector<Node> nodes_;
  std::map<uint64_t, size_t> of_;  // where an inode's newest holder is
};

// The step of a checkpoint's final name, if that is where the rename goes.
std::optional<int64_t> checkpoint_at(const Change& c) {
  const std::string name = fs::path(c.to).filename().string();
  if (c.call != "rename" || !name.starts_with("step-")) return std::nullopt;
  if (fs::path(c.to).parent_path().filename() != "ckpt") return std::nullopt;
  return std::stoll(name.substr(5));
}

TEST_CASE("drill 8: whatever was not synced is lost at any call of a run, and the run goes on") {
  const TinyRun tiny;
  const auto calm = tiny.calm();
  const std::string log = tiny.folder / "log", root = tiny.folder / "disk";
  fs::create_directory(root);
  const Outcome o = tiny.train("disk/run", {.path = "/disk", .log = log});
  CAPTURE(o.err);
  REQUIRE(o.code == 0);
  const std::vector<Change> changes = read_changes(log);
  CHECK(changes.size() > 250);

  Disk disk(root);
  int64_t renamed = -1, finished = -1, states = 0, resumed = 0;
  for (size_t i = 0; i < changes.size(); ++i) {
    disk.apply(changes[i]);
    if (const auto step = checkpoint_at(changes[i])) renamed = *step;
    if (changes[i].call == "fsync" && changes[i].path.ends_with("/ckpt")) finished = renamed;
    if (changes[i].call == "write" && i % 8 != 0 && !long_form()) continue;
    for (const Loss loss : {Loss::kData, Loss::kEntries, Loss::kBoth, Loss::kZeros}) {
      CAPTURE(i);
      CAPTURE(changes[i].call);
      CAPTURE(changes[i].path);
      CAPTURE(static_cast<int>(loss));
      const std::string cut = tiny.folder / "cut";
      disk.leave(loss, cut);
      const int64_t step = newest_step(cut + "/run");
      CHECK(step >= finished);
      ++states;
      // A run that is done looks at nothing any more: what comes back after its last calls stays.
      if (states % 41 != 0 && i + 8 < changes.size() && !long_form()) continue;
      const Outcome after = tiny.train("cut/run");
      CAPTURE(after.err);
      REQUIRE(after.code == 0);
      CHECK((step <= 0 || after.err.find("resumed at step") != std::string::npos ||
             after.err.find("already done") != std::string::npos));
      CHECK(promised_files(cut + "/run") == calm);
      CHECK(strays(cut + "/run").empty());
      ++resumed;
    }
  }
  CHECK(finished == 12);
  CHECK(states > 1000);
  CHECK(resumed > 20);
}

}  // namespace
}  // namespace taut::study
