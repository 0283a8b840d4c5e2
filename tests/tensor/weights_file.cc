// Files of every format open through one door, by their content, and give the numbers they hold.
#include "tensor/weights_file.h"

#include <doctest/doctest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <limits>
#include <nlohmann/json.hpp>
#include <set>

#include "tensor/atomic_file.h"
#include "tensor/npz_writer.h"
#include "tensor/safetensors.h"
#include "tensor/sha256.h"
#include "tensor/shard_writer.h"
#include "tests/fuzz/build_files.h"
#include "tests/fuzz/build_pickle.h"

namespace fs = std::filesystem;
namespace pk = taut::fuzz::pickle;
using namespace taut;

namespace {

struct Folder {
  fs::path path = fs::temp_directory_path() / ("taut-weights-" + std::to_string(::getpid()));
  Folder() { fs::create_directories(path); }
  ~Folder() { fs::remove_all(path); }
  std::string file(const std::string& name, const std::string& bytes) const {
    write_file_atomically((path / name).string(), bytes);
    return (path / name).string();
  }
};

template <class T>
std::string bytes_of(const std::vector<T>& values) {
  return {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T)};
}

// The message and code with which a file is refused.
void refused(const std::string& path, const char* words, Exit code = Exit::kBadData) {
  try {
    WeightsFile::open(path);
    FAIL("expected an error with: " << words);
  } catch (const Error& e) {
    CHECK(e.code() == code);
    CHECK_MESSAGE(std::string(e.what()).find(words) != std::string::npos, e.what());
  }
}

using Doubles = std::vector<double>;

}  // namespace

TEST_CASE("the format is recognised by content, whatever the name") {
  const Folder folder;
  const std::string two = bytes_of<float>({1.5f, -2});
  const std::string pickle = pk::file(pk::state_dict());
  const std::string npy = "\x93NUMPY\1" + fuzz::npy(fuzz::npy_header("<f4", "(2,)"), 0).substr(7) + two;
  write_safetensors((folder.path / "st.pth").string(), {{"w", Tensor::from(std::vector<float>{1.5f, -2}, {2})}});
  struct Case {
    std::string path, format, tensor;
  };
  for (const Case& c : std::vector<Case>{
           {(folder.path / "st.pth").string(), "safetensors", "w"},
           {folder.file("zip.safetensors", fuzz::zip(pk::zip_items(pickle, {{"0", two}}))), "torch zip", "w"},
           {folder.file("old.npz", pk::legacy(pickle, {{"0", two}})), "torch legacy", "w"},
           {folder.file("array.bin", npy), "npy", "array"},
           {folder.file("arrays", fuzz::zip({{.name = "a/b.npy", .data = npy, .deflate = true}})), "npz", "a/b"},
           {folder.file("index", R"({"weight_map":{"w":"st.pth","array":"array.bin"}})"), "npy and safetensors index",
            "w"},
           {folder.file("index2", R"({"weight_map":{"w":"zip.safetensors"}})"), "torch zip index", "w"}}) {
    CAPTURE(c.path);
    const WeightsFile file = WeightsFile::open(c.path);
    CHECK(file.format() == c.format);
    CHECK(file.info(c.tensor).dtype == "F32");
    CHECK(file.read(c.tensor).to_doubles() == Doubles{1.5, -2});
  }
}

TEST_CASE(
    "torch: views are read as what they show, storages may be shared, wrappers are opened, the rest is metadata") {
  const Folder folder;
  const std::string numbers = bytes_of<float>({0, 1, 2, 3, 4, 5});
  const pk::Pairs tensors{
      {pk::text("all"), pk::tensor({.numel = 6, .shape = {2, 3}, .strides = {3, 1}})},
      {pk::text("transposed"), pk::tensor({.numel = 6, .shape = {3, 2}, .strides = {1, 3}})},
      {pk::text("every second"), pk::tensor({.numel = 6, .offset = 1, .shape = {3}, .strides = {2}})},
      {pk::text("scalar"), pk::tensor({.numel = 6, .offset = 5, .shape = {}, .strides = {}})},
      {pk::text("column"), pk::tensor({.numel = 6, .shape = {2, 1}, .strides = {3, 77}})},
      {pk::text("empty"), pk::tensor({.numel = 6, .offset = 6, .shape = {0}, .strides = {1}})}};
  const std::string object = pk::dict({{pk::text("epoch"), pk::integer(7)},
                                       {pk::text("arch"), pk::text("resnet20")},
                                       {pk::text("best"), pk::tensor({.numel = 6, .shape = {}, .strides = {}})},
                                       {pk::text("state_dict"), pk::ordered_dict(tensors)}});
  for (const std::string& bytes :
       {fuzz::zip(pk::zip_items(pk::file(object), {{"0", numbers}})), pk::legacy(pk::file(object), {{"0", numbers}})}) {
    const WeightsFile file = WeightsFile::open(folder.file("f", bytes));
    CHECK(file.names() == std::vector<std::string>{"all", "transposed", "every second", "scalar", "column", "empty"});
    CHECK(file.metadata() == std::map<std::string, std::string>{{"epoch", "7"}, {"arch", "resnet20"}});
    CHECK(file.read("all").to_doubles() == Doubles{0, 1, 2, 3, 4, 5});
    CHECK(file.read("transposed").to_doubles() == Doubles{0, 3, 1, 4, 2, 5});
    CHECK(file.read("transposed").is_contiguous());
    CHECK(file.read("every second").to_doubles() == Doubles{1, 3, 5});
    CHECK(file.read("scalar").shape() == Shape{});
    CHECK(file.read("scalar").item() == 5);
    CHECK(file.read("column").to_doubles() == Doubles{0, 3});
    CHECK(file.read("empty").shape() == Shape{0});
  }
}

TEST_CASE("every dtype of torch is read, and says what it is in the file") {
  const Folder folder;
  struct Case {
    const char *cls, *dtype;
    DType read;
    std::string bytes;
    Doubles values;
  };
  for (const Case& c :
       std::vector<Case>{{"FloatStorage", "F32", DType::kF32, bytes_of<float>({1.5f, -3}), {1.5, -3}},
                         {"DoubleStorage", "F64", DType::kF64, bytes_of<double>({1e-300, 2}), {1e-300, 2}},
                         {"HalfStorage", "F16", DType::kF32, bytes_of<uint16_t>({0x3C00, 0xFBFF}), {1, -65504}},
                         {"BFloat16Storage", "BF16", DType::kBF16, bytes_of<uint16_t>({0x3F80, 0xC040}), {1, -3}},
                         {"LongStorage", "I64", DType::kI64, bytes_of<int64_t>({-1, 1 << 30}), {-1, 1 << 30}},
                         {"IntStorage", "I32", DType::kI32, bytes_of<int32_t>({-1, 7}), {-1, 7}},
                         {"ShortStorage", "I16", DType::kI32, bytes_of<int16_t>({-1, 7}), {-1, 7}},
                         {"CharStorage", "I8", DType::kI32, bytes_of<int8_t>({-128, 7}), {-128, 7}},
                         {"ByteStorage", "U8", DType::kU8, bytes_of<uint8_t>({255, 7}), {255, 7}},
                         {"BoolStorage", "BOOL", DType::kBool, bytes_of<uint8_t>({0, 1}), {0, 1}}}) {
    CAPTURE(c.cls);
    const std::string pickle = pk::file(pk::state_dict({.cls = c.cls}));
    const WeightsFile file = WeightsFile::open(folder.file("f", fuzz::zip(pk::zip_items(pickle, {{"0", c.bytes}}))));
    CHECK(file.info("w").dtype == c.dtype);
    CHECK(file.read("w").dtype() == c.read);
    CHECK(file.read("w").to_doubles() == c.values);
  }
}

TEST_CASE("npy: bfloat16 is read where it is asked for") {
  const Folder folder;
  const std::string path =
      folder.file("x.npy", fuzz::npy(fuzz::npy_header("|V2", "(2,)"), 0) + bytes_of<uint16_t>({0x3F80, 0xC040}));
  refused(path, "may be bfloat16");
  const WeightsFile file = WeightsFile::open(path, {.v2_is_bf16 = true});
  CHECK(file.read("x").dtype() == DType::kBF16);
  CHECK(file.read("x").to_doubles() == Doubles{1, -3});
}

TEST_CASE("what a small file inflates to is read in pieces, the same numbers, never whole") {
  const Folder folder;
  constexpr size_t kCount = 2'500'000;
  std::vector<float> values(kCount, 0.0f);
  for (size_t i = 0; i < kCount; i += 9973) values[i] = static_cast<float>(i);
  const std::string array = fuzz::npy(fuzz::npy_header("<f4", fmt::format("({},)", kCount)), 0) + bytes_of(values);
  fuzz::ZipItem item{"a.npy", array};
  item.deflate = true;
  for (const std::string& path : {folder.file("deflated.npz", fuzz::zip({item})), folder.file("plain.npy", array)}) {
    CAPTURE(path);
    const WeightsFile file = WeightsFile::open(path);
    const std::string name = file.names().at(0);
    std::vector<float> read;
    int pieces = 0;
    file.read_pieces(name, [&](const Tensor& piece) {
      CHECK(piece.numel() <= (1 << 20));
      read.insert(read.end(), piece.span<float>().begin(), piece.span<float>().end());
      ++pieces;
    });
    CHECK(pieces == 3);
    CHECK(read == values);
    CHECK(file.read(name).to_doubles() == Doubles(values.begin(), values.end()));
  }
  item.crc = 1;
  const WeightsFile damaged = WeightsFile::open(folder.file("damaged.npz", fuzz::zip({item})));
  CHECK_THROWS_WITH_AS(damaged.read_pieces("a", [](const Tensor&) {}), doctest::Contains("its checksum is wrong"),
                       Error);
}

TEST_CASE("a model in several files: the index and the files agree, and its hash covers them") {
  const Folder folder;
  const auto path = [&](const char* name) { return (folder.path / name).string(); };
  write_safetensors(path("1.safetensors"), {{"a", Tensor::scalar(1)}, {"b", Tensor::scalar(2)}});
  write_safetensors(path("2.safetensors"), {{"c", Tensor::scalar(3)}});
  const auto index = [&](const std::string& map) {
    return folder.file("model.safetensors.index.json", R"({"metadata":{"total_size":12},"weight_map":{)" + map + "}}");
  };
  const std::string good = R"("a":"1.safetensors","b":"1.safetensors","c":"2.safetensors")";
  const WeightsFile file = WeightsFile::open(index(good));
  for (const char* name : {"a", "b", "c"}) CHECK(file.read(name).item() == name[0] - 'a' + 1);
  CHECK(file.metadata().at("total_size") == "12");
  const std::string before = file.sha256();
  write_safetensors(path("2.safetensors"), {{"c", Tensor::scalar(4)}});
  CHECK(file.read("c").item() == 3);  // what was open stays
  CHECK(WeightsFile::open(index(good)).sha256() != before);
  CHECK(WeightsFile::open(path("1.safetensors")).sha256() == sha256_of_file(path("1.safetensors")));

  refused(folder.file("model.safetensors.index.json", R"({"metadata":{"total_size":13},"weight_map":{)" + good + "}}"),
          "'total_size': expected 12 bytes as the files' tensors have, got 13");
  refused(index(good + R"(,"d":"2.safetensors")"), "tensor 'd': the index says it is in '2.safetensors', it is not");
  refused(index(R"("a":"1.safetensors","c":"2.safetensors")"),
          "tensor 'b' is in '1.safetensors', the index says nothing");
  refused(index(R"("a":"2.safetensors","b":"1.safetensors","c":"2.safetensors")"), "the index says 2.safetensors");
  refused(index(good + R"(,"d":"3.safetensors")"), "file '3.safetensors', which the index names, is missing",
          Exit::kMissing);
  refused(index(R"("a":"model.safetensors.index.json")"), "expected weights as safetensors, torch");
}

TEST_CASE("a model too large for one file is written as several and an index, all or nothing") {
  const Folder folder;
  const auto path = [&](const char* name) { return (folder.path / name).string(); };
  const auto all_files = [&] {
    std::set<std::string> names;
    for (const auto& entry : fs::directory_iterator(folder.path)) names.insert(entry.path().filename().string());
    return names;
  };
  using Names = std::set<std::string>;
  const auto numbers = [](float from, int64_t n) {
    std::vector<float> values;
    for (int64_t i = 0; i < n; ++i) values.push_back(from + static_cast<float>(i));
    return Tensor::from(values, {n});
  };
  // 8, 4, 40, 4 and 4 bytes.
  const std::vector<std::pair<std::string, Tensor>> tensors = {{"e", numbers(0, 2)},
                                                               {"d", numbers(10, 1)},
                                                               {"c", numbers(20, 10)},
                                                               {"b", numbers(40, 1)},
                                                               {"a", numbers(50, 1)}};
  const auto write = [&](int64_t bytes) {
    return write_safetensors_shards(path("m.safetensors"), tensors, {{"format", "pt"}}, {}, bytes);
  };
  const auto read_back = [&](const std::string& from) {
    const WeightsFile file = WeightsFile::open(from);
    CHECK(file.tensors().size() == tensors.size());
    for (const auto& [name, t] : tensors) CHECK(file.read(name).to_doubles() == t.to_doubles());
  };

  CHECK(write(60) == path("m.safetensors"));
  CHECK(all_files() == Names{"m.safetensors"});
  read_back(path("m.safetensors"));

  const std::string index = path("m.safetensors.index.json");
  CHECK(write(12) == index);
  CHECK(all_files() == Names{"m-00001-of-00003.safetensors", "m-00002-of-00003.safetensors",
                             "m-00003-of-00003.safetensors", "m.safetensors.index.json"});
  read_back(index);
  CHECK(nlohmann::json::parse(std::ifstream(index)) == nlohmann::json{{"metadata", {{"total_size", 60}}},
                                                                      {"weight_map",
                                                                       {{"e", "m-00001-of-00003.safetensors"},
                                                                        {"d", "m-00001-of-00003.safetensors"},
                                                                        {"c", "m-00002-of-00003.safetensors"},
                                                                        {"b", "m-00003-of-00003.safetensors"},
                                                                        {"a", "m-00003-of-00003.safetensors"}}}});

  write(1);  // each tensor alone; the three files of before go
  CHECK(all_files().size() == 6);
  CHECK(all_files().contains("m-00005-of-00005.safetensors"));
  read_back(index);

  // What cannot be finished leaves what was there.
  const auto before = all_files();
  std::vector<std::pair<std::string, Tensor>> twice = tensors;
  twice.push_back(tensors[0]);
  CHECK_THROWS_WITH_AS(write_safetensors_shards(path("m.safetensors"), twice, {}, {}, 12),
                       doctest::Contains("tensor 'e' is given twice"), Error);
  CHECK(all_files() == before);
  read_back(index);

  fs::remove(path("m-00002-of-00005.safetensors"));
  refused(index, "file 'm-00002-of-00005.safetensors', which the index names, is missing", Exit::kMissing);

  CHECK(write(60) == path("m.safetensors"));  // and back to one
  CHECK(all_files() == Names{"m.safetensors"});

  CHECK(bytes_by_name("500MB", "--size") == 500'000'000);
  CHECK(bytes_by_name("2GiB", "--size") == int64_t{2} << 30);
  CHECK(bytes_by_name("4096", "--size") == 4096);
  for (const char* bad : {"", "MB", "0", "-1MB", "5 GB", "5mb", "1e9", "9999999999GB"})
    CHECK_THROWS_WITH_AS(bytes_by_name(bad, "--size"), doctest::Contains("[--size] expected a number of bytes"), Error);
}

TEST_CASE("files that are no weights") {
  const Folder folder;
  refused(folder.file("page", "<!DOCTYPE html><html>"), "21 bytes that start with \"<!DOCTYPE html><\"");
  refused(folder.file("empty", ""), "got 0 bytes");
  refused(folder.file("bare", "\x80\x02N."), "got a bare pickle; hint: save with torch.save");
  refused(folder.file("later", "\x80\x04N."), "got 4; hint: save with torch.save's default protocol");
  refused(folder.file("page.pth", "<!DOCTYPE html>"), "hint: a page of the web");
  refused(folder.file("broken.PT", "cos\nsystem\n"), "expected a pickle at byte 0");
  refused(folder.file("broken.safetensors", "short"), "expected a safetensors file, got 5 bytes");
  refused(folder.file("bytes", std::string(100, '\xff')), "\\xff\\xff");
  refused(folder.path.string(), "expected a regular file, got a folder");
  const std::string index = folder.file("model.safetensors.index.json", "{}");
  refused(folder.path.string(), ("hint: " + index).c_str());
  refused((folder.path / "none").string(), "cannot open", Exit::kMissing);
  const std::string pipe = (folder.path / "pipe").string();
  REQUIRE(::mkfifo(pipe.c_str(), 0600) == 0);
  refused(pipe, "expected a regular file");  // at once, without waiting for a writer
}

TEST_CASE("original files: PyTorch's old and new format, safetensors") {
  const char* named = std::getenv("TAUT_SHARED");
  const fs::path data = (named != nullptr ? fs::path(named) : fs::path(TAUT_SOURCE_DIR) / "../shared") / "data";
  if (!fs::exists(data)) {
    MESSAGE("skipped: there is no folder " << data.string() << " (TAUT_SHARED names another)");
    return;
  }
  struct Case {
    const char *path, *format, *tensor;
    Shape shape;
    size_t tensors;
    int64_t elements;
  };
  // 64-bit counters of batches do not occur; every file is f32.
  for (const Case& c : std::vector<Case>{
           {"weights/resnet20-12fca82f.th", "torch legacy", "module.linear.weight", {10, 64}, 97, 271'098},
           {"weights/resnet56-4bfd9763.th",
            "torch legacy",
            "module.layer3.8.conv2.weight",
            {64, 64, 3, 3},
            277,
            857'082},
           {"weights/robust_resnet2b_eps2.pth", "torch zip", "conv1.weight", {8, 3, 3, 3}, 16, 112'006},
           {"weights/deit_tiny_patch16_224_lnq.safetensors", "safetensors", "head.weight", {1000, 192}, 152, 5'717'416},
           {"mnist-trades/model_mnist_smallcnn.pt", "torch legacy", "classifier.fc3.weight", {10, 200}, 14, 312'202}}) {
    CAPTURE(c.path);
    const WeightsFile file = WeightsFile::open((data / c.path).string());
    CHECK(file.format() == c.format);
    CHECK(file.tensors().size() == c.tensors);
    CHECK(file.info(c.tensor).shape == c.shape);
    int64_t elements = 0;
    double largest = 0;
    for (const std::string& name : file.names()) {
      CHECK(file.info(name).dtype == "F32");
      for (const double x : file.read(name).to_doubles()) {
        largest = std::max(largest, std::isfinite(x) ? std::abs(x) : std::numeric_limits<double>::infinity());
        ++elements;
      }
    }
    CHECK(elements == c.elements);
    CHECK(largest > 0.1);
    CHECK(largest < 1e4);
  }
}

TEST_CASE("every type that NumPy has comes back out of an .npz as it went in") {
  const Folder folder;
  const std::string path = (folder.path / "all.npz").string();
  std::vector<std::pair<std::string, Tensor>> tensors;
  for (const DType dtype : {DType::kF32, DType::kF64, DType::kI32, DType::kI64, DType::kU8, DType::kBool})
    tensors.emplace_back(name(dtype), Tensor::from(std::vector<double>{1, 0, 1}, {3}).to(dtype));
  write_npz(path, tensors);
  const WeightsFile file = WeightsFile::open(path);
  REQUIRE(file.tensors().size() == tensors.size());
  for (const auto& [name, tensor] : tensors) {
    CAPTURE(name);
    const Tensor back = file.read(name);
    CHECK(back.dtype() == tensor.dtype());
    CHECK(back.to_doubles() == tensor.to_doubles());
  }
  CHECK_THROWS_WITH_AS(write_npz(path, {{"x", Tensor::zeros({1}, DType::kBF16)}}), doctest::Contains("got BF16"),
                       Error);
}
