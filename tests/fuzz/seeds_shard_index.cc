#include "tests/fuzz/seeds.h"

namespace taut::fuzz {

std::vector<Seed> shard_index_seeds() {
  std::vector<Seed> seeds;
  const auto add = [&](const std::string& name, const std::string& text, const std::string& reason = "") {
    seeds.push_back({name, text, reason});
  };
  const auto map = [&](const std::string& name, const std::string& entries, const std::string& reason = "") {
    add(name, R"({"metadata":{"total_size":12},"weight_map":{)" + entries + "}}", reason);
  };
  map("two files", R"("a":"model-1-of-2.safetensors","b":"model-2-of-2.safetensors")");
  add("no metadata", R"({"weight_map":{"a":"m.bin"}})");
  add("white space", "\n { \"weight_map\" : { \"a\" : \"m.bin\" } } \n");
  map("dots in a name", R"("a":"..model..bin")");
  for (const char* path : {"../m.safetensors", "/etc/passwd", "a/b", "a\\\\b", "..", ".", "", "a\\u0000b"})
    map("file name " + std::to_string(seeds.size()), "\"a\":\"" + std::string(path) + "\"",
        "expected the plain name of a file");
  map("a file name of 300 bytes", "\"a\":\"" + std::string(300, 'n') + "\"", "expected the plain name of a file");
  map("a name twice", R"("a":"m","a":"m")", "weight_map, 'a': it appears twice");
  map("a number as file", R"("a":1)", "expected the name of a file");
  map("an object as file", R"("a":{})", "expected no object here");
  map("a list as file", R"("a":["m"])", "expected no array");
  map("null as file", R"("a":null)", "expected the name of a file");
  map("a long name", "\"" + std::string(5000, 'n') + R"(":"m")", "the name is longer than");
  map("nothing in it", "", "with a weight_map");
  add("a map twice", R"({"weight_map":{"a":"m"},"weight_map":{"a":"m"}})", "weight_map: it appears twice");
  add("a metadata key twice", R"({"metadata":{"a":1,"a":1},"weight_map":{"a":"m"}})",
      "metadata, 'a': it appears twice");
  add("an unknown entry", R"({"weight_map":{"a":"m"},"x":{}})", "x: unknown entry");
  add("no map", R"({"metadata":{}})", "with a weight_map");
  add("a list", "[]", "not valid JSON");
  add("a map that is a list", R"({"weight_map":[]})", "expected no array");
  add("a map that is a text", R"({"weight_map":"m"})", "expected an object");
  add(
      "deep objects",
      R"({"weight_map":)" +
          [] {
            std::string text;
            for (int i = 0; i < 100000; ++i) text += "{\"a\":";
            return text;
          }(),
      "expected no object here");
  add("not UTF-8", "{\"weight_map\":{\"\xff\":\"m\"}}", "not valid JSON");
  add("NUL", "{}" + std::string(1, '\0'), "not valid JSON, at byte 2");
  add("byte order mark", "\xEF\xBB\xBF{}", "not valid JSON");
  add("cut off", R"({"weight_map":{"a":"m")", "not valid JSON");
  add("more behind", R"({"weight_map":{"a":"m"}}x)", "not valid JSON");
  add("nothing", "", "not valid JSON");
  return seeds;
}

}  // namespace taut::fuzz
