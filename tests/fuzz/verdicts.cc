// Every seed gets from its reader the verdict it is owed, in the words it is owed. Drills 21, 22 and 24 (hostile
// safetensors, pickles and arrays) are among the names.
#include <doctest/doctest.h>

#include <fstream>
#include <map>
#include <set>

#include "kernels/error.h"
#include "tensor/weights_file.h"
#include "tests/fuzz/folder.h"
#include "tests/fuzz/seeds.h"

using namespace taut;
using namespace taut::fuzz;

namespace {

// The words of the refusal, "" if the file is accepted.
std::string verdict(const Reader& reader, const Seed& seed) {
  try {
    reader.read(FileBytes::copy("seed.file", seed.bytes));
    return "";
  } catch (const Error& e) {
    CHECK(e.code() == Exit::kBadData);
    // Of several files, it is the one at fault that is named.
    const bool one_file = std::string_view(e.what()).starts_with("[seed.file]");
    CHECK((one_file || (reader.many_files && std::string_view(e.what()).starts_with("["))));
    return e.what();
  }
}

// Whether an error says the words of a seed's reason, in order.
bool says(std::string_view error, std::string_view reason) {
  constexpr std::string_view kAnyWords = " ... ";
  for (;;) {
    const size_t end = reason.find(kAnyWords);
    const std::string_view words = reason.substr(0, end);
    const size_t at = error.find(words);
    if (at == std::string_view::npos) return false;
    if (end == std::string_view::npos) return true;
    error.remove_prefix(at + words.size());
    reason.remove_prefix(end + kAnyWords.size());
  }
}

void check_all(const std::string& name) {
  const Reader& r = reader(name);
  static std::map<std::string, std::vector<Seed>> seeds;  // doctest runs this once for each of them
  if (!seeds.contains(name)) seeds[name] = r.seeds();
  std::set<std::string> names;
  for (const Seed& seed : seeds[name]) {
    REQUIRE(names.insert(seed.name).second);
    SUBCASE(seed.name.c_str()) {
      const std::string said = verdict(r, seed);
      INFO("expected: ", seed.reason);
      INFO("said: ", said);
      CHECK(said.empty() == seed.reason.empty());
      CHECK(says(said, seed.reason));
      CHECK(said.size() < 2000);  // a hostile file does not fill the log
    }
  }
}

}  // namespace

TEST_CASE("safetensors") { check_all("safetensors"); }
TEST_CASE("pickle") { check_all("pickle"); }
TEST_CASE("torch zip") { check_all("torch_zip"); }
TEST_CASE("torch legacy") { check_all("torch_legacy"); }
TEST_CASE("npy") { check_all("npy"); }
TEST_CASE("npz") { check_all("npz"); }
TEST_CASE("shard index") { check_all("shard_index"); }
TEST_CASE("weights") { check_all("weights"); }
TEST_CASE("sharded") { check_all("sharded"); }
TEST_CASE("adapter") { check_all("adapter"); }
TEST_CASE("delta") { check_all("delta"); }
TEST_CASE("convert") { check_all("convert"); }

TEST_CASE("WeightsFile::open, the door for all of them, gives each file the verdict and the reason of its reader") {
  const Scratch scratch;
  int seeds = 0;
  const auto through_the_door = [&](const std::string& name, const std::string& bytes) -> std::string {
    const std::string path = (scratch.path() / name).string();
    std::ofstream(path, std::ios::binary) << bytes;
    try {
      const WeightsFile file = WeightsFile::open(path);
      for (const StoredTensor& t : file.tensors()) copy_elements(t, std::vector<std::byte>(size_t(t.bytes)).data());
      return "";
    } catch (const Error& e) {
      CHECK((e.code() == Exit::kBadData || e.code() == Exit::kMissing));
      CHECK(std::string_view(e.what()).starts_with("[" + path + "]"));
      return e.what();
    }
  };
  for (const auto& [name, ending] : {std::pair{"safetensors", ".safetensors"},
                                     {"pickle", ".pth"},
                                     {"torch_zip", ".pth"},
                                     {"torch_legacy", ".pth"},
                                     {"npy", ".npy"},
                                     {"npz", ".npz"},
                                     {"shard_index", ".safetensors.index.json"}}) {
    for (const Seed& seed : reader(name).seeds()) {
      CAPTURE(name);
      CAPTURE(seed.name);
      std::string reason = seed.reason;
      // What these readers accept is not yet weights.
      if (reason.empty() && name == std::string("pickle")) reason = "got a bare pickle";
      if (reason.empty() && name == std::string("shard_index")) reason = "which the index names, is missing";
      if (seed.bytes.empty()) reason = "got 0 bytes";
      const std::string said = through_the_door(std::string("seed") + ending, seed.bytes);
      INFO("expected: ", reason);
      INFO("said: ", said);
      CHECK(said.empty() == reason.empty());
      CHECK(says(said, reason));
      // Under a name that says nothing, content decides, and the verdict is the same.
      CHECK(through_the_door("seed", seed.bytes).empty() == reason.empty());
      ++seeds;
    }
  }
  CHECK(seeds >= 698);
}
