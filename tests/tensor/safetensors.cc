// The safetensors reader refuses every file that breaks a rule, with the file's and the tensor's name; what is written
// reads back bit for bit.
#include "tensor/safetensors.h"

#include <doctest/doctest.h>
#include <rapidcheck.h>
#include <unistd.h>

#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "tensor/atomic_file.h"

namespace fs = std::filesystem;
using namespace taut;

namespace {

struct Folder {
  fs::path path = fs::temp_directory_path() / ("taut-safetensors-" + std::to_string(::getpid()));
  Folder() { fs::create_directories(path); }
  ~Folder() { fs::remove_all(path); }
  std::string file(const char* name = "t.safetensors") const { return (path / name).string(); }
};

std::string bytes_of(const std::string& file) {
  std::ifstream in(file, std::ios::binary);
  std::ostringstream out;
  out << in.rdbuf();
  return out.str();
}

std::string with_header(const std::string& header, size_t data) {
  const uint64_t n = header.size();
  std::string bytes(8, '\0');
  std::memcpy(bytes.data(), &n, 8);
  return bytes + header + std::string(data, '\0');
}

// The message with which a file of these bytes is refused; the file's name and the exit code are checked.
std::string refusal(const std::string& bytes) {
  const Folder folder;
  write_file_atomically(folder.file(), bytes);
  try {
    const SafetensorsFile file = SafetensorsFile::open(folder.file());
    for (const std::string& name : file.names()) file.read(name);
  } catch (const Error& e) {
    CHECK(e.code() == Exit::kBadData);
    CHECK(std::string(e.what()).find("t.safetensors") != std::string::npos);
    return e.what();
  }
  return "";
}
bool refused(const std::string& header, size_t data, const char* words) {
  const std::string said = refusal(with_header(header, data));
  INFO(header << ": " << said);
  const bool ok = said.find(words) != std::string::npos;
  CHECK(ok);
  return ok;
}

const char* const kGood = R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})";

}  // namespace

TEST_CASE("what is written reads back bit for bit, metadata included") {
  const Folder folder;
  const std::vector<std::pair<std::string, Tensor>> tensors{
      {"f32", Tensor::from(std::vector<float>{1, -0.f, NAN, INFINITY}, {2, 2})},
      {"f64", Tensor::from(std::vector<double>{1e-300, 3}, {2})},
      {"scalar", Tensor::scalar(4)},
      {"empty", Tensor::zeros({0, 3})},
      {"i64", Tensor::from(std::vector<int64_t>{INT64_MIN, 7}, {2})},
      {"i32", Tensor::from(std::vector<int32_t>{-5}, {1})},
      {"u8", Tensor::from(std::vector<uint8_t>{255, 0, 1}, {3})},
      {"bool", Tensor::full({3}, 1, DType::kBool)},
      {"bf16", Tensor::full({5}, 0.5, DType::kBF16)},
      {"view", Tensor::from(std::vector<float>{1, 2, 3, 4, 5, 6}, {2, 3}).transpose(0, 1)},
      {"quoted \" \n \xC3\xA9", Tensor::scalar(1)},
  };
  write_safetensors(folder.file(), tensors, {{"format", "x"}, {"attrs", R"({"k": 1})"}});
  const SafetensorsFile file = SafetensorsFile::open(folder.file());
  CHECK(file.names().size() == tensors.size());
  for (const auto& [name, tensor] : tensors) {
    CAPTURE(name);
    CHECK(same_bytes(file.read(name), tensor));
    CHECK(file.info(name).shape == tensor.shape());
  }
  CHECK(file.metadata() == std::map<std::string, std::string>{{"format", "x"}, {"attrs", R"({"k": 1})"}});
  CHECK_FALSE(fs::exists(folder.file() + ".tmp"));
}

TEST_CASE("the bytes depend on names and values, not on the order they are given in") {
  const Folder folder;
  std::vector<std::pair<std::string, Tensor>> tensors{
      {"b", Tensor::full({3}, 1)}, {"a", Tensor::full({3}, 2)}, {"c", Tensor::full({1}, 3, DType::kF64)}};
  write_safetensors(folder.file("one"), tensors);
  std::reverse(tensors.begin(), tensors.end());
  write_safetensors(folder.file("two"), tensors);
  const std::string bytes = bytes_of(folder.file("one"));
  CHECK(bytes == bytes_of(folder.file("two")));
  uint64_t header = 0;
  std::memcpy(&header, bytes.data(), 8);
  CHECK(header % 8 == 0);
  tensors.push_back(tensors[0]);
  CHECK_THROWS_WITH_AS(write_safetensors(folder.file("three"), tensors), doctest::Contains("twice"), Error);
  CHECK_FALSE(fs::exists(folder.file("three")));
  CHECK_THROWS_AS(write_safetensors(folder.file("four"), {{"\xff", Tensor::scalar(1)}}), Error);
  try {
    write_safetensors(folder.file("no/such/folder"), {});
    FAIL("expected an error");
  } catch (const Error& e) {
    CHECK(e.code() == Exit::kIo);
  }
}

TEST_CASE("half precision becomes float, other types are named") {
  const std::vector<std::pair<uint16_t, float>> halves{
      {0x3C00, 1.f},     {0xC000, -2.f},     {0x0001, 5.9604644775390625e-8f},
      {0x7BFF, 65504.f}, {0x7C00, INFINITY}, {0x8000, -0.f}};
  std::string bytes = with_header(R"({"h":{"dtype":"F16","shape":[6],"data_offsets":[0,12]}})", 0);
  for (const auto& [half, value] : halves) bytes.append(reinterpret_cast<const char*>(&half), 2);
  const Folder folder;
  write_file_atomically(folder.file(), bytes);
  const Tensor t = SafetensorsFile::open(folder.file()).read("h");
  for (size_t i = 0; i < halves.size(); ++i) CHECK(t.span<float>()[i] == halves[i].second);
  CHECK(std::signbit(t.span<float>()[5]));
  refused(R"({"q":{"dtype":"F8_E4M3","shape":[2],"data_offsets":[0,2]}})", 2, "'q': expected F32");
  bytes = with_header(R"({"b":{"dtype":"BOOL","shape":[2],"data_offsets":[0,2]}})", 2);
  CHECK(refusal(bytes).empty());
  bytes.back() = 2;
  CHECK(refusal(bytes).find("neither 0 nor 1") != std::string::npos);
}

TEST_CASE("headers may have white space around, nothing else") {
  CHECK(refusal(with_header(kGood, 8)).empty());
  CHECK(refusal(with_header("  \n" + std::string(kGood) + " \t ", 8)).empty());
  CHECK(refusal(with_header("{}", 0)).empty());
  CHECK_FALSE(refusal(with_header("\xEF\xBB\xBF" + std::string(kGood), 8)).empty());
  CHECK_FALSE(refusal(with_header(std::string(kGood) + '\0' + "x", 8)).empty());
  CHECK_FALSE(refusal(with_header(std::string(kGood) + "x", 8)).empty());
  CHECK_FALSE(refusal(with_header("{\"\xff\":1}", 0)).empty());
}

TEST_CASE("a file that breaks a rule is refused") {
  for (const char* root : {"[]", "3", "null", "\"x\"", "", "{", "nonsense"}) {
    CAPTURE(root);
    CHECK_FALSE(refusal(with_header(root, 0)).empty());
  }
  refused(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})", 7, "cut off");
  refused(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})", 9, "followed by something else");
  refused(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}})", 12, "hole or an overlap");
  refused(
      R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}})",
      8, "'b': expected its data at byte 8");
  refused(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[8,0]}})", 8, "end before they begin");
  refused(R"({"a":{"dtype":"F32","shape":[3],"data_offsets":[0,8]}})", 8, "'a': F32 of shape (3)");
  refused(R"({"a":{"dtype":"F33","shape":[2],"data_offsets":[0,8]}})", 8, "unknown dtype 'F33'");
  refused(R"({"a":{"dtype":"F4","shape":[3],"data_offsets":[0,1]}})", 1, "12 bits");
  refused(R"({"a":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,8]}})", 8, "overflows");
  refused(R"({"a":{"dtype":"F32","shape":[2]}})", 8, "expected the fields");
  refused(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0]}})", 8, "two data_offsets");
  refused(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8,9]}})", 8, "two data_offsets");
  refused(R"({"a":{"dtype":"F32","shape":[-2],"data_offsets":[0,8]}})", 8, "unsigned integers");
  refused(R"({"a":{"dtype":"F32","shape":[-0],"data_offsets":[0,0]}})", 0, "unsigned integers, got -0");
  refused(R"({"a":{"dtype":"F32","shape":[2.0],"data_offsets":[0,8]}})", 8, "unsigned integers");
  refused(R"({"a":{"dtype":"F32","shape":[2e0],"data_offsets":[0,8]}})", 8, "unsigned integers");
  refused(R"({"a":{"dtype":"F32","shape":[18446744073709551615],"data_offsets":[0,8]}})", 8, "out of range");
  refused(R"({"a":{"dtype":"F32","shape":[99999999999999999999],"data_offsets":[0,8]}})", 8, "unsigned integers");
  refused(R"({"a":{"dtype":"F32","shape":[true],"data_offsets":[0,8]}})", 8, "no boolean");
  refused(R"({"a":{"dtype":"F32","shape":[[2]],"data_offsets":[0,8]}})", 8, "no array");
  refused(R"({"a":{"dtype":"F32","shape":2,"data_offsets":[0,8]}})", 8, "no number");
  refused(R"({"a":{"dtype":["F32"],"shape":[2],"data_offsets":[0,8]}})", 8, "no array");
  refused(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":{"a":0}}})", 8, "no object");
  refused(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8],"extra":1}})", 8, "unknown field 'extra'");
  refused(R"({"a":{"dtype":"F32","dtype":"F32","shape":[2],"data_offsets":[0,8]}})", 8, "field 'dtype' appears twice");
  refused(
      R"({"a":{"dtype":"F32","shape":[0],"data_offsets":[0,0]},"a":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}})",
      0, "its name appears twice");
  refused(R"({"a":3})", 0, "no number");
  refused(R"({"__metadata__":{"a":1}})", 0, "no number");
  refused(R"({"__metadata__":{"a":{"b":"c"}}})", 0, "no object");
  refused(R"({"__metadata__":{"a":"1","a":"2"}})", 0, "key 'a' appears twice");
  refused(R"({"__metadata__":"x"})", 0, "no string");
  refused(R"({"__metadata__":{"a":null}})", 0, "no null");
  refused(R"({"a":null})", 0, "no null");
  CHECK(
      refusal(with_header(R"({"__metadata__":null,"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})", 8)).empty());
  refused(R"({"a":{"dtype":"F32","shape":[1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1],"data_offsets":[0,4]}})", 4, "dimensions");
  refused("{\"" + std::string(5000, 'x') + "\":{}}", 0, "longer than");
}

TEST_CASE("files that are none") {
  CHECK_FALSE(refusal("").empty());
  CHECK_FALSE(refusal("1234567").empty());
  CHECK_FALSE(refusal(std::string(64, '\xff')).empty());
  CHECK_FALSE(refusal(with_header(kGood, 8).substr(0, 20)).empty());
  const Folder folder;
  for (const std::string& path : {folder.file("none"), folder.file("none/below")}) {
    try {
      SafetensorsFile::open(path);
      FAIL("expected an error");
    } catch (const Error& e) {
      CHECK(e.code() == Exit::kMissing);
    }
  }
  CHECK_THROWS_WITH_AS(SafetensorsFile::open(folder.path.string()), doctest::Contains("regular file"), Error);
  write_safetensors(folder.file(), {});
  CHECK_THROWS_WITH_AS(SafetensorsFile::open(folder.file()).read("x"), doctest::Contains("'x'"), Error);
}

TEST_CASE("any change of a header is refused or changes what is read, and never crashes") {
  const bool ok = rc::check([] {
    std::string bytes = with_header(
        R"({"__metadata__":{"k":"v"},"a":{"dtype":"F32","shape":[2,1],"data_offsets":[0,8]},"b":{"dtype":"U8","shape":[3],"data_offsets":[8,11]}})",
        11);
    const size_t at = *rc::gen::inRange<size_t>(0, bytes.size());
    bytes[at] = static_cast<char>(*rc::gen::inRange(0, 256));
    if (*rc::gen::inRange(0, 4) == 0) bytes.resize(*rc::gen::inRange<size_t>(0, bytes.size()));
    const Folder folder;
    write_file_atomically(folder.file(), bytes);
    try {
      const SafetensorsFile file = SafetensorsFile::open(folder.file());
      for (const StoredTensor& t : file.tensors()) RC_ASSERT(t.bytes <= 11);
    } catch (const Error& e) {
      RC_ASSERT(e.code() == Exit::kBadData);
    }
  });
  CHECK(ok);
}

TEST_CASE("a file is replaced as a whole") {
  const Folder folder;
  write_file_atomically(folder.file("f"), "first");
  write_file_atomically(folder.file("f"), "second");
  CHECK(bytes_of(folder.file("f")) == "second");
  CHECK(std::distance(fs::directory_iterator(folder.path), fs::directory_iterator()) == 1);
  fs::create_directory(folder.path / "taken");
  try {
    write_file_atomically(folder.file("taken"), "x");
    FAIL("expected an error");
  } catch (const Error& e) {
    CHECK(e.code() == Exit::kIo);
  }
  CHECK_FALSE(fs::exists(folder.file("taken") + ".tmp"));
}
