// The command line: exit codes, messages that name what was wrong, and output formats.
#include <dlfcn.h>
#include <sqlite3.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <nlohmann/json.hpp>

#include "nn/init.h"
#include "nn/models.h"
#include "nn/weights.h"
#include "study/command/model_tree.h"
#include "study/output.h"
#include "study/run/model.h"
#include "tensor/atomic_file.h"
#include "tensor/npz_writer.h"
#include "tensor/safetensors.h"
#include "tests/study/support.h"
#include "tests/weight_files.h"

namespace taut::study {
namespace {

TEST_CASE("what is wrong is named, on standard error alone, with the documented code") {
  const TempFolder folder;
  const std::string junk = folder / "junk.safetensors", csv = folder / "img/labels.csv";
  write_text(junk, std::string(64, '\xff'));
  write_text(folder / "img/cut.jpg", std::string("\xff\xd8\xff\xe0") + std::string(20, '\0'));
  write_text(csv, "file,class_index\ncut.jpg,0\n");
  write_text(folder / "study.toml", "attack.epss = 1\n");
  const std::string model = "model.name=vit_demo", data = "data.path=procedural:easy",
                    weights = "model.weights=" + junk;
  const struct {
    std::vector<std::string> arguments;
    int code;
    std::string word;
  } cases[] = {
      {{"nonsense"}, 2, "nonsense"},
      {{"study", "rn"}, 2, "run"},
      {{"eval", "model.wieghts=x"}, 2, "model.weights"},
      {{"eval", "model.name=vit_bsae_patch16_224", data}, 2, "vit_base_patch16_224"},
      {{"eval", model, data}, 2, "model.weights"},
      {{"eval", model, data, "model.weights=/none.safetensors"}, 66, "/none.safetensors"},
      {{"eval", model, data, weights}, 65, "junk.safetensors"},
      {{"attack", "pgd", model, data, weights, "attack.eps=-1"}, 2, "attack.eps"},
      {{"attack", "pdg", model}, 2, "pgd"},
      {{"attack", "mtpgd", model, data, weights, "attack.loss=ce"}, 2, "[attack.loss] the attack mtpgd does not take"},
      {{"attack", "bim", model, data, weights, "attack.restarts=2"}, 2, "[attack.restarts] the attack bim"},
      {{"attack", "pgd", model, data, weights, "attack.targets=2"}, 2, "hint: mtpgd attempts targets"},
      {{"train", "--preset", "smoke", "attack.name=fgsm", "attack.steps=3", "--out", folder / "x"},
       2,
       "[attack.steps] the attack fgsm"},
      {{"eval", model, "-o", "xml"}, 2, "xml"},
      {{"eval", model, "--device", "cuda"}, 69, "cuda"},
      {{"eval", model, "--device", "gpu"}, 2, "gpu"},
      {{"models", "show", "vit_demo", "model.strategy=lroa"}, 2, "lora"},
      {{"train", "--preset", "smok", "--out", folder / "x"}, 2, "smoke"},
      {{"train", "-c", folder / "study.toml", "--out", folder / "x"}, 2, "attack.eps"},
      {{"train", "model.name=vit_demo", "--out", folder / "x"}, 2, "data.path"},
      {{"train", "model.name=vit_demo", "data.path=/none", "--out", folder / "x"}, 66, "/none"},
      {{"study", "run", "/none.toml", "--out", folder / "x"}, 66, "/none.toml"},
      {{"study", "status", folder / "nowhere"}, 66, "nowhere"},
      {{"bench", "model", "vit_demo", "--pass", "sideways"}, 2, "sideways"},
      {{"bench", "model", "vit_demo", "--dtype", "f16"}, 2, "model.precision"},
      {{"kernel", "bench", "conv2d", "--shape", "8x14x14x64x64"}, 2, "six sizes"},
      {{"kernel", "bench", "conv2d", "--shape", "8x14x14x64x0x3"}, 2, "character 12"},
      {{"kernel", "bench", "conv2d", "--shape", "8x14x14x64x64x3:g3"}, 2, "groups that divide"},
      {{"kernel", "bench", "conv2d", "--shape", "8x14x14x64x64x3:d8:p0"}, 2, "fits into the padded image"},
      {{"kernel", "bench", "conv2d", "--shape", "8x14x14x64x64x3:s0"}, 2, "1 to 100000"},
      {{"kernel", "bench", "conv2d", "--shape", "8x14x14x64x64x3:s2:s2"}, 2, "option s once"},
      {{"kernel", "bench", "conv2d", "--shape", "8x14x14x64x64x3:k2"}, 2, "d (dilation)"},
      {{"kernel", "bench", "conv2d", "--shape", "8x14x14x64x64x3:"}, 2, "d (dilation)"},
      {{"kernel", "bench", "conv2d", "--shape", "8x14x14x64x64x3s2x"}, 2, "character 19"},
      {{"weights", "convert", junk, folder / "o.safetensors", "--names", "hf", "--shard-size", "0"},
       2,
       "[--shard-size]"},
      {{"weights", "convert", junk, folder / "o.safetensors", "--names", "hf", "--drop", "["}, 2, "[--drop]"},
      {{"train", "--preset", "smoke"}, 2, "--out"},
      {{"train", "--preset", "smoke", "--out", "/proc/none"}, 74, "/proc/none"},
  };
  for (const auto& c : cases) {
    const Outcome o = taut(c.arguments);
    CAPTURE(c.arguments.back());
    CAPTURE(o.err);
    CHECK(o.code == c.code);
    CHECK(o.err.find(c.word) != std::string::npos);
    CHECK(o.out.empty());
  }
}

TEST_CASE("the example of a convolution in --help is one, and the old spelling of a stride too") {
  const Outcome help = taut({"kernel", "bench", "conv2d", "--help"});
  CHECK(help.code == 0);
  const std::string example = "1x9x9x8x8x3x1:s2x1:p1x0:g4";
  CHECK(help.out.find(example) != std::string::npos);
#ifndef TAUT_DEBUG_BUILD
  const Outcome o = taut({"kernel", "bench", "conv2d", "--shape", example + ",1x9x9x8x8x3s2", "--pass", "forward", "-t",
                          "1", "-o", "json"});
  CAPTURE(o.err);
  REQUIRE(o.code == 0);
  const auto rows = nlohmann::json::parse(o.out);
  REQUIRE(rows.size() == 2);
  CHECK(rows[0].at("shape") == example);
  for (const auto& row : rows) CHECK(row.at("gflops").get<double>() > 0);
#endif
}

TEST_CASE("the tree of a model: subtotals are sums over the flat rows, and nothing is left out") {
  for (const char* name : {"vit_demo", "cifar_resnet20", "resnet50", "vnncomp_resnet2b"}) {
    CAPTURE(name);
    const std::shared_ptr<nn::ModelConfig> config = nn::model_config(name);
    const std::shared_ptr<nn::Model> net = config->build();
    net->head->weight.set_requires_grad(true);
    const std::vector<ModelLayer> layers = layers_of(*net);
    const std::vector<Row> tree = tree_rows(name, layers);
    CHECK(tree[0].at("layer") == std::string(name) + " *");
    CHECK(tree[0].at("parameters") == config->parameter_count());
    CHECK(tree[0].at("trainable") == net->head->weight.value().numel());
    CHECK(tree[0].at("mflop").get<double>() == doctest::Approx(config->forward_flops() * 1e-6).epsilon(1e-12));
    std::vector<std::string> path;  // of the row that is looked at, from the lines of the drawing
    size_t found = 0;
    for (size_t i = 1; i < tree.size(); ++i) {
      const std::string text = tree[i].at("layer");
      const size_t branch = text.find("─ ");
      REQUIRE(branch != std::string::npos);
      size_t characters = 0;
      for (size_t at = 0; at < branch; ++at) characters += (static_cast<unsigned char>(text[at]) & 0xc0) != 0x80;
      path.resize(characters / 3);
      std::string last = text.substr(branch + std::string("─ ").size());
      const bool trains = last.ends_with(" *");
      if (trains) last.resize(last.size() - 2);
      path.push_back(last);
      const std::string prefix = fmt::format("{}", fmt::join(path, "."));
      int64_t parameters = 0, trainable = 0;
      double flops = 0;
      for (const ModelLayer& l : layers) {
        if (l.path != prefix && !l.path.starts_with(prefix + ".")) continue;
        parameters += l.parameters;
        trainable += l.trainable;
        flops += l.flops;
        if (l.path != prefix) continue;
        ++found;
        CHECK(tree[i].at("tensors") == l.tensors);
        CHECK(tree[i].at("output") == l.output);
      }
      CAPTURE(prefix);
      CHECK(tree[i].at("parameters") == parameters);
      CHECK(tree[i].at("trainable") == trainable);
      CHECK(trains == (trainable > 0));
      CHECK(tree[i].at("mflop").get<double>() == doctest::Approx(flops * 1e-6).epsilon(1e-12));
    }
    CHECK(found == layers.size());
  }
}

TEST_CASE("models show prints the tree with columns in line; JSON stays flat") {
  const Outcome shown = taut({"models", "show", "cifar_resnet20", "model.strategy=bn"});
  CHECK(shown.code == 0);
  CHECK(shown.out.find("│  ├─ conv1") != std::string::npos);
  std::istringstream lines(shown.out);
  size_t width = 0;
  for (std::string line; std::getline(lines, line);) {
    size_t characters = 0;
    for (const char c : line) characters += (static_cast<unsigned char>(c) & 0xc0) != 0x80;
    if (width != 0 && characters != 0) CHECK(characters == width);
    width = characters;
  }
  const Outcome json = taut({"models", "show", "cifar_resnet20", "-o", "json"});
  CHECK(json.out.find("\"layer1.0.conv1\"") != std::string::npos);
  CHECK(json.out.find("─") == std::string::npos);
}

TEST_CASE("weights: a table of any file, what it is, and conversion") {
  const TempFolder folder;
  const std::string base = std::string(TAUT_SOURCE_DIR) + "/tests/golden/adapters/base.safetensors",
                    bin = std::string(TAUT_SOURCE_DIR) + "/tests/golden/adapters/hub_adapter/study/pytorch_adapter.bin";
  const Outcome inspected = taut({"weights", "inspect", base, "-o", "json"});
  CAPTURE(inspected.err);
  REQUIRE(inspected.code == 0);
  CHECK(inspected.err.find("hf names, ViT of width 32, 2 blocks, patch 4 at 8, 5 classes") != std::string::npos);
  const auto rows = nlohmann::json::parse(inspected.out);
  CHECK(rows.size() == 8 + 2 * 16);
  for (const char* field : {"name", "shape", "dtype", "min", "max", "mean", "non_finite"})
    CHECK(rows[0].contains(field));
  CHECK(nlohmann::json::parse(taut({"weights", "inspect", bin, "-o", "json"}).out).size() == 16);

  const std::string timm = folder / "timm.safetensors", hf = folder / "hf.safetensors";
  CHECK(taut({"weights", "convert", base, timm, "--names", "timm"}).code == 0);
  CHECK(taut({"weights", "convert", timm, hf, "--names", "hf"}).code == 0);
  CHECK(read_text_file(hf) == read_text_file(base));
  const Outcome unknown = taut({"weights", "convert", bin, hf, "--names", "hf"});
  CHECK(unknown.code == 65);
  CHECK(taut({"weights", "convert", base, hf, "--names", "keras"}).code == 2);
  CHECK(taut({"weights", "convert", base, folder / "x.npz", "--names", "google"}).code == 65);
  CHECK(taut({"weights", "inspect", "/none.npz"}).code == 66);
  for (const char* names : {"timm", "adapterhub", "peft"}) {
    const Outcome none = taut({"weights", "convert", "/none.safetensors", folder / "out", "--names", names});
    CHECK(none.code == 66);
    CHECK(none.err.find("/none.safetensors") != std::string::npos);
  }

  const std::string odd = folder / "odd.safetensors";
  std::string header = R"({"d":{"dtype":"F64","shape":[3],"data_offsets":[0,24]},)"
                       R"("f":{"dtype":"F8_E4M3","shape":[8],"data_offsets":[24,32]}})";
  header.resize((header.size() + 7) / 8 * 8, ' ');
  const double doubles[3] = {NAN, 1, -3};
  std::string bytes(8, '\0');
  const uint64_t length = header.size();
  std::memcpy(bytes.data(), &length, 8);
  bytes += header + std::string(reinterpret_cast<const char*>(doubles), sizeof doubles) + std::string(8, '\x7f');
  write_file_atomically(odd, bytes);
  const Outcome types = taut({"weights", "inspect", odd, "-o", "json"});
  const auto typed = nlohmann::json::parse(types.out);
  CHECK(typed[0].at("min") == -3);
  CHECK(typed[0].at("mean") == -1);
  CHECK(typed[0].at("non_finite") == 1);
  CHECK(typed[1].at("non_finite").is_null());
  const std::string large = folder / "large.safetensors";
  write_safetensors(large, {{"d", Tensor::from(std::vector<double>{1.5e308, 1.7e308, 1.6e308}, {3})}});
  CHECK(nlohmann::json::parse(taut({"weights", "inspect", large, "-o", "json"}).out)[0].at("mean").get<double>() ==
        doctest::Approx(1.6e308));
  CHECK(types.err.find("11 elements, 1 of them not finite, 8 of types whose values are not read here") !=
        std::string::npos);
}

TEST_CASE("weights without a head, and with one of another size, are told apart when a new one is drawn") {
  const TempFolder folder;
  const std::string file = folder / "w.safetensors";
  testing::Tensors tensors = testing::tensors_of(nn::Vit(nn::vit_config("vit_demo")), nn::NameStyle::kTimm);
  const auto said = [&](const std::string& words) {
    write_safetensors(file, tensors);
    const std::vector<std::string> notes = training_model(tiny_run().config, file, 7).notes;
    return std::ranges::count(notes,
                              "the head of w.safetensors " + words + ": a new one of 7 classes is drawn from seed 0");
  };
  CHECK(said("has another size") == 1);
  std::erase_if(tensors, [&](const auto& t) { return t.first.starts_with("head."); });
  CHECK(said("is missing") == 1);
}

TEST_CASE("mtpgd says how many targets there were to attempt, however many were asked for") {
  const TempFolder folder;
  const std::string file = folder / "w.safetensors";
  nn::Vit vit(nn::vit_config("vit_demo", "timm", 5));
  nn::init_model(vit, 1);
  write_safetensors(file, testing::tensors_of(vit, nn::NameStyle::kTimm));
  for (const auto& [asked, there] : {std::pair{"9", 4}, {"2", 2}}) {
    const Outcome o = taut({"attack", "mtpgd", "model.name=vit_demo", "model.classes=5", "model.weights=" + file,
                            "data.path=procedural:easy", "data.limit=2", "attack.steps=1",
                            std::string("attack.targets=") + asked, "-o", "json"});
    CAPTURE(o.err);
    REQUIRE(o.code == 0);
    CHECK(nlohmann::json::parse(o.out).at(0).at("targets") == there);
  }
}

TEST_CASE("weights: names out of a file command no terminal, and files may have names that are no UTF-8") {
  const TempFolder folder;
  const std::string file = folder / "escapes.safetensors", raw =
                                                               "\x1b]0;OWNED\x07\xc2\x9b"
                                                               "31mred \xc3\xa9";
  write_safetensors(file, {{raw, Tensor::zeros({1})}});
  const Outcome table = taut({"weights", "inspect", file});
  CAPTURE(table.out);
  REQUIRE(table.code == 0);
  CHECK(table.out.find("\\x1b]0;OWNED\\x07\\xc2\\x9b31mred \xc3\xa9 |") != std::string::npos);
  for (const char* control : {"\x1b", "\x07", "\xc2\x9b"}) CHECK(table.out.find(control) == std::string::npos);
  // Data stays what it is.
  CHECK(nlohmann::json::parse(taut({"weights", "inspect", file, "-o", "json"}).out)[0].at("name") == raw);

  const std::string array = folder / "\xff.npy", flags = folder / "flags.npz";
  write_npz(flags, {{"f", Tensor::from(std::vector<double>{1, 0, 1}, {3}).to(DType::kBool)}});
  const Outcome typed = taut({"weights", "inspect", flags, "-o", "json"});
  CAPTURE(typed.err);
  REQUIRE(typed.code == 0);
  CHECK(nlohmann::json::parse(typed.out)[0].at("dtype") == "BOOL");
  // The array of the archive, which is stored as it is.
  const std::string zip = read_text_file(flags);
  const size_t begin = zip.find("\x93NUMPY");
  write_file_atomically(array, zip.substr(begin, zip.find("PK\x01\x02") - begin));
  const Outcome named = taut({"weights", "inspect", array, "-o", "json"});
  CAPTURE(named.err);
  REQUIRE(named.code == 0);
  CHECK(nlohmann::json::parse(named.out)[0].at("name") == "\\xff");
}

TEST_CASE("a run's delta as peft's and AdapterHub's folders judges like the delta") {
  const TempFolder folder;
  write_text(folder / "tiny.toml", kTinyStudy);
  const std::string run = folder / "run", weights = folder / "base.safetensors", delta = run + "/delta.safetensors";
  nn::Vit vit(nn::vit_config("vit_demo"));
  nn::init_model(vit, 5);
  std::vector<std::pair<std::string, Tensor>> tensors;
  for (const nn::NameEntry& e : nn::name_map(vit.config(), nn::NameStyle::kTimm))
    tensors.emplace_back(e.external, nn::file_of_rows(e, vit.parameter(e.path).value()));
  write_safetensors(weights, tensors);
  const Outcome trained = taut({"train", "-c", folder / "tiny.toml", "model.weights=" + weights, "--out", run});
  CAPTURE(trained.err);
  REQUIRE(trained.code == 0);
  const auto judged = [&](const std::string& with, const std::string& strategy) {
    const Outcome o = taut({"eval", "model.name=vit_demo", "model.weights=" + weights, "model.delta=" + with,
                            "model.classes=5", strategy, "data.path=procedural:easy", "data.limit=40", "-o", "json"});
    CAPTURE(o.err);
    REQUIRE(o.code == 0);
    return nlohmann::json::parse(o.out)[0];
  };
  const auto own = judged(delta, "model.strategy=lora");
  for (const std::string names : {"peft", "adapterhub"}) {
    const std::string to = folder / names;
    const Outcome converted = taut({"weights", "convert", delta, to, "--names", names});
    CAPTURE(converted.err);
    REQUIRE(converted.code == 0);
    const auto theirs = judged(to, "eval.batch=8");
    CHECK(theirs.at("top1_correct") == own.at("top1_correct"));
    CHECK(theirs.at("mean_loss").get<double>() == doctest::Approx(own.at("mean_loss").get<double>()).epsilon(1e-6));
    const Outcome wrong = taut({"eval", "model.name=vit_demo", "model.weights=" + weights, "model.delta=" + to,
                                "model.classes=5", "model.strategy=ia3", "data.path=procedural:easy"});
    CHECK(wrong.code == 2);
    CHECK(wrong.err.find("lora") != std::string::npos);
  }
}

TEST_CASE("an environment variable that is no setting is refused") {
  const Outcome o = taut({"models", "show", "vit_demo"}, "TAUT_CFG_MODEL_CLASES=3");
  CHECK(o.code == 2);
  CHECK(o.err.find("TAUT_CFG_MODEL_CLASSES") != std::string::npos);
}

TEST_CASE("-o json is one array of flat objects and nothing else") {
  const std::vector<std::vector<std::string>> commands = {{"models", "show", "vit_demo"},
                                                          {"models", "ls"},
                                                          {"ls", "strategies"},
                                                          {"ls", "attacks"},
                                                          {"ls", "datasets"},
                                                          {"ls", "presets"},
                                                          {"ls", "models"},
                                                          {"ls", "settings"},
                                                          {"doctor"},
                                                          {"doctor", "--backends"},
                                                          {"study", "plan", "smoke"}};
  for (std::vector<std::string> command : commands) {
    CAPTURE(command.front());
    command.insert(command.end(), {"-o", "json"});
    const Outcome o = taut(command);
    CHECK(o.code == 0);
    const auto json = nlohmann::json::parse(o.out, nullptr, false);
    REQUIRE(json.is_array());
    CHECK(!json.empty());
    for (const auto& row : json) {
      CHECK(row.is_object());
      for (const auto& value : row) CHECK(value.is_primitive());
    }
  }
}

TEST_CASE("doctor says which of the vendor's libraries were found") {
  const auto rows = nlohmann::json::parse(taut({"doctor", "--backends", "-o", "json"}).out);
  REQUIRE(rows.size() == 3);
  CHECK(rows[0].at("libraries") == "");
  CHECK(rows[1].at("libraries") == "cuBLASLt, cuDNN");  // the twins
  const std::string found = rows[2].at("libraries");
  if (!rows[2].at("compiled").get<bool>()) CHECK(found.empty());
  // None is found that the loader does not find, in whatever version the toolkit's headers are of.
  const auto installed = [](const std::string& name) {
    for (int major = 8; major < 20; ++major)
      if (dlopen(("lib" + name + ".so." + std::to_string(major)).c_str(), RTLD_LAZY | RTLD_LOCAL) != nullptr)
        return true;
    return false;
  };
  for (const auto& [name, file] : {std::pair{"cuBLASLt", "cublasLt"}, {"cuDNN", "cudnn"}}) {
    CAPTURE(name);
    if (found.find(name) != std::string::npos) CHECK(installed(file));
  }
}

TEST_CASE("formats") {
  const std::vector<Row> rows = {{{"a", 1}, {"b", "x,\"y\""}}, {{"a", 0.1}, {"c", nullptr}}};
  CHECK(to_text(rows, Format::kCsv) == "a,b,c\n1,\"x,\"\"y\"\"\",\n0.1,,\n");
  CHECK(to_text(rows, Format::kJsonl) == "{\"a\":1,\"b\":\"x,\\\"y\\\"\"}\n{\"a\":0.1,\"c\":null}\n");
  CHECK(to_text({}, Format::kJson) == "[]\n");
  CHECK(to_text({}, Format::kSql).empty());
  const std::string md = to_text({{{"k", "a|b"}, {"v", 1.23456789}}}, Format::kMarkdown);
  CHECK(md.find("a\\|b") != std::string::npos);
  CHECK(md.find("1.23457") != std::string::npos);
}

TEST_CASE("rows as SQL are what SQLite reads back") {
  const std::vector<Row> rows = {{{"op", "it's"}, {"n", 3}, {"share", 0.5}, {"good", true}},
                                 {{"op", "b"}, {"n", nullptr}}};
  sqlite3* database = nullptr;
  REQUIRE(sqlite3_open(":memory:", &database) == SQLITE_OK);
  const std::string text = to_text(rows, Format::kSql);
  for (int i = 0; i < 2; ++i)  // the table is made once
    CHECK(sqlite3_exec(database, text.c_str(), nullptr, nullptr, nullptr) == SQLITE_OK);
  std::string got;
  const auto take = [](void* to, int count, char** values, char**) {
    for (int i = 0; i < count; ++i) *static_cast<std::string*>(to) += std::string(values[i] ? values[i] : "NULL") + ";";
    return 0;
  };
  const char* const query = "SELECT op, n, typeof(n), share, good, typeof(share) FROM taut_rows LIMIT 2";
  CHECK(sqlite3_exec(database, query, take, &got, nullptr) == SQLITE_OK);
  CHECK(got == "it's;3;integer;0.5;1;real;b;NULL;null;NULL;NULL;null;");
  sqlite3_close(database);
}

TEST_CASE("a study runs, reports, and goes on; a run that fails is a row and the study says so") {
  const TempFolder folder;
  const std::string study = folder / "tiny.toml", out = folder / "out";
  write_text(study, kTinyStudy);
  const Outcome first = taut({"study", "run", study, "--out", out, "--progress", "none"});
  CAPTURE(first.err);
  REQUIRE(first.code == 0);
  CHECK(first.out.ends_with("report/index.html\n"));
  CHECK(first.out.find("| strategy") != std::string::npos);
  CHECK(std::filesystem::exists(out + "/report/areas.csv"));
  const Outcome status = taut({"study", "status", out, "-o", "json"});
  const auto rows = nlohmann::json::parse(status.out);
  REQUIRE(rows.size() == 2);
  for (const auto& row : rows) {
    CHECK(row.at("state") == "done");
    CHECK(row.at("step") == 12);
  }
  const auto before = promised_files(out + "/runs");
  CHECK(taut({"study", "run", study, "--out", out}).code == 0);
  CHECK(promised_files(out + "/runs") == before);
  CHECK(taut({"study", "report", out}).out == first.out);

  const Outcome bad = taut({"study", "run", study, "train.lr=1e30", "train.clip=0", "--out", folder / "bad"});
  CHECK(bad.code == 1);
  const auto failed = nlohmann::json::parse(taut({"study", "status", folder / "bad", "-o", "json"}).out);
  CHECK(failed.at(0).at("state") == "failed");
  CHECK(failed.at(0).at("error").get<std::string>().find("update") != std::string::npos);
}

}  // namespace
}  // namespace taut::study
