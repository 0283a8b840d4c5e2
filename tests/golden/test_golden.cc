// The golden cases of this folder, and that a case whose numbers were changed does not pass.
#include <doctest/doctest.h>

#include <cmath>
#include <cstdlib>
#include <filesystem>

#include "tensor/atomic_file.h"
#include "tensor/safetensors.h"
#include "tests/selftest.h"

namespace fs = std::filesystem;
using namespace taut;

namespace {

const fs::path kCases = fs::path(TAUT_SOURCE_DIR) / "tests/golden";

void check_all_pass(const std::vector<selftest::Row>& rows) {
  for (const selftest::Row& row : rows) {
    if (row.at("status") == "unsupported") continue;
    INFO(row.dump());
    CHECK(row.at("status") == "pass");
    CHECK(row.at("max_error").get<double>() <= row.at("limit").get<double>());
    // A gradient of a deep net with kinks in f32 is the loosest that there is.
    CHECK(row.at("limit").get<double>() <= (row.at("kind") == "resnet" ? 0.5 : 1e-2));
  }
}

// A fresh folder that is removed at the end.
struct Folder {
  fs::path path = fs::temp_directory_path() / ("taut-golden-" + std::to_string(std::rand()));
  Folder() { fs::create_directories(path); }
  ~Folder() { fs::remove_all(path); }
};

using Named = std::vector<std::pair<std::string, Tensor>>;

// What becomes of one case with these tensors and this metadata instead of its own.
selftest::Row run_changed(const Named& tensors, const std::map<std::string, std::string>& metadata,
                          DType dtype = DType::kF64) {
  const Folder folder;
  write_safetensors((folder.path / "changed.safetensors").string(), tensors, metadata);
  return selftest::run_golden(folder.path.string(), dtype)[0];
}

struct Loaded {
  Named tensors;
  std::map<std::string, std::string> metadata;
  explicit Loaded(const std::string& name) {
    const SafetensorsFile file = SafetensorsFile::open((kCases / (name + ".safetensors")).string());
    for (const std::string& tensor : file.names()) tensors.emplace_back(tensor, file.read(tensor));
    metadata = file.metadata();
  }
};

// The same values but for one, changed by about a hundred thousandth of the largest (or by one, for whole numbers).
Tensor changed(const Tensor& t) {
  std::vector<double> values = t.to_doubles();
  size_t at = 0;
  for (size_t i = 0; i < values.size(); ++i)
    if (std::abs(values[i]) >= std::abs(values[at])) at = i;
  if (t.dtype() == DType::kBool)
    values[at] = 1 - values[at];
  else if (is_floating(t.dtype()))
    values[at] *= t.dtype() == DType::kF32 ? 1 + 1e-3 : 1 + 1e-5;
  else
    values[at] += values[at] > 0 ? -1 : 1;
  return Tensor::from(values, t.shape()).to(t.dtype());
}

}  // namespace

TEST_CASE("the project's own golden cases pass in f64 and f32") {
  const auto rows = selftest::run_golden(kCases.string());
  CHECK(rows.size() >= 54);
  CHECK(selftest::exit_code(rows) == 0);
  check_all_pass(rows);
  check_all_pass(selftest::run_golden(kCases.string(), DType::kF32));
}

TEST_CASE("the golden cases of a shared folder pass") {
  const char* named = std::getenv("TAUT_SHARED");
  const fs::path folder = (named != nullptr ? fs::path(named) : fs::path(TAUT_SOURCE_DIR) / "../shared") / "golden";
  if (!fs::exists(folder)) {
    MESSAGE("skipped: there is no folder " << folder.string() << " (TAUT_SHARED names another)");
    return;
  }
  const auto rows = selftest::run_golden(folder.string());
  CHECK(selftest::exit_code(rows) == 0);
  check_all_pass(rows);
}

TEST_CASE("a case with one changed number fails, whichever number it is") {
  for (const char* name : {"op.linear", "op.cross_entropy_ls0.1", "op.attention_small", "op.phm_rank2", "op.add_outer",
                           "peft.lp", "peft.compacter", "train.lp", "train.ia3", "resize.bicubic_64x48_17x29",
                           "posembed.4x4_6x5", "attack.bim", "model.vit_hf_small", "op.batch_norm_train", "op.avg_pool",
                           "op.conv2d_3x3s2", "op.conv2d_pairs", "op.conv2d_same", "op.max_pool_pairs"}) {
    const Loaded loaded(name);
    for (size_t i = 0; i < loaded.tensors.size(); ++i) {
      const std::string& tensor = loaded.tensors[i].first;
      if (tensor.ends_with("attention.key.bias")) continue;  // rounding noise: never compared
      if (tensor == "in.p" || tensor == "in.x") continue;    // one of many pixels need not be seen
      Named tensors = loaded.tensors;
      tensors[i].second = changed(tensors[i].second);
      INFO(name << " " << tensor);
      CHECK(run_changed(tensors, loaded.metadata).at("status") == "fail");
    }
  }
}

TEST_CASE("a model in f32 is judged: a result or a gradient that is off fails") {
  for (const char* name : {"model.resnet18", "model.vit_hf_small", "peft.lora"}) {
    const Loaded loaded(name);
    CHECK(run_changed(loaded.tensors, loaded.metadata, DType::kF32).at("status") == "pass");
    auto metadata = loaded.metadata;
    auto attrs = nlohmann::json::parse(metadata.at("attrs"));
    attrs.erase("images");
    metadata["attrs"] = attrs.dump();
    CHECK(run_changed(loaded.tensors, metadata, DType::kF32).at("status") == "fail");
    for (size_t i = 0; i < loaded.tensors.size(); i += 9) {
      const auto& [tensor, value] = loaded.tensors[i];
      if (tensor.ends_with("attention.key.bias") || value.dtype() != DType::kF64) continue;
      Named tensors = loaded.tensors;
      std::vector<double> values = value.to_doubles();
      for (double& v : values) v *= tensor.starts_with("grad_") ? 1.5 : 1.001;
      tensors[i].second = Tensor::from(values, value.shape()).to(DType::kF64);
      INFO(name << " " << tensor);
      CHECK(run_changed(tensors, loaded.metadata, DType::kF32).at("status") == "fail");
    }
  }
}

TEST_CASE("a tensor more or less, another size or another count fails") {
  const Loaded loaded("peft.lora");
  CHECK(run_changed(loaded.tensors, loaded.metadata).at("status") == "pass");
  Named tensors = loaded.tensors;
  tensors.emplace_back("out.9", Tensor::zeros({2}, DType::kF64));
  CHECK(run_changed(tensors, loaded.metadata).at("detail").get<std::string>().find("out.9") != std::string::npos);
  for (size_t i = 0; i < loaded.tensors.size(); i += 7) {
    tensors = loaded.tensors;
    tensors.erase(tensors.begin() + static_cast<int64_t>(i));
    CHECK(run_changed(tensors, loaded.metadata).at("status") == "fail");
  }
  const auto with_attrs = [&](auto&& edit) {
    auto metadata = loaded.metadata;
    auto attrs = nlohmann::json::parse(metadata.at("attrs"));
    edit(attrs);
    metadata["attrs"] = attrs.dump();
    return run_changed(loaded.tensors, metadata).at("status").get<std::string>();
  };
  CHECK(with_attrs([](auto& a) { a["trainable"] = a["trainable"].template get<int>() + 1; }) == "fail");
  CHECK(with_attrs([](auto& a) { a["total"] = a["total"].template get<int>() - 1; }) == "fail");
  CHECK(with_attrs([](auto& a) { a["names"].erase(a["names"].begin()); }) == "fail");
  CHECK(with_attrs([](auto& a) { a["names"]["vit.layernorm.weight"]["trainable"] = true; }) == "fail");
  CHECK(with_attrs([](auto& a) { a.erase("images"); }) == "fail");
}

TEST_CASE("what is not known is unsupported and not passed over") {
  const Loaded loaded("op.linear");
  auto metadata = loaded.metadata;
  metadata["kind"] = "unheard-of";
  const selftest::Row kind = run_changed(loaded.tensors, metadata);
  CHECK(kind.at("status") == "unsupported");
  CHECK(selftest::exit_code({kind}) == 1);
  CHECK(selftest::exit_code({kind}, "another") == 1);
  CHECK(selftest::exit_code({kind}, "unheard") == 0);
  metadata = loaded.metadata;
  metadata["attrs"] = R"({"op": "no_such_op"})";
  CHECK(run_changed(loaded.tensors, metadata).at("status") == "unsupported");
  metadata = loaded.metadata;
  metadata["format"] = "taut-golden-2";
  CHECK(run_changed(loaded.tensors, metadata).at("status") == "fail");
}

TEST_CASE("a damaged file fails its case, a missing folder is an error") {
  const Folder folder;
  CHECK_THROWS_AS(selftest::run_golden(folder.path.string()), Error);
  CHECK_THROWS_AS(selftest::run_golden((folder.path / "none").string()), Error);
  write_file_atomically((folder.path / "junk.safetensors").string(), std::string(64, '\xff'));
  CHECK(selftest::run_golden(folder.path.string())[0].at("status") == "fail");
}
