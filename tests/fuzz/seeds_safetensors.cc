#include "tests/fuzz/build_files.h"
#include "tests/fuzz/seeds.h"

namespace taut::fuzz {
namespace {

// One entry of a header.
std::string entry(const std::string& name, const std::string& dtype, const std::string& shape,
                  const std::string& offsets) {
  return "\"" + name + "\":{\"dtype\":\"" + dtype + "\",\"shape\":" + shape + ",\"data_offsets\":" + offsets + "}";
}
std::string f32(const std::string& shape, const std::string& offsets) { return entry("a", "F32", shape, offsets); }

}  // namespace

std::vector<Seed> safetensors_seeds() {
  std::vector<Seed> seeds;
  const auto header = [&](const std::string& name, const std::string& text, size_t data,
                          const std::string& reason = "") {
    seeds.push_back({name, safetensors(text, data), reason});
  };
  const auto entries = [&](const std::string& name, const std::string& text, size_t data,
                           const std::string& reason = "") { header(name, "{" + text + "}", data, reason); };
  const std::string good = f32("[2]", "[0,8]");
  entries("one tensor", good, 8);
  entries("no tensor", "", 0);
  entries("no metadata", R"("__metadata__":null,)" + good, 8);
  entries("metadata", R"("__metadata__":{"format":"pt"},)" + good, 8);
  header("white space around", " \n{" + good + "}\t ", 8);
  entries("two tensors out of order", entry("b", "U8", "[3]", "[8,11]") + "," + good, 11);
  entries("types nobody reads", entry("q", "F8_E4M3", "[2]", "[0,2]") + "," + entry("p", "F4", "[4]", "[2,4]"), 4);

  seeds.push_back({"drill 21: header of 0 bytes", safetensors("", 8, 0), "expected a JSON object"});
  seeds.push_back(
      {"drill 21: header of 2^63 bytes", safetensors("{" + good + "}", 8, uint64_t{1} << 63), "its header would have"});
  seeds.push_back(
      {"drill 21: header of 2^64 - 1 bytes", safetensors("{" + good + "}", 8, ~uint64_t{0}), "its header would have"});
  seeds.push_back(
      {"drill 21: header longer than the file", safetensors("{" + good + "}", 8, 4096), "its header would have"});
  header("drill 21: header not UTF-8", "{\"\xff\xfe\":1}", 0, "not valid JSON");
  header("drill 21: overlong UTF-8", "{\"\xc0\xaf\":1}", 0, "not valid JSON");
  header("drill 21: depth 100000", std::string(100000, '['), 0, "expected a JSON object");
  entries("drill 21: depth 100000 in a shape", "\"a\":{\"dtype\":\"F32\",\"shape\":" + std::string(100000, '['), 0,
          "expected no array");
  entries(
      "drill 21: objects 100000 deep",
      [] {
        std::string text;
        for (int i = 0; i < 100000; ++i) text += "\"a\":{";
        return text;
      }(),
      0, "unknown field 'a'");
  entries("drill 21: a name twice, same bytes", good + "," + good, 8, "'a': its name appears twice");
  entries("drill 21: a name twice, no bytes", f32("[0]", "[0,0]") + "," + f32("[0]", "[0,0]"), 0,
          "its name appears twice");
  entries("drill 21: a field twice", R"("a":{"dtype":"F32","dtype":"F32","shape":[2],"data_offsets":[0,8]})", 8,
          "field 'dtype' appears twice");
  entries("drill 21: a metadata key twice", R"("__metadata__":{"k":"1","k":"2"})", 0, "key 'k' appears twice");
  entries("drill 21: metadata twice", R"("__metadata__":{},"__metadata__":{})", 0, "its name appears twice");
  entries("drill 21: overlap", good + "," + entry("b", "F32", "[2]", "[4,12]"), 12, "a hole or an overlap");
  entries("drill 21: the same bytes for two", good + "," + entry("b", "F32", "[2]", "[0,8]"), 8,
          "a hole or an overlap");
  entries("drill 21: hole", good + "," + entry("b", "F32", "[2]", "[12,20]"), 20, "a hole or an overlap");
  entries("drill 21: hole before the first", f32("[2]", "[4,12]"), 12, "a hole or an overlap");
  header("drill 21: misaligned data", "{" + good + "}" + std::string((3 + 8 - (good.size() + 2) % 8) % 8, ' '), 8);
  entries("drill 21: misaligned bits", entry("a", "F4", "[3]", "[0,1]"), 1, "takes 12 bits");
  entries("drill 21: product overflows", f32("[4194305,4194305,211106198978564]", "[0,8]"), 8, "overflows");
  // The reference accepts this one, whose product is 0 from the first factor on; we are stricter: what any order of the
  // factors would overflow is no honest shape.
  entries("drill 21: product overflows behind a 0", f32("[0,4194305,4194305,211106198978564]", "[0,0]"), 0,
          "overflows");
  entries("drill 21: bits overflow", f32("[2305843009213693952]", "[0,8]"), 8, "overflows");
  entries("drill 21: negative offset", f32("[2]", "[-8,0]"), 8, "expected unsigned integers");
  entries("drill 21: negative size", f32("[-2]", "[0,8]"), 8, "expected unsigned integers");
  entries("drill 21: negative zero", f32("[-0]", "[0,0]"), 0, "expected unsigned integers, got -0");
  entries("drill 21: fractional offset", f32("[2]", "[0,8.0]"), 8, "expected unsigned integers");
  entries("drill 21: offset with exponent", f32("[2]", "[0,8e0]"), 8, "expected unsigned integers");
  entries("drill 21: offset of 2^63", f32("[2]", "[0,9223372036854775808]"), 8, "out of range");
  entries("drill 21: offset past 2^64", f32("[2]", "[0,18446744073709551624]"), 8, "expected unsigned integers");
  entries("drill 21: end before begin", f32("[2]", "[8,0]"), 8, "end before they begin");
  entries("drill 21: 0-dim", f32("[]", "[0,4]"), 4);
  entries("drill 21: 0-dim of 0 bytes", f32("[]", "[0,0]"), 0, "takes 32 bits");
  entries("drill 21: zero sizes share an offset",
          f32("[0]", "[0,0]") + "," + entry("b", "F32", "[2]", "[0,8]") + "," + entry("c", "I8", "[3,0]", "[8,8]"), 8);
  entries("drill 21: zero size inside another",
          entry("a", "F32", "[2]", "[0,8]") + "," + entry("b", "F32", "[0]", "[4,4]"), 8, "a hole or an overlap");
  entries("drill 21: zero size past the end", good + "," + entry("b", "F32", "[0]", "[9,9]"), 8,
          "a hole or an overlap");
  entries("drill 21: trailing bytes", good, 9, "followed by something else");
  entries("drill 21: cut off", good, 7, "cut off");

  seeds.push_back({"empty file", "", "got 0 bytes"});
  seeds.push_back({"seven bytes", "1234567", "got 7 bytes"});
  header("byte order mark", "\xEF\xBB\xBF{" + good + "}", 8, "expected a JSON object");
  header("NUL in the header", "{" + good + "}" + std::string(1, '\0'), 8, "not valid JSON");
  header("list", "[]", 0, "expected a JSON object");
  header("two objects", "{}{}", 0, "not valid JSON");
  header("comment", "{/**/}", 0, "not valid JSON");
  entries("shape misses", R"("a":{"dtype":"F32","data_offsets":[0,8]})", 8, "expected the fields");
  entries("unknown field", R"("a":{"dtype":"F32","shape":[2],"data_offsets":[0,8],"x":1})", 8, "unknown field 'x'");
  entries("unknown dtype", entry("a", "F31", "[2]", "[0,8]"), 8, "unknown dtype 'F31'");
  entries("three offsets", f32("[2]", "[0,8,8]"), 8, "expected two data_offsets");
  entries("null", R"("a":null)", 0, "expected no null");
  entries("metadata of a number", R"("__metadata__":{"k":1})", 0, "expected no number");
  entries("17 dimensions", f32("[1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1]", "[0,4]"), 4, "at most 16 dimensions");
  header("long name", "{\"" + std::string(5000, 'n') + "\":{}}", 0, "longer than");
  return seeds;
}

}  // namespace taut::fuzz
