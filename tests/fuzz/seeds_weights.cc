// The one door for every format, by content alone: the file's name says nothing here. (verdicts.cc sends the seeds of
// every format through it, with their names.)
#include "tests/fuzz/build_pickle.h"
#include "tests/fuzz/folder.h"
#include "tests/fuzz/seeds.h"

namespace taut::fuzz {

std::vector<Seed> weights_seeds() {
  using namespace pickle;
  const std::string two(8, '\0'), object = file(state_dict()), array = npy(npy_header("<f4", "(2,)"), 8);
  const std::string header = R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})";
  std::vector<Seed> seeds = {
      {"safetensors", safetensors(header, 8), ""},
      {"torch zip", zip(zip_items(object, {{"0", two}})), ""},
      {"torch legacy", legacy(object, {{"0", two}}), ""},
      {"npy", array, ""},
      {"npz", zip({{.name = "a.npy", .data = array, .deflate = true}}), ""},
      {"a header of 2^63 bytes", safetensors(header, 8, uint64_t{1} << 63), "its header would have"},
      {"a header longer than the file", safetensors(header, 8, 4096), "its header would have"},
      {"a header cut off", safetensors(header, 8).substr(0, 20), "its header would have"},
      {"a header of 0 bytes", safetensors(header, 8, 0), "expected a JSON object"},
      {"a header of spaces before it", safetensors("  " + header, 4), "expected 8 bytes of tensors"},
      {"a bare pickle", object, "got a bare pickle; hint: save with torch.save"},
      {"a bare pickle and more", object + "more", "a bare pickle, and more follows the pickle at byte"},
      {"a pickle of protocol 4", "\x80\x04N.", "opcode PROTO at byte 0"},
      {"a pickle that calls os.system", std::string("\x80\x02") + "cos\nsystem\nX\4\0\0\0echo\x85R.",
       "opcode GLOBAL at byte 2"},
      {"an index whose file misses", R"({"weight_map":{"a":"m.safetensors"}})", "there is no further file"},
      {"an index of 2 of 3 files", R"({"weight_map":{"a":"m-00001-of-00003.bin","b":"m-00003-of-00003.bin"}})",
       "expected all of 3 files, the index names none called 'm-00002-of-00003.bin'"},
      {"JSON of something else", R"({"weights":{"a":[1,2]}})", "weights: unknown entry"},
      {"a page", "<!DOCTYPE html><html>", "start with \"<!DOCTYPE html><\"; hint: a page of the web"},
      {"a pointer of Git LFS", "version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "hint: a Git LFS pointer"},
      {"nothing", "", "got 0 bytes"},
      {"no format", std::string(100, '\xff'), "\\xff\\xff"},
  };
  return seeds;
}

std::vector<Seed> sharded_seeds() {
  std::vector<Seed> seeds;
  const std::string one = "tensors\na F32 2\nb U8 3", two = "tensors\nc I64";
  const auto add = [&](const std::string& name, const std::string& index, std::vector<FilePart> shards,
                       const std::string& reason = "") {
    shards.insert(shards.begin(), {"index", index});
    seeds.push_back({name, join_files(shards), reason});
  };
  const auto map = [](const std::string& total, const std::string& entries) {
    return R"({"metadata":{"total_size":)" + total + R"(},"weight_map":{)" + entries + "}}";
  };
  const std::string all = R"("a":"1","b":"1","c":"2")";
  add("two files", map("19", all), {{"1", one}, {"2", two}});
  add("a total that is no whole number's text", map("19.0", all), {{"1", one}, {"2", two}});
  add("no total", R"({"weight_map":{)" + all + "}}", {{"1", one}, {"2", two}});
  add("an array", map("8", R"("x":"x")"), {{"x", npy(npy_header("<f4", "(2,)"), 8)}});
  add("numbered files", map("19", R"("a":"m-00001-of-00002.s","b":"m-00001-of-00002.s","c":"m-00002-of-00002.s")"),
      {{"m-00001-of-00002.s", one}, {"m-00002-of-00002.s", two}});
  add("one numbered file misses in the index", map("11", R"("a":"m-00001-of-00002.s","b":"m-00001-of-00002.s")"),
      {{"m-00001-of-00002.s", one}}, "expected all of 2 files, the index names none called 'm-00002-of-00002.s'");
  add("one numbered file too many",
      map("19", R"("a":"m-00001-of-00001.s","b":"m-00001-of-00001.s","c":"m-00002-of-00001.s")"),
      {{"m-00001-of-00001.s", one}, {"m-00002-of-00001.s", two}}, "'m-00002-of-00001.s' is none of the 1");
  add("files of two models", map("19", R"("a":"m-00001-of-00002.s","b":"m-00001-of-00002.s","c":"n-00002-of-00002.s")"),
      {{"m-00001-of-00002.s", one}, {"n-00002-of-00002.s", two}}, "'n-00002-of-00002.s' is none of the 2");
  add("number 0", map("11", R"("a":"m-00000-of-00000.s","b":"m-00000-of-00000.s")"), {{"m-00000-of-00000.s", one}});
  add("a total too small", map("18", all), {{"1", one}, {"2", two}}, "'total_size': expected 19 bytes ... got 18");
  add("a negative total", map("-19", all), {{"1", one}, {"2", two}}, "got -19");
  add("an endless total", map("1e308", all), {{"1", one}, {"2", two}}, "got 1e308");
  add("a total that is a text", map("\"x\"", all), {{"1", one}, {"2", two}}, "got x");
  add("a file misses", map("19", all), {{"1", one}}, "[2] cannot be opened");
  add("a file is damaged", map("19", all), {{"1", one}, {"2", safetensors("{}", 3)}},
      "[2] expected 0 bytes of tensors, got 3");
  add("a file is an index", map("19", all), {{"1", one}, {"2", R"({"weight_map":{"c":"2"}})"}},
      "[2] expected weights as");
  add("a tensor too few", map("19", all + R"(,"d":"2")"), {{"1", one}, {"2", two}},
      "tensor 'd': the index says it is in '2', it is not");
  add("a tensor too many", map("19", R"("a":"1","c":"2")"), {{"1", one}, {"2", two}},
      "tensor 'b' is in '1', the index says nothing");
  add("a tensor elsewhere", map("19", R"("a":"2","b":"1","c":"2")"), {{"1", one}, {"2", two}}, "the index says 2");
  add("a tensor in both", map("19", R"("a":"1","b":"1","c":"2")"), {{"1", one}, {"2", two + "\na F32 2"}},
      "the index says 1");
  seeds.push_back({"no file at all", "", "expected an index"});
  return seeds;
}

}  // namespace taut::fuzz
